"""What a search knows of a trial beside its score: the objectives after the first, and what is constrained."""

from __future__ import annotations

import dataclasses
import math

from sweeper.ledger.records import Event
from sweeper.study.spec import StudySpec

Costs = tuple[float, ...]
"""Of one trial, one for each of `Columns.goals`. Lower is better; inf where it is not known."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns that costs are read from.

    Args:
        goals: ``min`` or ``max``, and the column. A cost to be minimised is the column itself; an accuracy becomes its error.
        num_weighed: The first so many are weighed against the score; the others are constrained alone.
        limits: The largest of each that is allowed; inf where there is no constraint; empty without any.
    """

    goals: tuple[tuple[str, str], ...] = ()
    num_weighed: int = 0
    limits: tuple[float, ...] = ()

    @classmethod
    def of(cls, spec: StudySpec) -> Columns:
        """Those of a study; none where the first objective alone is searched."""
        if spec.search.sampler != "trees":
            return cls()
        weighed, limits = spec.goals[1:], spec.limits
        goals = tuple(dict.fromkeys([*weighed, *(("min", column) for column in limits)]))
        return cls(
            goals=goals,
            num_weighed=len(weighed),
            limits=tuple(limits.get(column, math.inf) for _, column in goals) if limits else (),
        )

    def exceeds(self, costs: Costs) -> bool:
        """Whether costs that are known are larger than allowed."""
        return any(limit < cost < math.inf for cost, limit in zip(costs, self.limits, strict=False))

    def after(self, event: Event, before: Costs, epoch: int) -> Costs:
        """The costs of a trial after one more event.

        Sizes are those of its newest row, seconds are the mean of its epochs, memory is its largest. So trials that came to
        different epochs can be compared.

        Args:
            event: An epoch of it, or its end.
            before: Its costs until then; empty before the first.
            epoch: Epochs known of it, this one included.
        """
        old = before or (math.inf,) * len(self.goals)
        return tuple(_cost(event, goal, column, own, epoch) for (goal, column), own in zip(self.goals, old, strict=True))


def _cost(event: Event, goal: str, column: str, before: float, epoch: int) -> float:
    value = getattr(event, column)
    if value is None or not math.isfinite(value):
        return before
    cost = float(value) if goal == "min" else 1.0 - value
    if math.isinf(before):
        return cost
    if column == "train_s":
        return before + (cost - before) / epoch
    return max(before, cost) if column == "peak_memory_mb" else cost
