"""What every exporter starts from: the trials of a study with their epochs, as plain values."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sweeper.errors import InputError
from sweeper.ledger.records import METRICS, Event, Status
from sweeper.ledger.tables import tables
from sweeper.storage import LocalPlace, Place
from sweeper.study.space import Configuration
from sweeper.study.spec import StudySpec

PER_EPOCH = (*METRICS, "learning_rate")
"""Columns of the table of epochs that tools get as curves."""

OF_NETWORK = ("parameters", "macs")
"""Known of a trial as soon as its network is built."""

AT_THE_END = ("train_s", "peak_memory_mb", "test_loss", "test_accuracy", "latency_ms", "latency_ms_batch32")
"""Columns of the table of trials that are known once a trial has ended."""

LABELS = ("arm", "architecture", "stage", "status", "reason", "parent", "seed", "varies", "device")
"""Columns of the table of trials that say what a trial is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial.

    Args:
        facts: Its row in the table of trials, without what does not apply.
        epochs: Its rows in the table of epochs, in order, likewise.
    """

    facts: Mapping[str, Any]
    epochs: Sequence[Mapping[str, Any]]

    @property
    def name(self) -> str:
        """Its id."""
        return str(self.facts["trial"])

    @property
    def configuration(self) -> Configuration:
        """Its knobs."""
        return dict(json.loads(self.facts.get("configuration", "{}")))

    @property
    def is_final(self) -> bool:
        """Whether it will not run again."""
        return Status(self.facts["status"]).is_final

    @property
    def labels(self) -> dict[str, str]:
        """What it is, in text."""
        return {name: str(self.facts[name]) for name in LABELS if name in self.facts}

    @property
    def began(self) -> float:
        """When its first epoch began, in seconds since 1970; 0 where none ended."""
        if not self.epochs:
            return 0.0
        first = self.epochs[0]
        return float(first.get("time", 0.0) - sum(first.get(name, 0.0) for name in ("build_s", "train_s", "evaluate_s")))

    @property
    def ended(self) -> float:
        """When its last epoch ended, likewise."""
        return float(self.epochs[-1].get("time", 0.0)) if self.epochs else 0.0

    def numbers(self, columns: Sequence[str]) -> dict[str, float]:
        """Those of some columns of its row that have a finite number."""
        return finite(self.facts, columns)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """A study as exporters see it.

    Args:
        spec: The study as its newest extension left it.
        study_id: Its identity.
        began: When its ledger began, in seconds since 1970.
        trials: In the order in which they were suggested.
    """

    spec: StudySpec
    study_id: str
    began: float
    trials: Sequence[Trial]

    @property
    def name(self) -> str:
        """What the user calls it."""
        return self.spec.name


def study_of(spec: StudySpec, study_id: str, events: Sequence[Event]) -> Study:
    """What a ledger tells of a study.

    Args:
        spec: The study as its newest extension left it.
        study_id: Its identity.
        events: Of its ledger, in order.
    """
    trials, epochs = (table.to_pylist() for table in tables(events))
    rows: dict[str, list[dict[str, Any]]] = {row["trial"]: [] for row in trials}
    for row in epochs:
        rows[row["trial"]].append(_known(row))
    found = [Trial(facts=_known(row), epochs=rows[row["trial"]]) for row in trials if row["status"] is not None]
    return Study(spec=spec, study_id=study_id, began=next((event.time for event in events if event.time), 0.0), trials=found)


def finite(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, float]:
    """Those of some columns of a row that have a finite number."""
    return {name: float(row[name]) for name in columns if name in row and math.isfinite(row[name])}


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def local_folder(out: Place, tool: str) -> str:
    """The folder to write to, made when it is missing.

    Raises:
        InputError: It is in a bucket, where libraries of other tools cannot write.
        OSError: It cannot be made.
    """
    if not isinstance(out, LocalPlace):
        raise InputError(f"{tool} is written to a local folder, and {out} is none. Name one with --out, for example --out export")
    out.make_folder()
    return str(out.path.absolute())


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write a file that takes the place of `path` once it is whole, so that no reader sees half of it."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
        new = Path(folder) / path.name
        yield new
        os.replace(new, path)


def missing(tool: str, module: str) -> InputError:
    """What to say where the library of a tool is not installed."""
    return InputError(
        f"--to {tool} needs the package {module}, which is not installed. Get it with: pip install 'sweeper[{tool}]'"
    )


def in_order_of_parents(trials: Sequence[Trial]) -> Iterator[Trial]:
    """The trials, each after the one it repeats."""
    names = {trial.name for trial in trials}
    yield from (trial for trial in trials if trial.facts.get("parent") not in names)
    yield from (trial for trial in trials if trial.facts.get("parent") in names)
