"""The race between the arms of a search: who is out now, who was told to be, and how many trials each arm gets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sweeper.search import allocation
from sweeper.search.allocation import Out
from sweeper.search.arm import Arm
from sweeper.study import budget
from sweeper.study.spec import StudySpec


class Race:
    """With `search.allocation: equal` nobody is out.

    Args:
        arms: Of the search, which changes them.
    """

    def __init__(self, arms: Mapping[str, Arm]):
        self._arms = arms
        self._told: dict[str, Out] = {}
        """The arms that were out when the newest trial was suggested, each with why it went out."""
        self._found: dict[str, Out] | None = None

    def counted(self, spec: StudySpec) -> dict[str, int]:
        """Trials that count for the budget so far, by arm."""
        return {arm: self._arms[arm].num_counted(spec.search) for arm in spec.arms}

    def shares(self, spec: StudySpec) -> dict[str, int]:
        """Trials of the budget that each arm gets, as it looks now; in a race that changes."""
        if spec.search.allocation == "equal":
            return budget.shares(spec.budget.trials, spec.arms)
        out = self.out_now(spec)
        racing = [arm for arm in spec.arms if arm not in out and not self._arms[arm].why_over(spec.search)]
        return allocation.shares_in_race(self.counted(spec), spec.budget.trials, racing)

    def out(self, spec: StudySpec) -> dict[str, Out]:
        """The arms that are out, each with why it went out."""
        return {arm: self._told.get(arm, why) for arm, why in self.out_now(spec).items()}

    def out_now(self, spec: StudySpec) -> dict[str, Out]:
        """The arms that are out, each as it stands; once the budget is spent, those that were told last."""
        if spec.search.allocation == "equal":
            return {}
        if sum(self.counted(spec).values()) >= spec.budget.trials:
            return self._told
        if self._found is None:
            sign = 1 if spec.goals[0][0] == "max" else -1
            found = allocation.out_of_race({name: self._arms[name].standing(spec) for name in spec.arms}, spec.budget.trials)
            self._found = {
                arm: dataclasses.replace(why, best=sign * why.best, to_beat=sign * why.to_beat) for arm, why in found.items()
            }
        return self._found

    def goes_on(self) -> None:
        """Something has happened."""
        self._found = None

    def tells(self, out: Mapping[str, Out]) -> None:
        """A trial is suggested while these arms are out."""
        self._told = {arm: self._told.get(arm, why) for arm, why in out.items()}

    def reopens(self) -> None:
        """There are more trials: whoever is out again is out for other reasons."""
        self._told = {}
