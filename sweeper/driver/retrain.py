"""Train a recorded trial again, from its row alone, and compare it epoch by epoch with what was recorded.

Everything random in a trial follows from its seed, so on the same machine type, versions and thread count it comes out bit for
bit, however many attempts it took the first time. Where it does not, the circumstances that differ are named.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sweeper.errors import NoDataError, ResultsFolderError, SweeperError, UnknownNameError
from sweeper.ledger.records import METRICS, Event, Kind, Reason, Stage, Status
from sweeper.storage import Place, explain

if TYPE_CHECKING:
    from sweeper.training.trial import Assignment, Worker

COMPARED = (*METRICS, "learning_rate")
"""Columns that must be equal bit for bit."""

KEPT = "kept"
"""The folder of a study with the weights of trials that were trained again to have them; nothing ever removes them."""

OF_ITSELF = (Reason.EXCEPTION, Reason.OUT_OF_MEMORY, Reason.INFEASIBLE)
"""Reasons for which a trial fails again when it is trained again."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a trial failed.

    Args:
        reason: Its kind.
        words: What the error said, in one line.
    """

    reason: Reason
    words: str

    @classmethod
    def of(cls, reason: str, detail: str | None) -> Failure:
        """The failure in a row; of a traceback the last line is kept, which names the error."""
        lines = (detail or "").strip().splitlines()
        return cls(reason=Reason(reason), words=lines[-1].strip() if lines else "")

    def __str__(self) -> str:
        return f"{self.reason}: {self.words}" if self.words else str(self.reason)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recorded:
    """A trial as the ledger has it.

    Args:
        assignment: What to train, as a first attempt that knows nothing.
        epochs: The rows the search acted on, by epoch: of an epoch recorded twice the first one, as in the table of epochs.
        failure: How it failed by itself; None if it did not.
        circumstances: See `circumstances`.
        trained_otherwise: How some of it was trained, in words, where that gives other bits; empty where not.
    """

    assignment: Assignment
    epochs: Mapping[int, Event]
    failure: Failure | None
    circumstances: dict[str, str]
    trained_otherwise: str

    @property
    def last(self) -> int:
        """The last recorded epoch; 0 when it failed before one was."""
        return max(self.epochs, default=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch, recorded and trained again.

    Args:
        epoch: Its number, from 1.
        attempt: The attempt that recorded it.
        recorded: The values of `COMPARED` as they were.
        now: The same, as they are now.
    """

    epoch: int
    attempt: int
    recorded: dict[str, float]
    now: dict[str, float]

    @property
    def differing(self) -> tuple[str, ...]:
        """Columns whose values are not the same bit for bit; NaN equals NaN."""
        return tuple(name for name in COMPARED if self.recorded[name].hex() != self.now[name].hex())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """A trial that was trained again.

    Args:
        epochs: Those compared, in order.
        failure: How it failed now; None if it did not.
        expected_failure: How it was recorded to fail within what was trained again; None if it was not.
    """

    epochs: tuple[Epoch, ...]
    failure: Failure | None
    expected_failure: Failure | None

    @property
    def first_difference(self) -> Epoch | None:
        """The first epoch that is not identical."""
        return next((epoch for epoch in self.epochs if epoch.differing), None)

    @property
    def is_identical(self) -> bool:
        """Whether every epoch is identical, and no failure recorded or met."""
        return self.first_difference is None and self.failure is None and self.expected_failure is None

    @property
    def largest_difference(self) -> dict[str, float]:
        """The largest absolute difference of each column over all epochs; infinite where only one of the two is a number."""
        return {
            name: max((_distance(epoch.recorded[name], epoch.now[name]) for epoch in self.epochs), default=0.0)
            for name in COMPARED
        }


