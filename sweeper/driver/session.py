"""One run of a driver: the search, the ledger, and the attempts that workers have at this moment.

Ray Tune's adapters (`sweeper.driver.tune`) hand in what happens and pass on what is decided; nothing here knows of Ray.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from sweeper.driver.retention import CheckpointRetention
from sweeper.errors import SweeperError
from sweeper.ledger.ledger import Ledger
from sweeper.ledger.records import Event, Kind, Reason, Status
from sweeper.search.study import Search
from sweeper.training.trial import Assignment

HANG_FACTOR = 20.0
"""A worker is taken for hung when it is silent for this many times its trial's longest silence before an epoch so far ..."""

HANG_LEAST_S = 300.0
"""... and at least this long. Before its first epoch ever a trial is waited for without limit, since compiling may take long."""

COMPACT_AFTER = 1000
"""Commits after which the ledger's parts are merged: some ten minutes of a busy sweep, so that reading it stays fast."""


@dataclasses.dataclass
class _Live:
    """An attempt that Tune has taken and not ended."""

    trial: str
    attempt: int
    last_report: float
    silences_s: list[float]
    has_worker: bool = False
    is_hung: bool = False


class Session:
    """What the adapters share: the search, the ledger, and which Tune trial is which of ours.

    Args:
        search: The state machine.
        ledger: Open for writing.
        retention: Removes the study's checkpoints that are no longer needed.
        most_live: Attempts that Tune may have at once, running or waiting for a worker.
        watch: Called with every event once it is applied, and with None about every second.
        constants: Columns that are the same in every event.
        have_weights: Arms whose trials begin with weights, for which these were read.
    """

    def __init__(
        self,
        search: Search,
        ledger: Ledger,
        retention: CheckpointRetention,
        most_live: int,
        watch: Callable[[Event | None], None],
        constants: Mapping[str, str | None],
        have_weights: Collection[str] = (),
    ):
        self.search = search
        self.ledger = ledger
        self.retention = retention
        self.most_live = most_live
        self.watch = watch
        self.constants = constants
        self.have_weights = set(have_weights)
        self.live: dict[str, _Live] = {}
        self.error: BaseException | None = None
        self._silences_s: dict[str, list[float]] = {}
        self.is_exhausted = False
        """Whether Tune knows that nothing is left to do. It does not ask again after that."""
        self._commits = 0
        self._last_tick = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its arguments for a restore of its own, which is never used."""
        return {}

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Keep the first exception of a hook: Tune passes on only its text."""
        try:
            yield
        except BaseException as error:
            self.error = self.error or error
            raise

    def record(self, event: Event) -> Event:
        """Apply an event, hand it to the ledger and show it."""
        self.search.apply(event)
        stored = self.ledger.append(event.replace(**self.constants))
        if event.status is not None and event.status.is_final and event.trial:
            self.retention.ends(event.trial)
        self.watch(stored)
        return stored

    def commit(self, only_if_due: bool = False) -> None:
        """Make events durable, then remove the checkpoints they made useless, never the other way round."""
        if only_if_due:
            self._commits += self.ledger.commit_if_due()
        elif self.ledger.num_buffered:
            self.ledger.commit()
            self._commits += 1
        if self.ledger.num_buffered == 0:
            self.retention.clean()

    def next_attempt(self, tune_id: str) -> Assignment | None:
        """The next attempt, recorded and durable; None when there is nothing to start now, or for ever: see `is_exhausted`."""
        if len(self.live) >= self.most_live:
            return None
        event = self.search.propose()
        self.is_exhausted = event is None and not self.live
        if event is None:
            return None
        self.record(event)
        self.commit()
        trial = self.search.trials[event.trial or ""]
        self.retention.begins(trial.trial)
        silences_s = self._silences_s.setdefault(trial.trial, [])  # those of its earlier attempts under this driver count
        self.live[tune_id] = _Live(trial=trial.trial, attempt=trial.attempt, last_report=time.monotonic(), silences_s=silences_s)
        return Assignment(
            trial=trial.trial,
            arm=trial.arm,
            architecture=event.architecture or "",
            attempt=trial.attempt,
            configuration=trial.configuration,
            seed=trial.seed,
            max_epochs=trial.max_epochs,
            known_epochs=trial.epoch,
        )

    def on_start(self, tune_id: str) -> None:
        """A worker begins with the attempt: until now it was not silent, but waiting."""
        live = self.live[tune_id]
        live.has_worker, live.last_report = True, time.monotonic()

    def on_report(self, tune_id: str, report: dict[str, Any]) -> bool:
        """The one door: a worker's report in (see `sweeper.training.trial.Worker.step`); whether its trial goes on out."""
        live = self.live[tune_id]
        now = time.monotonic()
        live.silences_s.append(now - live.last_report)
        live.last_report = now
        if "fault" in report:
            raise SweeperError(
                f"a worker cannot go on, and no other trial could on it: {report['fault']}\n"
                "Everything so far is saved. Mend this, then launch again to go on."
            )
        if "failure" in report:
            self._attempt_ended(live, Reason(report["failure"]["reason"]), report["failure"]["detail"])
            return False
        trial = self.search.trials[live.trial]
        for row in report["rows"]:
            event = self._facts(live.trial, Kind.EPOCH).replace(**row)
            self.record(self.search.judge(event))
            if trial.status.is_final:
                return False
        return True

    def on_death(self, tune_id: str, reason: Reason, detail: str) -> None:
        """A worker process died, for a reason as far as it is known, or was killed because it hung."""
        live = self.live[tune_id]
        self._attempt_ended(live, Reason.TIMEOUT if live.is_hung else reason, detail)

    def on_end(self, tune_id: str) -> None:
        """Tune has ended a trial, for whatever cause."""
        self.live.pop(tune_id, None)

    def tick(self) -> None:
        """Between events: commit what is due, merge parts when there are many, show that time passes."""
        self.commit(only_if_due=True)
        if self._commits >= COMPACT_AFTER:
            self._commits = 0
            self.ledger.compact()
        now = time.monotonic()
        if now - self._last_tick >= 1:
            self._last_tick = now
            self.watch(None)

    def interrupt(self) -> None:
        """Record that every attempt still running was interrupted; the trials go on at the next launch."""
        for trial in list(self.search.trials.values()):
            if trial.status is Status.RUNNING:
                self.record(self.search.judge(self._facts(trial.trial, Kind.ATTEMPT_ENDED).replace(attempt=trial.attempt)))
        self.commit()

    def take_hung(self) -> list[str]:
        """Tune ids of attempts whose worker has been silent for too long; each is given once, to be ended."""
        found = self.hung()
        for tune_id in found:
            self.live[tune_id].is_hung, self.live[tune_id].last_report = True, time.monotonic()
        return found

    def hung(self) -> list[str]:
        """Tune ids of trials whose worker has been silent for too long."""
        now = time.monotonic()
        return [
            tune_id
            for tune_id, live in self.live.items()
            if live.has_worker
            and live.silences_s
            and now - live.last_report > max(HANG_LEAST_S, HANG_FACTOR * max(live.silences_s))
        ]

    def _attempt_ended(self, live: _Live, reason: Reason, detail: str) -> None:
        event = self._facts(live.trial, Kind.ATTEMPT_ENDED).replace(attempt=live.attempt, reason=reason, detail=detail)
        self.record(self.search.judge(event))
        self.commit()

    def _facts(self, trial_id: str, kind: Kind) -> Event:
        trial = self.search.trials[trial_id]
        return Event(
            kind=kind,
            trial=trial_id,
            arm=trial.arm,
            architecture=self.search.spec.arms[trial.arm].architecture,
            number=trial.number,
            stage=trial.stage,
            parent=trial.parent,
            seed=trial.seed,
        )
