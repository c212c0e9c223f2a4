"""Samplers that lay an arm's points out in advance: number n gets the same configuration whatever happened before it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from sweeper.search.history import Finished
from sweeper.study.grid import Grid, interpolate
from sweeper.study.space import Choice, Configuration, Float, Int, Knob, Space, Value

STRIDES = 24
"""Orders of a grid among which ``grid`` chooses; more hardly find a better one."""

LOOKED_AT = 24
"""First points of an order, by which it is judged: about what an arm of a small study trains."""


class QmcSampler:
    """Points of a scrambled Sobol sequence: spread over the space more evenly than chance spreads them.

    Every knob that is not fixed has a dimension of its own, conditional ones also where they do not exist, so what one knob gets
    never moves another. Trial 1 has the first point of the sequence: without it the first 2, 4, 8, ... would be out of balance.

    Args:
        space: The search space.
        fixed: Values that are not searched, by name.
        seed: Of the arm; another one scrambles differently.

    Source: Owen 1998, "Scrambling Sobol' and Niederreiter-Xing points"; SciPy's form of it.
    """

    def __init__(self, space: Space, fixed: Mapping[str, Value], seed: int):
        self._space = space
        self._fixed = fixed
        self._seed = seed
        self._dimensions = [name for name in space.knobs if name not in fixed]

    def suggest(self, history: Sequence[Finished], *, number: int, seed: int) -> Configuration:
        """As `Sampler.suggest`; only `number` matters."""
        from scipy.stats import qmc

        sequence = qmc.Sobol(max(len(self._dimensions), 1), scramble=True, rng=self._seed)
        if number > 1:  # SciPy cannot skip 0 points
            sequence.fast_forward(number - 1)
        shares = sequence.random(1)[0]
        share_of = dict(zip(self._dimensions, map(float, shares), strict=False))
        return self._space.fill(self._fixed, lambda name, knob: value_at(knob, share_of[name]))


class GridSampler:
    """The points of a grid, each once, in an order that covers the whole of it early; the default configuration is left out.

    The order goes through the grid in equal strides, round and round. A stride that shares no divisor with the number of points
    meets each of them. Some strides keep a knob at one value for long, so of several strides the one is used whose first points
    are least alike. A number beyond the last point starts again; a study file that would need it is refused.

    Args:
        grid: The grid.
        seed: Of the arm; another one gives another order.

    Source: Xu 2002, "An algorithm for constructing orthogonal and nearly-orthogonal arrays": the measure of likeness.
    """

    def __init__(self, grid: Grid, seed: int):
        self._grid = grid
        generator = np.random.default_rng(seed)
        # As a share of the grid, because there may be more points than numpy's integers can count.
        self._offset = int(generator.random() * grid.size)
        strides = [_coprime(int(share * grid.size), grid.size) for share in generator.random(STRIDES)]
        self._stride = min(strides, key=self._likeness)
        default = grid.default_index
        self._left_out = None if default is None else (default - self._offset) * pow(self._stride, -1, grid.size) % grid.size

    def suggest(self, history: Sequence[Finished], *, number: int, seed: int) -> Configuration:
        """As `Sampler.suggest`; only `number` matters."""
        step = (number - 1) % max(self._grid.num_trials - 1, 1)
        if self._left_out is not None and step >= self._left_out:
            step += 1
        return self._at(step, self._stride)

    def _at(self, step: int, stride: int) -> Configuration:
        return self._grid.point((self._offset + step * stride) % self._grid.size)

    def _likeness(self, stride: int) -> int:
        """The squared numbers of values that two of the first points have in common, summed over all pairs."""
        points = [set(self._at(step, stride).items()) for step in range(min(LOOKED_AT, self._grid.size))]
        return sum(len(point & other) ** 2 for position, point in enumerate(points) for other in points[:position])


def value_at(knob: Knob, share: float) -> Value:
    """The value at a share of the knob's range in its own scale; options and whole numbers have equal shares.

    Args:
        knob: The knob. Of a logarithmic range each whole number has the share it has on that scale.
        share: From 0 to below 1; 1 itself would lie beyond the options of a choice.
    """
    if isinstance(knob, Choice):
        return knob.options[int(share * len(knob.options))]
    assert isinstance(knob, Float | Int)
    if isinstance(knob, Float):
        return float(interpolate(knob.low, knob.high, share, log=knob.log))
    if knob.log:
        # Half a step more on each side, so that the first and the last whole number are as likely as their neighbours.
        return min(max(round(interpolate(knob.low - 0.5, knob.high + 0.5, share, log=True)), knob.low), knob.high)
    return min(knob.low + int(share * (knob.high - knob.low + 1)), knob.high)


def share_of(knob: Knob, value: Value) -> float:
    """Where a number lies in its knob's range, from 0 to 1 in the knob's own scale."""
    assert isinstance(knob, Float | Int) and isinstance(value, int | float)
    low, high, at = (math.log(number) if knob.log else number for number in (knob.low, knob.high, value))
    return (at - low) / (high - low)


def _coprime(start: int, size: int) -> int:
    """The first whole number from `start` on, and from 1, that shares no divisor with `size`."""
    return next(number for number in itertools.count(max(start, 1)) if math.gcd(number, size) == 1)
