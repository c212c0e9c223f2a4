"""One run of a driver: the search, the ledger, and the attempts that workers have at this moment.

Ray Tune's adapters (`sweeper.driver.tune`) hand in what happens and pass on what is decided; nothing here knows of Ray.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from sweeper import secrecy
from sweeper.driver.crew import Crew
from sweeper.driver.places import Places
from sweeper.driver.retention import CheckpointRetention
from sweeper.errors import SweeperError
from sweeper.ledger.ledger import Ledger
from sweeper.ledger.records import Event, Kind, Reason, Status
from sweeper.search.study import Search
from sweeper.study.spec import ResourcesSpec
from sweeper.training.trial import Assignment

HANG_FACTOR = 20.0
"""A worker is taken for hung when it is silent for this many times its trial's longest silence before an epoch so far ..."""

HANG_LEAST_S = 300.0
"""... and at least this long. Before its first epoch ever a trial is waited for without limit, since compiling may take long."""

COMPACT_AFTER = 1000
"""Commits after which the ledger's parts are merged: some ten minutes of a busy sweep, so that reading it stays fast."""


@dataclasses.dataclass
class _Live:
    """An attempt that a worker has, perhaps one of several."""

    trial: str
    attempt: int
    last_report: float
    silences_s: list[float]
    num_together: int
    is_hung: bool = False


