"""What events tell of how results came about."""

from __future__ import annotations

import json

import pytest

from sweeper.ledger.asides import looks, timed_while_busy
from sweeper.ledger.records import Event, Kind, Stage, Status

ARMS = ("cnn-00000", "vit-00000")


def planned(generation: int, seeds: range, stage: Stage = Stage.CONFIRM) -> Event:
    rows = [{"parent": arm, "trial": f"{arm}-s{seed}", "stage": stage} for seed in seeds for arm in ARMS]
    return Event(kind=Kind.PLANNED, generation=generation, detail=json.dumps(rows))


def ended(generation: int, seeds: range, status: Status = Status.COMPLETED) -> list[Event]:
    found = []
    for trial, arm in [(f"{arm}-s{seed}", arm) for seed in seeds for arm in ARMS]:
        found.append(Event(kind=Kind.SUGGESTED, generation=generation, trial=trial, parent=arm, stage=Stage.CONFIRM))
        found.append(Event(kind=Kind.EPOCH, generation=generation, trial=trial, status=status))
    return found


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], 0),
        ([planned(1, range(3)), *ended(1, range(3))], 1),
        ([planned(1, range(3)), *ended(1, range(3)), planned(2, range(3, 5)), *ended(2, range(3, 5))], 2),
        (
            [planned(1, range(3)), *ended(1, range(3)), planned(2, range(3, 5)), *ended(2, range(3, 5)), planned(3, range(5, 9))],
            3,
        ),
        # A race looks by itself, and plans what follows.
        ([planned(1, range(2)), *ended(1, range(2)), planned(1, range(2, 5))], 1),
        # Nothing could be judged: one seed, or none that completed.
        ([planned(1, range(1)), *ended(1, range(1)), planned(2, range(1, 5))], 1),
        ([planned(1, range(3)), *ended(1, range(3), Status.FAILED), planned(2, range(3, 5))], 1),
        # Repetitions of an ablation are none of this.
        ([planned(1, range(3)), *ended(1, range(3)), planned(2, range(3), Stage.ABLATION)], 1),
    ],
)
def test_looks(events: list[Event], expected: int) -> None:
    assert looks(events) == expected


def measured(trial: str, **detail: float) -> Event:
    return Event(kind=Kind.MEASURED, trial=trial, detail=json.dumps(detail))


def test_the_newest_measurement_counts_and_one_without_cpus_says_nothing() -> None:
    events = [
        measured("a", load=3.5, cpus=2),
        measured("b", load=9.0),
        measured("c", load=3.5, cpus=2),
        measured("c", load=1.0, cpus=2),
        measured("d", load=2.0, cpus=2),
        Event(kind=Kind.MEASURED, trial="e"),
    ]
    assert timed_while_busy(events) == ("a",)
