"""Studies to export: a search whose trials end in every way, and one with repetitions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper.exports.trials import Study, study_of
from sweeper.ledger.records import Event, Kind, Reason, Stage, Status
from sweeper.study.spec import StudySpec, parse

TWO_ARMS = """\
name: two
dataset: {name: digits}
arms:
  cnn: {}
  resnet_se: {architecture: resnet, fixed: {attention: se}}
budget: {trials: 12, max_epochs: 3}
"""


@pytest.fixture(scope="session")
def spec() -> StudySpec:
    return parse(TWO_ARMS)


def suggested(spec: StudySpec, arm: str, number: int, time: float, **changes: object) -> Event:
    """A trial of an arm begins, with the defaults of its space."""
    configuration = spec.space_of(arm).default(spec.arms[arm].fixed)
    facts = {
        "trial": f"{arm}-{number:05d}", "arm": arm, "architecture": spec.arms[arm].architecture, "number": number,
        "stage": Stage.SEARCH, "seed": 7 + number, "attempt": 1, "status": Status.RUNNING, "max_epochs": 3,
        "configuration": json.dumps(configuration | {"learning_rate": 0.001 * (number + 1)}), "time": time,
        "study_id": spec.study_id,
    }  # fmt: skip
    return Event(kind=Kind.SUGGESTED, **{**facts, **changes})  # type: ignore[arg-type]


def epoch(
    trial: str, number: int, time: float, status: Status = Status.RUNNING, reason: Reason | None = None, **more: object
) -> Event:
    """One epoch of a trial."""
    facts = {
        "trial": trial, "attempt": 1, "epoch": number, "status": status, "reason": reason, "time": time,
        "val_accuracy": 0.5 + 0.1 * number, "val_loss": 1 / number, "train_accuracy": 0.6, "train_loss": 0.5,
        "learning_rate": 0.001, "parameters": 1234, "macs": 99, "train_s": 1.5, "peak_memory_mb": 700.0,
    }  # fmt: skip
    return Event(kind=Kind.EPOCH, **{**facts, **more})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def events(spec: StudySpec) -> list[Event]:
    """Trials that completed, were stopped, failed, diverged, run and wait; and a confirmation with its test split."""
    start = 1_700_000_000.0
    made = [Event(kind=Kind.CREATED, time=start)]
    made += [suggested(spec, "cnn", number, start + 1) for number in range(5)]
    made += [suggested(spec, "resnet_se", 0, start + 1)]
    for number in (1, 2, 3):
        last = (Status.COMPLETED, Reason.MAX_EPOCHS) if number == 3 else (Status.RUNNING, None)
        made += [
            epoch("cnn-00000", number, start + 10 * number, *last),
            epoch("resnet_se-00000", number, start + 11 * number, *last),
        ]
    made += [epoch("cnn-00001", 1, start + 12, Status.STOPPED, Reason.RUNG)]
    made += [Event(kind=Kind.ATTEMPT_ENDED, trial="cnn-00002", status=Status.FAILED, reason=Reason.EXCEPTION, detail="boom")]
    made += [epoch("cnn-00003", 1, start + 14, Status.FAILED, Reason.NAN, val_loss=math.nan, val_accuracy=None)]
    made += [epoch("cnn-00004", 1, start + 15)]
    repeated = {"trial": "cnn-00000-s1", "stage": Stage.CONFIRM, "parent": "cnn-00000", "seed": 1}
    made += [suggested(spec, "cnn", 0, start + 40, **repeated)]
    made += [epoch("cnn-00000-s1", 1, start + 50, Status.COMPLETED, Reason.MAX_EPOCHS, test_accuracy=0.77, test_loss=0.8)]
    return [event.replace(generation=1, sequence=1, position=position) for position, event in enumerate(made)]


@pytest.fixture(scope="session")
def study(spec: StudySpec, events: list[Event]) -> Study:
    return study_of(spec, spec.study_id, events)


Upto = Callable[[int], Study]


@pytest.fixture
def upto(spec: StudySpec, events: list[Event]) -> Upto:
    """The study as it was after so many events."""
    return lambda number: study_of(spec, spec.study_id, events[:number])


@pytest.fixture
def out(tmp_path: Path) -> str:
    return str(tmp_path)