def circumstances(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What may explain why one trial gives different numbers: device, host, versions, data, commit of the code.

    Args:
        rows: Rows of a trial with some of the columns ``device``, ``worker``, ``versions``, ``dataset`` and ``commit``; where two
            attempts differ, both values are named.
    """
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        for name in ("device", "worker", "versions", "dataset", "commit"):
            if row.get(name) is not None:
                for key, value in _entries(name, str(row[name])):
                    found.setdefault(key, {})[value] = None
    return {key: " and ".join(values) for key, values in found.items()}


def differing(recorded: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The circumstances that are not as they were, one line each."""
    names = dict.fromkeys([*recorded, *now])
    return [
        f"{name}: recorded {recorded.get(name, 'nothing')}, now {now.get(name, 'nothing')}"
        for name in names
        if recorded.get(name) != now.get(name)
    ]


def _entries(column: str, value: str) -> list[tuple[str, str]]:
    if column == "worker":
        return [("host", value.rsplit(":", 1)[0])]
    if column in ("versions", "dataset"):
        prefix = "dataset " if column == "dataset" else ""
        return [(f"{prefix}{key}", str(entry)) for key, entry in json.loads(value).items()]
    return [(column, value)]


def recorded(events: Iterable[Event], trial: str) -> Recorded:
    """A trial of a study, from the study's ledger.

    Args:
        events: In order of their keys, as `sweeper.ledger.ledger.StudyFolder.read` gives them.
        trial: Its id.

    Raises:
        UnknownNameError: No such trial has begun.
        NoDataError: There is nothing to compare with: no epoch of it was recorded, and it did not fail by itself.
    """
    from sweeper.training.trial import Assignment

    known: set[str] = set()
    suggested: Event | None = None
    seeds: dict[str, int] = {}
    epochs: dict[int, Event] = {}
    failure: Failure | None = None
    rows: list[Event] = []
    for event in events:
        if event.trial is not None:
            known.add(event.trial)
            if event.kind is Kind.SUGGESTED:
                seeds[event.trial] = event.seed or 0
        if event.trial != trial:
            continue
        if event.kind is Kind.SUGGESTED:
            suggested = event  # the newest one: of a study that was extended, a trial may train for longer than at first
        elif event.kind is Kind.EPOCH:
            if event.epoch in epochs:
                continue
            assert event.epoch is not None
            epochs[event.epoch] = event
        elif event.status is Status.FAILED and event.reason in OF_ITSELF:
            failure = Failure.of(event.reason, event.detail)
        rows.append(event)
    if trial not in known:
        raise UnknownNameError("trial", trial, known)
    if suggested is None:
        raise NoDataError(f"the configuration of trial {trial} is lost: its part of the ledger is missing. Choose another trial.")
    if not epochs and failure is None:
        raise NoDataError(f"no epoch of trial {trial} is recorded, so there is nothing to compare with. Choose another trial.")
    assert suggested.arm and suggested.architecture and suggested.configuration and suggested.max_epochs
    assignment = Assignment(
        trial=trial,
        arm=suggested.arm,
        architecture=suggested.architecture,
        attempt=1,
        configuration=json.loads(suggested.configuration),
        seed=suggested.seed or 0,
        max_epochs=suggested.max_epochs,
        known_epochs=0,
        stage=suggested.stage or Stage.SEARCH,
        varies=suggested.varies,
        parent_seed=seeds.get(suggested.parent or ""),
    )
    return Recorded(
        assignment=assignment,
        epochs=epochs,
        failure=failure,
        circumstances=circumstances(map(dataclasses.asdict, rows)),
        trained_otherwise=_trained_otherwise(epochs.values()),
    )


def _trained_otherwise(rows: Iterable[Event]) -> str:
    from sweeper.training.trial import LOOP, TOGETHER

    versions = [json.loads(row.versions or "{}") for row in rows]
    if any(entries.get("training loop") != LOOP for entries in versions):
        return "by another loop, before epochs were whole programs"
    return "together with other seeds, as one program" if any(TOGETHER in entries for entries in versions) else ""


def retrain(
    record: Recorded,
    worker: Worker,
    *,
    most_epochs: int | None = None,
    watch: Callable[[Epoch], None] = lambda epoch: None,
) -> Comparison:
    """Train a recorded trial again in this process and compare.

    Args:
        record: The trial.
        worker: Set up as the study says, its checkpoints in a folder that holds none of this trial.
        most_epochs: Train at most so many; None for as many as were recorded.
        watch: Called with every epoch once it is trained.

    Raises:
        SweeperError: The disk takes no checkpoint.
    """
    last = min(record.last, most_epochs or record.last)
    expected = record.failure if last == record.last else None
    worker.start(record.assignment)
    epochs: list[Epoch] = []
    failure: Failure | None = None
    # A failure came in the epoch after the last one recorded.
    for number in range(1, last + (2 if expected else 1)):
        report = worker.step()
        if "fault" in report:
            raise SweeperError(f"training cannot go on: {report['fault']}")
        if "failure" in report:
            failure = Failure.of(report["failure"]["reason"], report["failure"]["detail"])
            break
        if number in record.epochs:
            epochs.append(_epoch(record.epochs[number], report["rows"][0]))
            watch(epochs[-1])
    return Comparison(epochs=tuple(epochs), failure=failure, expected_failure=expected)


def keep(record: Recorded, worker: Worker, folder: Place) -> bool:
    """Keep the state of a trial that came out identical; gives whether there is one, which a trial without epochs has not.

    Args:
        record: The trial.
        worker: The one that trained it, in `retrain`.
        folder: The study's, for kept weights.

    Raises:
        ResultsFolderError: The folder cannot be written.
    """
    from sweeper.training import checkpoint

    if not record.epochs:
        return False
    target = folder / record.assignment.trial
    try:
        checkpoint.write(target, worker.state)
    except OSError as error:
        raise ResultsFolderError(explain(error, target)) from error
    return True


def _epoch(event: Event, row: Mapping[str, Any]) -> Epoch:
    assert event.epoch is not None
    return Epoch(
        epoch=event.epoch,
        attempt=event.attempt or 1,
        recorded={name: _number(getattr(event, name)) for name in COMPARED},
        now={name: _number(row[name]) for name in COMPARED},
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _distance(first: float, second: float) -> float:
    if math.isnan(first) and math.isnan(second):
        return 0.0
    distance = abs(first - second)
    return math.inf if math.isnan(distance) else distance
