"""The state machine of a study: events in, the next proposal and decisions out.

`Search.apply` is the only thing that changes state. What happens next is asked with `Search.propose` (which trial) and
`Search.judge` (go on or stop); both answer with an event that carries its outcome, and applying that event is all that is needed
to follow. So a ledger is folded by applying its events, without asking a sampler again, and a fold gives exactly the state that
wrote the ledger. When a damaged part of the ledger was moved away, events that depend on it are skipped: lost work is done again.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection, Iterable, Mapping

from sweeper.ledger.records import Event, Kind, Reason, Stage, Status, trial_name
from sweeper.search import allocation, details, lessons
from sweeper.search.arm import Arm
from sweeper.search.costs import Columns, Costs
from sweeper.search.promotion import Promotion
from sweeper.search.proposals import Proposals
from sweeper.search.race import Race
from sweeper.search.stopping import Rungs
from sweeper.search.table import Table
from sweeper.search.trial import Trial
from sweeper.streams import seed_of
from sweeper.study.space import Space
from sweeper.study.spec import StudySpec

RETRIES = 2
"""Retries of a trial whose worker died or hung, perhaps because of the trial. A failed trial has none: it would fail again."""

COUNTED = (Reason.DIED, Reason.TIMEOUT)
"""Reasons that count against `RETRIES`. A lost or preempted node and an interruption do not: the trial did not cause them."""


class Search:
    """The search of one study.

    Args:
        spec: The study.
        spaces: The search space of each arm; looked up in the catalog when absent.
        tables: Arms that choose from a table of configurations, as a replay does.
    """

    def __init__(self, spec: StudySpec, spaces: Mapping[str, Space] | None = None, tables: Mapping[str, Table] | None = None):
        self.spec = spec
        found = spaces if spaces is not None else {arm: spec.space_of(arm) for arm in spec.arms}
        self._proposals = Proposals(found, tables or {})
        self.trials: dict[str, Trial] = {}
        self._goal, self._column = spec.goals[0]
        self._costs = Columns.of(spec)
        self.arms = {arm: Arm.of(spec) for arm in spec.arms}
        self._race = Race(self.arms)
        self._waiting: dict[str, None] = {}
        self._planned: dict[str, Trial] = {}

    # ------------------------------------------------------------------------------------------------------- questions

    @property
    def spaces(self) -> dict[str, Space]:
        """The search space of each arm, as far as it was needed."""
        return self._proposals.spaces

    @property
    def finished(self) -> dict[str, list[str]]:
        """Trials that will not run again, by arm, in the order they ended."""
        return {name: [trial.trial for trial in arm.ended] for name, arm in self.arms.items()}

    @property
    def rungs(self) -> dict[str, Rungs | Promotion]:
        """The rungs of every arm."""
        return {name: arm.rungs for name, arm in self.arms.items()}

    @property
    def is_finished(self) -> bool:
        """Whether every trial of the budget, and every repetition asked for, has ended."""
        return not self._waiting and not self._planned and self.is_searched and all(map(_is_final, self.trials.values()))

    @property
    def is_searched(self) -> bool:
        """Whether every trial of the search stage has ended; repetitions with other seeds do not matter."""
        return self.num_left == 0

    @property
    def num_left(self) -> int:
        """Trials of the search stage that have not ended, those to come included."""
        to_come = sum(map(self.to_come, self.arms))
        to_come += sum(trial.stage is Stage.SEARCH for trial in self._planned.values())
        return to_come + sum(not trial.status.is_final for trial in self.of_stage(Stage.SEARCH))

    def to_come(self, arm: str) -> int:
        """Trials of an arm's share of the budget that have not begun; none once the arm has ended early."""
        progress, search = self.arms[arm], self.spec.search
        return 0 if progress.why_over(search) else max(self._race.shares(self.spec)[arm] - progress.num_counted(search), 0)

    @property
    def out(self) -> dict[str, allocation.Out]:
        """The arms that are out of the race, each with why it went out."""
        return self._race.out(self.spec)

    def why_early(self, arm: str) -> str:
        """Why an arm gets fewer trials than its share, and what to do, in sentences; empty when it does not."""
        if (out := self.out.get(arm)) is not None:
            return f"arm '{arm}' {out.words}"
        progress, share = self.arms[arm], self.spec.trials_of(arm)
        counted, why = progress.num_counted(self.spec.search), progress.why_over(self.spec.search)
        return f"arm '{arm}' ends after {counted} of {share} trials: {why}" if why and counted < share else ""

    @property
    def planned(self) -> tuple[Trial, ...]:
        """Repetitions asked for that have not begun."""
        return tuple(self._planned.values())

    def knows(self, trial: str) -> bool:
        """Whether a trial of this id has begun or is planned."""
        return trial in self.trials or trial in self._planned

    def of_stage(self, stage: Stage) -> list[Trial]:
        """The trials of a stage, in the order they began."""
        return [trial for trial in self.trials.values() if trial.stage is stage]

    def propose(self, arms: Collection[str] | None = None) -> Event | None:
        """The next attempt to dispatch.

        Interrupted trials come first, in the order they were interrupted, then those that are promoted, then those trained anew
        for more epochs, then a new one of the budget, then repetitions with other seeds. None when there is nothing to start
        now. The event changes nothing until it is applied.

        Args:
            arms: Of these alone, because there is room for no other; None for all.
        """
        asked = self.spec.arms if arms is None else arms
        if name := self._next_begun(asked):
            trial = self.trials[name]
            return self._suggested(trial, trial.attempt + 1)
        arm = self._next_arm(asked)
        of_these = [trial for trial in self._planned.values() if trial.arm in asked]
        planned = [trial for trial in of_these if arm is None or trial.stage is Stage.SEARCH]
        if planned:
            return self._suggested(min(planned, key=lambda trial: trial.stage is not Stage.SEARCH), attempt=1)
        if arm is None:
            return None
        count = self.arms[arm].begun
        number = next(number for number in (count, *range(count)) if trial_name(arm, number) not in self.trials)
        configuration = self._proposals.configuration(self.spec, arm, number, self.arms[arm])
        again = next((trial for trial in self.arms[arm].reconsidered if trial.configuration == configuration), None)
        if again is not None:
            return self._suggested(again, again.attempt + 1)
        return self._suggested(
            Trial(
                trial=trial_name(arm, number),
                arm=arm,
                number=number,
                seed=seed_of(self.spec.search.seed, arm, number, "trial"),
                configuration=configuration,
                max_epochs=self.spec.budget.max_epochs,
            ),
            attempt=1,
        )

    def has_next(self, arm: str) -> bool:
        """Whether an attempt of an arm could be dispatched now."""
        planned = (trial.arm == arm for trial in self._planned.values())
        return self._next_arm([arm]) is not None or self._next_begun([arm]) is not None or any(planned)

    def propose_beside(self, trial: Trial, passed_over: Collection[str]) -> Event | None:
        """The next attempt at a repetition that differs from a trial in its seed alone, interrupted ones first; None without any.

        Args:
            trial: A repetition that has begun.
            passed_over: Trials that are not to be proposed.
        """
        asked_for = [*(self.trials[name] for name in self._waiting), *self._planned.values()]
        found = (other for other in asked_for if trial.differs_in_seed(other) and other.trial not in passed_over)
        other = next(found, None)
        return None if other is None else self._suggested(other, other.attempt + 1)

    def judge(self, event: Event) -> Event:
        """The same event with its outcome: the trial's status and reason after it.

        Args:
            event: An epoch with its metrics, or the end of an attempt with its reason (none for an interruption).
        """
        trial = self.trials[event.trial or ""]
        if event.kind is Kind.ATTEMPT_ENDED:
            if event.reason is Reason.RUNG:  # it waited there to the end
                return event.replace(status=Status.STOPPED)
            is_worth_a_retry = event.reason in COUNTED and trial.lost < RETRIES
            again = event.reason in (None, Reason.NODE_LOST) or is_worth_a_retry
            return event.replace(status=Status.INTERRUPTED if again else Status.FAILED)
        assert event.kind is Kind.EPOCH and event.epoch is not None
        score = self.score(event)
        if event.epoch != trial.epoch + 1:  # trained again after an interruption: decided already
            return event.replace(status=Status.RUNNING)
        if not math.isfinite(score) or not math.isfinite(event.train_loss if event.train_loss is not None else 0.0):
            return event.replace(status=Status.FAILED, reason=Reason.NAN)
        if event.epoch >= trial.max_epochs:
            return event.replace(status=Status.COMPLETED, reason=Reason.MAX_EPOCHS)
        if trial.stage is Stage.SEARCH and self.spec.stopping.rule != "none":
            arm, rungs = self.arms[trial.arm], self.arms[trial.arm].rungs
            if isinstance(rungs, Promotion):
                if rungs.pauses(trial.trial, event.epoch):
                    return event.replace(status=Status.PAUSED, reason=Reason.RUNG)
            elif rungs.stops(event.epoch, score, arm.weighed(self._costs_after(event, trial))):
                return event.replace(status=Status.STOPPED, reason=Reason.RUNG)
        return event.replace(status=Status.RUNNING)

    def endings(self) -> list[Event]:
        """What ends the trials that wait at a rung and will never be promoted; to be recorded when nothing can be started."""
        waiting = [trial for name, arm in self.arms.items() for trial in arm.given_up(is_over=self._is_over(name))]
        return [self.judge(self._facts(trial, Kind.ATTEMPT_ENDED).replace(reason=Reason.RUNG)) for trial in waiting]

    def paused_at(self, trial: str) -> list[int]:
        """Epochs after which a trial may have to wait: all rungs, since one that is not trusted now may be by then."""
        promotion = self.arms[self.trials[trial].arm].promotion
        can_wait = promotion is not None and self.trials[trial].stage is Stage.SEARCH and trial not in promotion.audits
        return list(promotion.recorded) if promotion is not None and can_wait else []

    def score(self, event: Event) -> float:
        """The first objective of an epoch row, turned so that higher is better; NaN when it is absent."""
        value = getattr(event, self._column)
        return math.nan if value is None else value if self._goal == "max" else -value

    # --------------------------------------------------------------------------------------------------------- changes

    def apply(self, event: Event) -> None:
        """Follow one event."""
        self._race.goes_on()
        if event.kind is Kind.SUGGESTED:
            self._apply_suggested(event)
        elif event.kind is Kind.PLANNED:
            self._apply_planned(event)
        elif event.kind is Kind.LEARNED:
            self._apply_learned(event)
        elif event.kind is Kind.EXTENDED and event.trial is None:
            self._apply_extended(event)
        elif event.trial is not None and event.trial not in self.trials:
            return
        elif event.kind is Kind.EPOCH:
            self._apply_epoch(event)
        elif event.kind is Kind.EXTENDED:
            self._apply_lengthened(event)
        elif event.kind is Kind.ATTEMPT_ENDED:
            trial = self.trials[event.trial or ""]
            assert event.status is not None
            if event.parameters is not None:  # a network that exceeds a constraint
                trial.costs.append(self._costs_after(event, trial))
            trial.lost += event.reason in COUNTED
            self._settle(trial, event.status, event.reason)
        elif event.kind is Kind.DRIVER_STARTED:
            for trial in self.trials.values():
                if trial.status is Status.RUNNING:
                    self._settle(trial, Status.INTERRUPTED, None)

    def fold(self, events: Iterable[Event]) -> Search:
        """Follow all events, in order; the search itself."""
        for event in events:
            self.apply(event)
        return self

    def _apply_planned(self, event: Event) -> None:
        for planned in details.repetitions_in(event):
            if planned.arm in self.spec.arms and planned.trial not in self.trials:
                self._planned.setdefault(planned.trial, Trial(**dataclasses.asdict(planned)))

    def _apply_learned(self, event: Event) -> None:
        for source in lessons.sources_in(event):
            for name in source.lessons.keys() & self.arms.keys():
                self.arms[name].lessons += source.lessons[name]
        self._proposals.forget()

    def _apply_extended(self, event: Event) -> None:
        before, self.spec = self.spec.budget.trials, details.study_in(event)
        if self.spec.budget.trials > before:
            self._race.reopens()
        for name in self.spec.arms:
            arm = self.arms.setdefault(name, Arm.of(self.spec))
            arm.rungs, arm.refused_in_a_row = arm.rungs_up_to(self.spec.budget.max_epochs), 0
        self._proposals.forget()  # of the trials that ended some are about to be reopened

    def _apply_lengthened(self, event: Event) -> None:
        trial = self.trials[event.trial or ""]
        assert event.status is not None and event.max_epochs is not None
        trial.max_epochs = event.max_epochs
        if trial.status.is_final:
            self.arms[trial.arm].reopens(trial)
        if event.status is not trial.status:
            self._settle(trial, event.status, None)

    def _apply_suggested(self, event: Event) -> None:
        assert event.trial and event.arm and event.number is not None and event.attempt and event.configuration
        if event.arm not in self.spec.arms:  # the extension that brought it is lost
            return
        if event.trial not in self.trials:
            self.trials[event.trial] = Trial(
                trial=event.trial,
                arm=event.arm,
                number=event.number,
                seed=event.seed or 0,
                stage=event.stage or Stage.SEARCH,
                parent=event.parent,
                varies=event.varies,
                configuration=json.loads(event.configuration),
                max_epochs=event.max_epochs or self.spec.budget.max_epochs,
            )
            self.arms[event.arm].begins(
                self.trials[event.trial], details.num_configurations_in(event), is_audit=details.is_audit(event)
            )
            self._planned.pop(event.trial, None)
        trial = self.trials[event.trial]
        if trial.is_of_budget:
            self._race.tells(details.out_in(event))
        trial.attempt = event.attempt
        self._settle(trial, Status.RUNNING, None)

    def _apply_epoch(self, event: Event) -> None:
        trial = self.trials[event.trial or ""]
        assert event.epoch is not None and event.status is not None
        if event.epoch != trial.epoch + 1:
            return
        score = self.score(event)
        trial.costs.append(self._costs_after(event, trial))
        trial.scores.append(score)
        self._settle(trial, event.status, event.reason)
        if trial.stage is Stage.SEARCH:
            self.arms[trial.arm].records(trial, score)

    def _settle(self, trial: Trial, status: Status, reason: Reason | None) -> None:
        trial.status, trial.reason = status, reason
        self._waiting.pop(trial.trial, None)
        if status is Status.INTERRUPTED:
            self._waiting[trial.trial] = None
        if trial.stage is Stage.SEARCH:
            self.arms[trial.arm].settles(trial)

    # --------------------------------------------------------------------------------------------------------- details

    def _next_arm(self, arms: Collection[str]) -> str | None:
        counted, shares = self._race.counted(self.spec), self._race.shares(self.spec)
        return allocation.next_arm(counted, {arm: shares[arm] if arm in arms and self.to_come(arm) else 0 for arm in counted})

    def _is_over(self, arm: str) -> bool:
        """Whether no further trial of an arm will come. In a race one that is out may return as long as there are trials."""
        is_race = self.spec.search.allocation == "racing"
        return not any(map(self.to_come, self.spec.arms if is_race else [arm]))

    def _costs_after(self, event: Event, trial: Trial) -> Costs:
        return self._costs.after(event, trial.costs[-1] if trial.costs else (), trial.epoch + 1)

    def _facts(self, trial: Trial, kind: Kind) -> Event:
        return Event(
            kind=kind,
            trial=trial.trial,
            arm=trial.arm,
            architecture=self.spec.arms[trial.arm].architecture,
            number=trial.number,
            stage=trial.stage,
            parent=trial.parent,
            seed=trial.seed,
            varies=trial.varies,
            attempt=trial.attempt,
        )

    def _next_begun(self, arms: Collection[str]) -> str | None:
        """A trial that was interrupted, or one that waits at a rung and goes on now."""
        found = (
            arm.next_promoted(is_over=self._is_over(name)) for name, arm in self.arms.items() if arm.promotion and name in arms
        )
        interrupted = (name for name in self._waiting if self.trials[name].arm in arms)
        return next(interrupted, None) or next((trial for trial in found if trial is not None), None)

    def _detail(self, trial: Trial) -> str | None:
        if not trial.is_of_budget:
            return None
        promotion = self.arms[trial.arm].promotion
        is_audit = promotion is not None and trial.trial not in self.trials and promotion.wants_audit
        size = self._proposals.num_configurations(self.spec, trial.arm)
        return details.suggested_detail(size, is_audit=is_audit, out=self._race.out_now(self.spec))

    def _suggested(self, trial: Trial, attempt: int) -> Event:
        return self._facts(trial, Kind.SUGGESTED).replace(
            attempt=attempt,
            status=Status.RUNNING,
            configuration=json.dumps(trial.configuration),
            max_epochs=trial.max_epochs,
            detail=self._detail(trial),
        )


def _is_final(trial: Trial) -> bool:
    return trial.status.is_final