class Session:
    """What the adapters share: the search, the ledger, and which worker has which attempt.

    A worker is known by its Tune trial, and runs one attempt after another, or one group after another: repetitions of one trial
    that it trains together. The next attempts are proposed, and durable, while workers are busy, so that a worker that becomes
    free need not wait for the sampler. A trial whose group failed is tried again alone. Arms may ask for other resources: a
    worker takes attempts of one shape (`sweeper.driver.places`), and the search is asked for arms whose shape has room.

    Args:
        search: The state machine.
        ledger: Open for writing.
        retention: Removes the study's checkpoints that are no longer needed.
        places: How many workers of each shape are wanted at once.
        watch: Called with every event once it is applied, and with None about every second.
        constants: Columns that are the same in every event.
        have_weights: Arms whose trials begin with weights, for which these were read.
        seeds_together: Repetitions of one trial that a worker trains together, at most.
    """

    def __init__(
        self,
        search: Search,
        ledger: Ledger,
        retention: CheckpointRetention,
        places: Places,
        watch: Callable[[Event | None], None],
        constants: Mapping[str, str | None],
        have_weights: Collection[str] = (),
        seeds_together: int = 1,
    ):
        self.search = search
        self.ledger = ledger
        self.retention = retention
        self.places = places
        self.watch = watch
        self.constants = constants
        self.have_weights = set(have_weights)
        self.seeds_together = seeds_together
        self.live: dict[str, list[_Live]] = {}
        self._waiting: list[Assignment] = []
        self.crew = Crew(search, places)
        self._parents: defaultdict[str, set[str]] = defaultdict(set)
        """Trials of which a worker trained repetitions: it has their programs."""
        self._alone: set[str] = set()
        """Trials that failed in a group."""
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

    def wants_worker(self, tune_id: str) -> ResourcesSpec | None:
        """The shape of a worker more that is of use now, which is expected from then on. None for ever: see `is_exhausted`."""
        self._propose()
        waiting = self.crew.shapes_of(one.arm for one in self._waiting)
        shape = self.crew.lacking(self._plan(), waiting, self._at_work())
        if shape is not None:
            self.crew.expect(tune_id, shape)
        self.is_exhausted = not (self.crew.starting or self._waiting or self.live)
        return shape

    def next_attempts(self, tune_id: str, *, is_alone: bool = False) -> list[Assignment]:
        """What a free worker is to run, one attempt or a group, recorded and durable; none when there is nothing for it now."""
        if not self.crew.arrives(tune_id) and self.crew.gives_way(tune_id, self._plan(), self._at_work()):
            return []
        if not (waiting := self._waiting_for(tune_id)):
            self._propose()
            waiting = self._waiting_for(tune_id)
        if not waiting:
            return []
        # Of several that wait, one whose program the worker has: repetitions of one trial differ in their seeds alone.
        known = self._parents[tune_id]
        first = next((one for one in waiting if self.search.trials[one.trial].parent in known), waiting[0])
        group = [first] if is_alone else [first, *self._companions(first)]
        taken = {one.trial for one in group}
        self._waiting = [one for one in self._waiting if one.trial not in taken]
        if (parent := self.search.trials[first.trial].parent) is not None:
            known.add(parent)
        now = time.monotonic()
        self.live[tune_id] = [
            # The silences of its earlier attempts under this driver count.
            _Live(one.trial, one.attempt, now, self._silences_s.setdefault(one.trial, []), num_together=len(group))
            for one in group
        ]
        return group

    def _companions(self, first: Assignment) -> list[Assignment]:
        """Other attempts for the worker that gets this one, to be trained together with it."""
        trial, most = self.search.trials[first.trial], self.seeds_together - 1
        if not most or trial.trial in self._alone:
            return []
        waiting = [one for one in self._waiting if one is not first and one.trial not in self._alone]
        found = [one for one in waiting if trial.differs_in_seed(self.search.trials[one.trial])][:most]
        while len(found) < most and (event := self.search.propose_beside(trial, self._alone)) is not None:
            found.append(self._begin(event))
        self.commit()
        return found

    def on_report(self, tune_id: str, report: dict[str, Any]) -> list[str]:
        """The one door: a worker's report in (see `sweeper.training.trial.Worker.step`); those of its trials that go on out.

        A group's is that of `sweeper.training.together.Together.step`.
        """
        if "fault" in report:
            self._on_fault(tune_id, **report)
            return []
        if tune_id not in self.live:  # what it was started for, another worker took
            return []
        group = self.live[tune_id]
        for live in [*group]:
            if not self._goes_on(live, report["members"][live.trial] if "members" in report else report):
                group.remove(live)
                self._silences_s.pop(live.trial, None)
        if not group:
            del self.live[tune_id]
        return [live.trial for live in group]

    def _on_fault(self, tune_id: str, fault: str, node: str = "", called: str = "") -> None:
        """No trial can run where this worker is. A node that joined later, which then has a name, is left out.

        What was to run there goes on elsewhere; it counts against no trial.
        """
        if not node:
            raise SweeperError(
                f"a worker cannot go on, and no other trial could on it: {fault}\n"
                "Everything so far is saved. Mend this, then launch again to go on."
            )
        if node not in self.places.refused:
            self.places.refuse(node)
            why = fault.strip().splitlines()[-1] + "." if '\n  File "' in fault else secrecy.without(fault)
            self.places.tell(f"{called} is left out: {why} Mend this, and start Ray there again; the study goes on without it.")
        for live in self.live.pop(tune_id, ()):
            self._attempt_ended(live, Reason.NODE_LOST, fault)

    def _goes_on(self, live: _Live, report: dict[str, Any]) -> bool:
        now = time.monotonic()
        live.silences_s.append(now - live.last_report)
        live.last_report = now
        if "failure" in report:
            failure = {**report["failure"]}
            self._attempt_ended(live, Reason(failure.pop("reason")), failure.pop("detail"), **failure)
            return False
        trial = self.search.trials[live.trial]
        for row in report["rows"]:
            event = self._facts(live.trial, Kind.EPOCH).replace(**row)
            self.record(self.search.judge(event))
            if trial.status is not Status.RUNNING:
                return False
        return True

    def on_death(self, tune_id: str, reason: Reason, detail: str) -> None:
        """A worker process died, for a reason as far as it is known, or was killed because it hung.

        One that dies as it starts takes the attempt with it that it was started for, or it would be started for ever.
        """
        if tune_id not in self.live and tune_id in self.crew.starting:
            self.next_attempts(tune_id, is_alone=True)
        for live in self.live.pop(tune_id, ()):
            self._attempt_ended(live, Reason.TIMEOUT if live.is_hung else reason, detail)

    def on_end(self, tune_id: str) -> None:
        """A worker is gone, or has nothing to do."""
        self.live.pop(tune_id, None)
        self.crew.leaves(tune_id)
        self._parents.pop(tune_id, None)

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
        for live in (live for tune_id in found for live in self.live[tune_id]):
            live.is_hung, live.last_report = True, time.monotonic()
        return found

    def hung(self) -> list[str]:
        """Tune ids of trials whose worker has been silent for too long."""
        now = time.monotonic()
        return [
            tune_id
            for tune_id, group in self.live.items()
            if all(
                live.silences_s and now - live.last_report > max(HANG_LEAST_S, HANG_FACTOR * max(live.silences_s))
                for live in group
            )
        ]

    def _propose(self) -> None:
        """Begin what the search proposes, as far as there is room, and make all of it durable."""
        is_new = False
        while (event := self._next()) is not None:
            self._waiting.append(self._begin(event))
            is_new = True
        for event in self.search.endings():
            self.record(event)
            is_new = True
        if is_new:
            self.commit()

    def _next(self) -> Event | None:
        """What the search proposes of arms for which there is room."""
        begun, plan = self._at_work() + self.crew.shapes_of(one.arm for one in self._waiting), self._plan()
        arms = [arm for arm in self.search.spec.arms if begun[shape := self.crew.shape_of(arm)] < self._room(plan.get(shape, 0))]
        event = self.search.propose(arms) if arms else None
        if event is None and not (begun or self.crew.starting):
            return self.search.propose()  # there is no room for it: it waits, or Tune would take the study for finished
        return event

    def _begin(self, event: Event) -> Assignment:
        """The attempt that was proposed, recorded."""
        self.record(event)
        trial = self.search.trials[event.trial or ""]
        parent = self.search.trials.get(trial.parent or "")
        self.retention.begins(trial.trial)
        return Assignment(
            trial=trial.trial,
            arm=trial.arm,
            architecture=event.architecture or "",
            attempt=trial.attempt,
            configuration=trial.configuration,
            seed=trial.seed,
            max_epochs=trial.max_epochs,
            known_epochs=trial.epoch,
            paused_at=self.search.paused_at(trial.trial),
            stage=trial.stage,
            varies=trial.varies,
            parent_seed=parent.seed if trial.varies and parent is not None else None,
        )

    def _room(self, workers: int) -> int:
        """Attempts of a shape that may have begun now, those of one worker counting as one.

        Of repetitions some more, because nothing could be learned before they begin.
        """
        is_planned = bool(self.search.planned) and self.search.is_searched
        return (workers + self.places.ahead if workers else 0) + (workers if is_planned else 0)

    def idle(self) -> dict[ResourcesSpec, int]:
        """Shapes that have work and no worker at it, each with how many workers are wanted of it."""
        at_work = self._at_work()
        return {shape: workers for shape, workers in self._plan().items() if not at_work[shape]}

    def _plan(self) -> dict[ResourcesSpec, int]:
        """Workers wanted of each shape that has work."""
        begun = {self.search.trials[live.trial].arm for group in self.live.values() for live in group}
        return self.crew.plan(begun | {one.arm for one in self._waiting})

    def _at_work(self) -> Counter[ResourcesSpec]:
        """Workers that have attempts, by shape."""
        return self.crew.shapes_of(self.search.trials[group[0].trial].arm for group in self.live.values())

    def _waiting_for(self, tune_id: str) -> list[Assignment]:
        """What waits and a worker could run."""
        return [one for one in self._waiting if self.crew.can_run(tune_id, one.arm)]

    def _attempt_ended(self, live: _Live, reason: Reason | None, detail: str, **sizes: int) -> None:
        if live.num_together > 1 and reason is not Reason.NODE_LOST:
            self._alone.add(live.trial)
            if reason in (Reason.EXCEPTION, Reason.OUT_OF_MEMORY):  # of the group, which may be no fault of this trial
                detail = f"{reason} of {live.num_together} trials trained together; this one is tried again alone: {detail}"
                reason = None
        told = secrecy.without(detail)  # an error may name the address that was asked, with its password
        event = self._facts(live.trial, Kind.ATTEMPT_ENDED).replace(attempt=live.attempt, reason=reason, detail=told, **sizes)
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
            varies=trial.varies,
        )
