"""A driver without training and without Ray: trials on a virtual clock, events through the real ledger."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from sweeper.driver import networks
from sweeper.ledger.ledger import Ledger, StudyFolder
from sweeper.ledger.records import Event, Kind, Reason, Status
from sweeper.search.study import Search
from sweeper.search.trial import Trial
from sweeper.study.spec import StudySpec, parse_stored
from tests.virtual_clock import Curve, VirtualClock


@contextmanager
def building(study: StudySpec, arms: Collection[str]) -> Iterator[Callable[[Any], list[str]]]:
    """As `sweeper.driver.networks.building`, in this process."""
    yield lambda dataset: networks.faults_of(networks.task_of(study, arms, dataset))


def curve(trial: str, epoch: int) -> float:
    """Different for every trial, and growing."""
    return round((0.5 + 0.5 * random.Random(trial).random()) * (1 - 0.5**epoch), 4)


def seconds(trial: str) -> float:
    """Of one epoch."""
    return random.Random(trial).uniform(1, 3)


@dataclasses.dataclass
class LedgerClock(VirtualClock):
    """Commits a suggestion at once, as the driver does, and everything else every `commit_every` events.

    Args:
        ledger: Where events go.
        study_id: Kept in every event.
        commit_every: Most events that wait.
        compact_every: Events after which parts are merged; None for never.
    """

    ledger: Ledger | None = None
    study_id: str = ""
    commit_every: int = 3
    compact_every: int | None = None

    def record(self, event: Event) -> None:
        """Apply and append an event."""
        assert self.ledger is not None
        super().record(self.ledger.append(event.replace(study_id=self.study_id)))
        if event.kind is Kind.SUGGESTED or self.ledger.num_buffered >= self.commit_every:
            self.ledger.commit()
        if self.compact_every is not None and len(self.log) % self.compact_every == 0:
            self.ledger.compact()

    def end(self, trial: str, reason: Reason | None) -> None:
        """An attempt ends without an epoch row."""
        state = self.search.trials[trial]
        event = Event(kind=Kind.ATTEMPT_ENDED, trial=trial, arm=state.arm, attempt=state.attempt, reason=reason)
        self.record(self.search.judge(event))

    def interrupt(self) -> None:
        """What a driver records that a signal ends."""
        for trial in [trial for trial in self.search.trials.values() if trial.status is Status.RUNNING]:
            self.end(trial.trial, None)


@contextmanager
def driven(study: StudyFolder, spec: StudySpec | None = None, values: Curve = curve, **options: Any) -> Iterator[LedgerClock]:
    """A driver at work on a study, which it makes unless it is there; its search is where the ledger ends.

    What is buffered at the end of the block is lost, as with a driver that was killed; commit to keep it.

    Args:
        study: The study.
        spec: Its file; None for the one it was made with.
        values: The first objective of (trial, epoch).
        **options: Of `LedgerClock`.
    """
    if not study.exists:
        assert spec is not None
        study.create(spec.to_yaml())
    spec = parse_stored(study.study_yaml(), study.folder)
    ledger = Ledger.open(study, {"host": "h"}, spec.study_id)
    try:
        events = study.read()
        search = Search(spec).fold(events)
        clock = LedgerClock(search, 2, values, seconds, log=events, ledger=ledger, study_id=spec.study_id, **options)
        if not any(event.kind is Kind.CREATED for event in events):
            clock.record(Event(kind=Kind.CREATED, detail=spec.canonical()))
            ledger.commit()
        yield clock
    finally:
        ledger.close()


def drive(study: StudyFolder, spec: StudySpec | None = None, num_events: int | None = None, **options: Any) -> Search:
    """One driver, to the end of the study or killed after `num_events` events; the search as it left it."""
    with driven(study, spec, **options) as clock:
        clock.run(None if num_events is None else len(clock.log) + num_events)
        if num_events is None:
            clock.ledger.commit()  # type: ignore[union-attr]
    return clock.search


def facts(study: StudyFolder) -> dict[str, Any]:
    """What a study's ledger says, as JSON has it: events, both tables, and where the search stands."""
    from sweeper.ledger.tables import tables

    events = study.read()
    search = Search(parse_stored(study.study_yaml(), study.folder)).fold(events)
    trials, epochs = tables(events)
    return json.loads(  # type: ignore[no-any-return]
        json.dumps(
            {
                "events": [_told(dataclasses.asdict(event)) for event in events],
                "trials": [_told(row) for row in trials.to_pylist()],
                "epochs": [_told(row) for row in epochs.to_pylist()],
                "fold": {
                    "trials": {name: _told_of(trial) for name, trial in search.trials.items()},
                    "finished": search.finished,
                    "rungs": {
                        arm: {str(rung): row for rung, row in rungs.recorded.items()} for arm, rungs in search.rungs.items()
                    },
                },
            }
        )
    )


def _told_of(trial: Trial) -> dict[str, Any]:
    """A trial as earlier versions told it, unless it has costs."""
    return _told({**dataclasses.asdict(trial), "costs": trial.costs if any(trial.costs) else None})


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}
