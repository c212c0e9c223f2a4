"""How far an arm has come with its share of the budget."""

from __future__ import annotations

import dataclasses

from sweeper.search.distinct import Key, key_of
from sweeper.search.trial import Trial
from sweeper.study.spec import SearchSpec

MOST_REFUSED = 100
"""Draws in a row that its network refuses until an arm ends. Of arms that accept one draw in 20, one in 170 gets there."""


@dataclasses.dataclass(kw_only=True)
class ArmProgress:
    """What an arm was given of its budget.

    A draw that its network refuses is a trial with the reason `infeasible`, and the next draw takes its place in the budget.

    Args:
        begun: Trials of the budget that began, refused ones included: also the number of the next one.
        refused: Those that its network refused.
        refused_in_a_row: Of the newest to end.
        known: Configurations it was given.
        num_configurations: How many different ones there are; None for any number, or where trials do not say.
    """

    begun: int = 0
    refused: int = 0
    refused_in_a_row: int = 0
    known: set[Key] = dataclasses.field(default_factory=set)
    num_configurations: int | None = None

    def begins(self, trial: Trial, num_configurations: int | None) -> None:
        """A trial of the budget begins, of an arm with so many configurations."""
        self.begun += 1
        self.known.add(key_of(trial.configuration))
        self.num_configurations = num_configurations or self.num_configurations

    def ends(self, is_refused: bool) -> None:
        """A trial of the budget has ended."""
        self.refused += is_refused
        self.refused_in_a_row = self.refused_in_a_row + 1 if is_refused else 0

    def num_counted(self, search: SearchSpec) -> int:
        """Trials that count for the budget."""
        return self.begun if search.counts_refused else self.begun - self.refused

    def why_over(self, search: SearchSpec) -> str:
        """Why there is nothing more to be drawn, and what to do, in sentences; empty as long as there is."""
        if search.counts_refused:
            return ""
        if self.refused_in_a_row >= MOST_REFUSED:
            return (
                f"its network refused {MOST_REFUSED} draws in a row. Fix the knobs that do not fit the images, or choose another "
                "size of images"
            )
        size = self.num_configurations
        if search.repeats or size is None or len(self.known) < size:
            return ""
        return used_up(search, size)


def used_up(search: SearchSpec, num_configurations: int) -> str:
    """What to say of an arm that was given every configuration there is."""
    points = f"{num_configurations:,} {'configuration' if num_configurations == 1 else 'configurations'}"
    where, more = ("grid", "Raise search.grid_points, fix") if search.sampler == "grid" else ("space", "Fix")
    return (
        f"its {where} has {points}, its default one included. {more} fewer knobs, or train them again with other seeds "
        "(search.repeats: true)"
    )
