"""The grid of a search space: its points counted and found by index, never listed, because there may be billions.

The knobs form trees: a knob that depends on another exists in some branches of that one, and multiplies only those. A point's
index is a number in a mixed base, one digit per tree; the digit counts through the branches of the tree's root in turn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sweeper.study.space import Choice, Configuration, Float, Int, Knob, Space, Value

DEFAULT_POINTS = 3
"""Values of a number knob when a study does not say how many."""

LONGEST_RANGE = 100_000
"""Whole numbers of a knob that are counted one by one; of a longer range they count as real numbers do: without end."""


def interpolate(low: float, high: float, share: float, *, log: bool) -> float:
    """The number at a share of a range, from 0 (its low end) to 1 (its high end), on a linear or a logarithmic scale."""
    number = math.exp(interpolate(math.log(low), math.log(high), share, log=False)) if log else low + (high - low) * share
    return min(max(number, low), high)  # rounding may leave the range by a last digit


def num_configurations(space: Space, fixed: Mapping[str, Value], num_points: int | None) -> int | None:
    """How many different configurations an arm can be given, its default one included; None for any number of them.

    Args:
        space: The search space.
        fixed: Values that are not searched, by name.
        num_points: Values of each number knob of the arm's grid; None for an arm that has none.
    """
    grid = Grid(space, fixed, num_points)
    return grid.num_trials if num_points is not None or grid.is_whole else None


def values(knob: Knob, num_points: int | None) -> tuple[Value, ...]:
    """The values of a knob on a grid: all options of a choice, otherwise numbers evenly spaced in its scale, both ends included.

    Args:
        knob: The knob.
        num_points: Values of a number knob, at least 2; fewer for whole numbers that coincide when rounded. None for every whole
            number, and the default alone of a knob that has values without end.
    """
    if isinstance(knob, Choice):
        return knob.options
    assert isinstance(knob, Float | Int)
    if num_points is None:
        return tuple(range(knob.low, knob.high + 1)) if isinstance(knob, Int) and _is_listed(knob) else (knob.default,)
    shares = [step / (num_points - 1) for step in range(1, num_points - 1)]
    numbers = [knob.low, *(interpolate(knob.low, knob.high, share, log=knob.log) for share in shares), knob.high]
    return tuple(dict.fromkeys(map(round if isinstance(knob, Int) else float, numbers)))


class Grid:
    """All combinations of the knobs' values, each knob only where it exists.

    Args:
        space: The search space.
        fixed: Values that are not searched, by name.
        num_points: As for `values`.
    """

    def __init__(self, space: Space, fixed: Mapping[str, Value], num_points: int | None):
        self._space = space
        self._fixed = fixed
        self._values = {name: (fixed[name],) if name in fixed else values(knob, num_points) for name, knob in space.knobs.items()}
        # A fixed knob is in every configuration, whatever the one it depends on.
        conditions = {name: knob.condition for name, knob in space.knobs.items() if knob.condition and name not in fixed}
        self._roots = [name for name in space.knobs if name not in conditions]
        self._branches: dict[str, list[list[str]]] = {
            name: [
                [child for child, (parent, wanted) in conditions.items() if parent == name and value in wanted] for value in own
            ]
            for name, own in self._values.items()
        }
        self._sizes: dict[str, list[int]] = {}
        for name in reversed(self._values):  # a knob comes after the one it depends on
            self._sizes[name] = [self._product(children) for children in self._branches[name]]

    @property
    def size(self) -> int:
        """The number of points, at least 1."""
        return self._product(self._roots)

    def point(self, index: int) -> Configuration:
        """The configuration at an index from 0 to `size` - 1; its knobs are those that exist, and the fixed ones."""
        assert 0 <= index < self.size
        chosen: Configuration = dict(self._fixed)
        self._choose(self._roots, index, chosen)
        return {name: chosen[name] for name in (*self._fixed, *self._space.knobs) if name in chosen}

    @property
    def default_index(self) -> int | None:
        """The index of the space's default configuration; None when one of its values is not on the grid."""
        return self._find(self._roots, self._space.default(self._fixed))

    @property
    def is_whole(self) -> bool:
        """Whether no knob that can exist has values without end, so that a grid of every whole number has every configuration."""
        return self._are_listed(self._roots)

    @property
    def num_trials(self) -> int:
        """Different trials of an arm: the points and, where it is none of them, the default configuration."""
        return self.size + (self.default_index is None)

    def _product(self, names: Sequence[str]) -> int:
        return math.prod(sum(self._sizes[name]) for name in names)

    def _are_listed(self, names: Sequence[str]) -> bool:
        return all(
            (name in self._fixed or _is_listed(self._space.knobs[name])) and all(map(self._are_listed, self._branches[name]))
            for name in names
        )

    def _choose(self, names: Sequence[str], index: int, chosen: Configuration) -> None:
        for name in names:
            index, digit = divmod(index, sum(self._sizes[name]))
            branch = 0
            while digit >= self._sizes[name][branch]:
                digit -= self._sizes[name][branch]
                branch += 1
            chosen[name] = self._values[name][branch]
            self._choose(self._branches[name][branch], digit, chosen)

    def _find(self, names: Sequence[str], configuration: Mapping[str, Value]) -> int | None:
        index, base = 0, 1
        for name in names:
            same = [_are_same(own, configuration[name]) for own in self._values[name]]
            if True not in same:
                return None
            branch = same.index(True)
            below = self._find(self._branches[name][branch], configuration)
            if below is None:
                return None
            index += base * (sum(self._sizes[name][:branch]) + below)
            base *= sum(self._sizes[name])
        return index


def _is_listed(knob: Knob) -> bool:
    """Whether the values of a knob can be counted."""
    return isinstance(knob, Choice) or (isinstance(knob, Int) and knob.high - knob.low < LONGEST_RANGE)


def _are_same(value: Value, other: Value) -> bool:
    """Whether two values are the same, numbers up to rounding; 1 and true are not."""
    if isinstance(value, float) and isinstance(other, float):
        return math.isclose(value, other)
    return value == other and isinstance(value, bool) == isinstance(other, bool)
