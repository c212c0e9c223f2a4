"""Promotion: trials pause at rungs, and the best go on; some never pause, and say whether rungs can be trusted.

Stopping lets a trial pass that comes first, and decides for good by what was there at that moment. Here nobody has a free pass: a
trial waits at a rung until it is among the best of all that ever came there.

A rung only helps where it tells who will be good in the end. So one part of all epochs goes to **audits**: trials that never
pause. A rung that the best audits would not have passed is not trusted any more: nobody pauses there, and trials that wait there
may be taken up again.
"""

from __future__ import annotations

import dataclasses
import math

from sweeper.search.costs import Costs
from sweeper.search.ranking import best_first

AUDITED = 0.25
"""Part of all epochs for audits."""

LEAST_AUDITS = 3
"""Finished audits before they judge."""


@dataclasses.dataclass
class Promotion:
    """Asynchronous successive halving that promotes, over the trials of ONE arm, with audits.

    Rungs are at ``grace * factor ** k`` epochs. A pure function of the calls so far.

    Args:
        grace_epochs: Epoch of the first rung, at least 1.
        reduction_factor: One trial in this many goes on from a rung, a whole number of at least 2.
        max_epochs: A trial that trained this long is complete; there is no rung.

    Source: Li et al. 2018, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2. Audits are our own.
    """

    grace_epochs: int
    reduction_factor: int
    max_epochs: int
    recorded: dict[int, dict[str, float]] = dataclasses.field(default_factory=dict)
    """Scores by rung and trial, higher is better."""
    costs: dict[int, dict[str, Costs]] = dataclasses.field(default_factory=dict)
    """Costs likewise; empty ones where scores alone count."""
    paused: dict[str, int] = dataclasses.field(default_factory=dict)
    """Trials that wait, and at which rung."""
    audits: dict[str, float | None] = dataclasses.field(default_factory=dict)
    """Trials that never pause, with their final score once they are complete."""
    audit_costs: dict[str, Costs] = dataclasses.field(default_factory=dict)
    """What the complete ones of them cost."""
    epochs: int = 0
    """Trained so far, by all trials."""
    untrusted: int = 0
    """The highest rung that is not trusted; the lower ones are not either."""

    def __post_init__(self) -> None:
        rung = self.grace_epochs
        while rung < self.max_epochs:
            self.recorded.setdefault(rung, {})
            self.costs.setdefault(rung, {})
            rung *= self.reduction_factor

    # ------------------------------------------------------------------------------------------------------- questions

    def pauses(self, trial: str, epoch: int) -> bool:
        """Whether a trial waits after this epoch."""
        return epoch in self.recorded and epoch > self.untrusted and trial not in self.audits

    def next_promoted(self, *, is_over: bool) -> str | None:
        """The trial that goes on next, of the highest rung and the best there; None when all have to wait.

        Args:
            is_over: Whether no other trial will come. Then at least one goes on from every rung, so that one completes.
        """
        for rung in sorted(self.recorded, reverse=True):
            if rung > self.untrusted:
                scores = self.recorded[rung]
                quota = max(len(scores) // self.reduction_factor, int(is_over))
                for trial in best_first(scores, self.costs[rung])[:quota]:
                    if self.paused.get(trial) == rung:
                        return trial
        return None

    @property
    def reconsidered(self) -> list[str]:
        """Trials that wait at a rung that is not trusted any more: candidates like new configurations."""
        return [trial for trial, rung in self.paused.items() if rung <= self.untrusted]

    @property
    def wants_audit(self) -> bool:
        """Whether the next new trial is one that never pauses."""
        return len(self.audits) + 1 <= AUDITED * self.epochs / self.max_epochs

    def counts(self, epoch: int) -> bool:
        """Whether a score after so many epochs says something about its end; it does not at a rung without trust."""
        return epoch > self.untrusted or epoch not in self.recorded

    # --------------------------------------------------------------------------------------------------------- changes

    def audit(self, trial: str) -> None:
        """This trial never pauses."""
        self.audits.setdefault(trial, None)

    def settle(self, trial: str, epoch: int, *, is_paused: bool) -> None:
        """This trial waits since this epoch, or no longer."""
        if is_paused:
            self.paused[trial] = epoch
        else:
            self.paused.pop(trial, None)

    def record(self, trial: str, epoch: int, score: float, costs: Costs = (), *, is_complete: bool) -> None:
        """Remember a trial's score and costs after an epoch: at a rung, and at the end of an audit."""
        self.epochs += 1
        if epoch in self.recorded:
            self.recorded[epoch].setdefault(trial, score)
            self.costs[epoch].setdefault(trial, costs)
        if is_complete and trial in self.audits:
            self.audits[trial], self.audit_costs[trial] = score, costs
            self._judge()

    def lengthened(self, max_epochs: int) -> Promotion:
        """The rungs of a longer training, of which nothing is recorded; who waits and who is an audit stays."""
        audits = dict.fromkeys(self.audits)
        return Promotion(self.grace_epochs, self.reduction_factor, max_epochs, paused=dict(self.paused), audits=audits)

    def _judge(self) -> None:
        """Trust the rungs where at least half of the best audits were among the best."""
        finished = {trial: score for trial, score in self.audits.items() if score is not None}
        if len(finished) < LEAST_AUDITS:
            return
        best = _best_third(finished, self.audit_costs)
        missed = [
            rung
            for rung, scores in self.recorded.items()
            if 2 * len(best & _best_third(scores, self.costs[rung])) < len(best & scores.keys())
        ]
        self.untrusted = max(missed, default=0)


def _best_third(scores: dict[str, float], costs: dict[str, Costs]) -> set[str]:
    return set(best_first(scores, costs)[: math.ceil(len(scores) / 3)])
