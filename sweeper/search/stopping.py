"""Early stopping: is a trial among the best of its arm at this rung?"""

from __future__ import annotations

import dataclasses

import numpy as np

from sweeper.search.costs import Costs
from sweeper.search.ranking import best_first


@dataclasses.dataclass
class Rungs:
    """Asynchronous successive halving over the trials of ONE arm, so that architectures never stop each other.

    At rung ``grace * factor ** k`` a trial is stopped when its value lies below the quantile ``1 - 1 / factor`` of the values
    recorded there before it; its own value is recorded either way. The first trial at a rung always goes on.

    Where costs count, a trial goes on if at most ``(n - 1) / factor`` of the n trials recorded there come before it: see
    `sweeper.search.ranking`.

    Args:
        grace_epochs: Epoch of the first rung, at least 1.
        reduction_factor: One trial in this many survives a rung, a whole number of at least 2.
        max_epochs: A trial that trained this long is complete; there is no rung.

    Source: Li et al. 2018, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2, in its stopping form.
    """

    grace_epochs: int
    reduction_factor: int
    max_epochs: int
    recorded: dict[int, dict[str, float]] = dataclasses.field(default_factory=dict)
    costs: dict[int, dict[str, Costs]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        rung = self.grace_epochs
        while rung < self.max_epochs:
            self.recorded.setdefault(rung, {})
            self.costs.setdefault(rung, {})
            rung *= self.reduction_factor

    def lengthened(self, max_epochs: int) -> Rungs:
        """The same rungs with what was recorded there, and the further rungs of a longer training."""
        recorded = {rung: dict(scores) for rung, scores in self.recorded.items()}
        costs = {rung: dict(own) for rung, own in self.costs.items()}
        return dataclasses.replace(self, max_epochs=max_epochs, recorded=recorded, costs=costs)

    def stops(self, epoch: int, score: float, costs: Costs = ()) -> bool:
        """Whether a trial with this score (higher is better, finite) ends at this epoch; False between rungs.

        Args:
            epoch: From 1.
            score: Of the trial.
            costs: Of the trial; empty where the score alone counts.
        """
        peers = self.recorded.get(epoch)
        if not peers:
            return False
        if not costs:
            return score < self.cutoff(epoch)
        ranked = best_first({"": score, **peers}, {"": costs, **self.costs[epoch]})
        return self.reduction_factor * ranked.index("") > len(peers) - 1

    def cutoff(self, epoch: int) -> float:
        """The score below which a trial is stopped at the rung `epoch`; -inf when no trial was recorded there."""
        peers = self.recorded[epoch]
        quantile = (1 - 1 / self.reduction_factor) * 100
        return float(np.percentile(list(peers.values()), quantile)) if peers else -np.inf

    def record(self, trial: str, epoch: int, score: float, costs: Costs = (), *, is_complete: bool = False) -> None:
        """Remember a trial's score and costs if `epoch` is a rung; whether it is complete does not matter."""
        if epoch in self.recorded:
            self.recorded[epoch].setdefault(trial, score)
            self.costs[epoch].setdefault(trial, costs)
