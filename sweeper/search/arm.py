"""One arm of a search: its trials, its rungs, and how far it has come with its share of the budget."""

from __future__ import annotations

import dataclasses
import math

from sweeper.ledger.records import Reason, Stage, Status
from sweeper.search.allocation import Standing
from sweeper.search.costs import Columns, Costs
from sweeper.search.distinct import Key, key_of
from sweeper.search.history import Finished
from sweeper.search.promotion import Promotion
from sweeper.search.stopping import Rungs
from sweeper.search.trial import Trial
from sweeper.study.spec import SearchSpec, StudySpec

MOST_REFUSED = 100
"""Draws in a row that its network refuses until an arm ends. Of arms that accept one draw in 20, one in 170 gets there."""


@dataclasses.dataclass(kw_only=True)
class Arm:
    """An arm's trials of the search stage, and what it was given of its budget.

    A draw that its network refuses is a trial with the reason `infeasible`, and the next draw takes its place in the budget.

    Args:
        rungs: Where its trials are stopped, or wait.
        num_weighed: Costs of a trial that count there, see `sweeper.search.costs`.
        trials: In the order they began.
        ended: Those that will not run again, in the order they ended. From call to call it only grows, until an extension.
        begun: Trials of the budget that began, refused ones included: also the number of the next one.
        refused: Those that its network refused.
        refused_in_a_row: Of the newest to end.
        known: Configurations it was given.
        num_configurations: How many different ones there are; None for any number, or where trials do not say.
        lessons: Trials of earlier studies, for its sampler alone.
    """

    rungs: Rungs | Promotion
    num_weighed: int = 0
    trials: list[Trial] = dataclasses.field(default_factory=list)
    ended: list[Trial] = dataclasses.field(default_factory=list)
    begun: int = 0
    refused: int = 0
    refused_in_a_row: int = 0
    known: set[Key] = dataclasses.field(default_factory=set)
    num_configurations: int | None = None
    lessons: list[Finished] = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, spec: StudySpec) -> Arm:
        """A new arm of a study."""
        stopping = spec.stopping
        kind = Promotion if stopping.rule == "promote" else Rungs
        rungs = kind(stopping.grace_epochs, stopping.reduction_factor, spec.budget.max_epochs)
        return cls(rungs=rungs, num_weighed=Columns.of(spec).num_weighed)

    # ------------------------------------------------------------------------------------------------------- questions

    @property
    def promotion(self) -> Promotion | None:
        """Its rungs, where trials are promoted."""
        return self.rungs if isinstance(self.rungs, Promotion) else None

    @property
    def reconsidered(self) -> list[Trial]:
        """Trials that wait at a rung which is not trusted any more."""
        names = self.promotion.reconsidered if self.promotion else []
        return [trial for trial in self.trials if trial.trial in names] if names else []

    @property
    def num_epochs(self) -> int:
        """Epochs of all its trials."""
        return sum(trial.epoch for trial in self.trials)

    @property
    def is_at_rest(self) -> bool:
        """Whether none of its trials runs or is to run; some may wait at a rung."""
        return all(trial.is_at_rest for trial in self.trials)

    def next_promoted(self, *, is_over: bool) -> str | None:
        """A trial that waits at a rung and goes on now.

        Args:
            is_over: Whether no other trial of the arm will come.
        """
        promotion = self.promotion
        if promotion is None or not promotion.paused:
            return None
        return promotion.next_promoted(is_over=is_over and self.is_at_rest)

    def given_up(self, *, is_over: bool) -> list[Trial]:
        """Trials that wait at a rung and will never go on; as for `next_promoted`."""
        promotion = self.promotion
        if promotion is None or not (promotion.paused and is_over and self.is_at_rest) or promotion.next_promoted(is_over=True):
            return []
        return [trial for trial in self.trials if trial.status is Status.PAUSED]

    def weighed(self, costs: Costs) -> Costs:
        """Those that count at a rung."""
        return costs[: self.num_weighed]

    def rungs_up_to(self, max_epochs: int) -> Rungs | Promotion:
        """The rungs it has if its trials may train for more epochs, with those on them that came so far."""
        rungs = self.rungs.lengthened(max_epochs)
        for trial in self.trials:
            for epoch, (score, costs) in enumerate(zip(trial.scores, trial.costs, strict=False), start=1):
                if math.isfinite(score):
                    rungs.record(trial.trial, epoch, score, self.weighed(costs), is_complete=epoch >= max_epochs)
        return rungs

    def num_counted(self, search: SearchSpec) -> int:
        """Trials that count for the budget."""
        return self.begun if search.counts_refused else self.begun - self.refused

    def why_over(self, search: SearchSpec) -> str:
        """Why there is nothing more to be drawn, and what to do, in sentences; empty as long as there is."""
        if search.counts_refused:
            return ""
        if self.refused_in_a_row >= MOST_REFUSED:
            return (
                f"its network refused {MOST_REFUSED} draws in a row. Fix the knobs that do not fit the images or a constraint, "
                "or choose another size of images"
            )
        size = self.num_configurations
        if search.repeats or size is None or len(self.known) < size:
            return ""
        return used_up(search, size)

    def standing(self, spec: StudySpec) -> Standing:
        """Where it stands in a race. It is judged once a trial came to the top rung, or to its end where rungs tell nothing."""
        top = max(self.rungs.recorded, default=0)
        is_told = spec.stopping.rule != "none" and top and (self.promotion is None or self.promotion.counts(top))
        at_rest = [trial.scores[-1] for trial in self.trials if trial.scores and trial.is_at_rest]
        return Standing(
            counted=self.num_counted(spec.search),
            curves=[trial.scores for trial in self.trials],
            ends=list(filter(math.isfinite, at_rest)),
            least_epochs=top if is_told else spec.budget.max_epochs,
            is_open=not self.why_over(spec.search),
        )

    # --------------------------------------------------------------------------------------------------------- changes

    def begins(self, trial: Trial, num_configurations: int | None, *, is_audit: bool) -> None:
        """A trial begins.

        Args:
            trial: The trial; outside the search stage it does not matter here.
            num_configurations: How many configurations the arm has, if counted.
            is_audit: Whether the trial never waits at a rung.
        """
        if trial.stage is Stage.SEARCH:
            self.trials.append(trial)
        if trial.is_of_budget:
            self.begun += 1
            self.known.add(key_of(trial.configuration))
            self.num_configurations = num_configurations or self.num_configurations
            if is_audit and self.promotion:
                self.promotion.audit(trial.trial)

    def records(self, trial: Trial, score: float) -> None:
        """A trial has this score after the epoch that ended now, with the status it has now."""
        if math.isfinite(score):
            is_complete = trial.status is Status.COMPLETED
            self.rungs.record(trial.trial, trial.epoch, score, self.weighed(trial.costs[-1]), is_complete=is_complete)

    def settles(self, trial: Trial) -> None:
        """A trial of the search stage has a new status."""
        if self.promotion:
            self.promotion.settle(trial.trial, trial.epoch, is_paused=trial.status is Status.PAUSED)
        if trial.status.is_final:
            self.ended.append(trial)
            if trial.is_of_budget:
                is_refused = trial.reason is Reason.INFEASIBLE
                self.refused += is_refused
                self.refused_in_a_row = self.refused_in_a_row + 1 if is_refused else 0

    def reopens(self, trial: Trial) -> None:
        """A trial that had ended goes on."""
        self.ended.remove(trial)


def used_up(search: SearchSpec, num_configurations: int) -> str:
    """What to say of an arm that was given every configuration there is."""
    points = f"{num_configurations:,} {'configuration' if num_configurations == 1 else 'configurations'}"
    where, more = ("grid", "Raise search.grid_points, fix") if search.sampler == "grid" else ("space", "Fix")
    return (
        f"its {where} has {points}, its default one included. {more} fewer knobs, or train them again with other seeds "
        "(search.repeats: true)"
    )
