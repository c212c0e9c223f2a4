"""Defaults as a prior: where good configurations are expected before anything is trained.

A space's defaults were chosen by people who know the network, so a good configuration is likely to lie near them. Early draws do,
and later ones as long as trials near the centre do better than others. A part is drawn from the whole space all the same.

Sources: Mallik et al. 2023, "PriorBand: Practical Hyperparameter Optimization in the Age of Deep Learning", for draws from a
prior beside uniform ones, by what the evidence says; Hvarfner et al. 2022, "piBO: Augmenting Acquisition Functions with User
Beliefs for Bayesian Optimization", for a prior that weighs an acquisition less and less.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sweeper.search.history import Finished
from sweeper.search.points import share_of, value_at
from sweeper.study.space import Choice, Configuration, Float, Int, Knob, Space, Value

SHARE = 0.75
"""Part of the draws that come from the prior while nothing is known; the others come from the whole space."""

KEPT = 0.5
"""Chance that a knob keeps the value of the centre."""

LASTS = 5
"""Trials with a score by which the prior has lost half of its weight."""

FORGOTTEN = 200
"""Trials with a score from which on the prior does not matter any more."""

STAYS = 0.05
"""Standard deviation, as a part of a knob's range, up to which a number counts as the centre's own."""


class Prior:
    """Configurations near a centre.

    Each knob keeps the value of the centre or moves away from it: a number by a normal step within its range, an option to any
    option. Knobs move independently of each other.

    Args:
        space: The search space; its knobs say where the centre is (`Knob.centre`, else the default) and how wide (`width`).
        fixed: Values that are not searched, by name.
    """

    def __init__(self, space: Space, fixed: Mapping[str, Value]):
        self._space, self._fixed = space, fixed
        self._knobs = {name: knob for name, knob in space.knobs.items() if name not in fixed}

    def draw(self, seed: int) -> Configuration:
        """A configuration near the centre."""
        generator = np.random.default_rng(seed)

        def value(_: str, knob: Knob) -> Value:
            if generator.random() < KEPT:
                return knob.likely
            if isinstance(knob, Choice):
                return value_at(knob, generator.random())
            assert isinstance(knob, Float | Int)
            return value_at(knob, _moved(knob, generator.random()))

        return self._space.fill(self._fixed, value)

    def log_density(self, configurations: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
        """How likely each configuration is, beside drawing it from the whole space: the mean over its knobs, in logarithms.

        The mean and not the sum, so that a space of many knobs is not believed more than one of few. A value that a knob kept
        counts as one very near to it.
        """
        total, known = np.zeros(len(configurations)), np.zeros(len(configurations))
        for name, knob in self._knobs.items():
            rows = [row for row, one in enumerate(configurations) if name in one and knob.problem(one[name]) is None]
            total[rows] += _log_density(knob, [configurations[row][name] for row in rows])
            known[rows] += 1
        found: NDArray[np.float64] = total / np.maximum(known, 1)
        return found

    def trust(self, history: Sequence[Finished]) -> float:
        """How likely it is, from 0 to 1, that trials nearer to the centre do better: 1/2 when nothing is known.

        By the rank correlation of density and last score, after Fisher.
        """
        from scipy.stats import norm, spearmanr

        seen = [one for one in history if one.scores and math.isfinite(one.scores[-1])]
        if len(seen) < 4:
            return 0.5
        density, scores = self.log_density([one.configuration for one in seen]), [one.scores[-1] for one in seen]
        if np.ptp(density) == 0 or np.ptp(scores) == 0:
            return 0.5
        correlation = min(max(float(spearmanr(density, scores).statistic), -0.999), 0.999)
        return float(norm.cdf(math.atanh(correlation) * math.sqrt(len(seen) - 3)))

    def weight(self, history: Sequence[Finished]) -> float:
        """How much the prior counts by now: 1 at the start, less with every trial, and less where it was wrong."""
        seen = sum(bool(one.scores) for one in history)
        if seen >= FORGOTTEN:
            return 0.0
        return 2 * self.trust(history) * LASTS / (LASTS + seen)


def _log_density(knob: Knob, values: Sequence[Value]) -> NDArray[np.float64]:
    """Of values of one knob."""
    if isinstance(knob, Choice):
        is_centre = [value == knob.likely and isinstance(value, bool) == isinstance(knob.likely, bool) for value in values]
        return np.log(KEPT * len(knob.options) * np.array(is_centre, np.float64) + 1 - KEPT)
    from scipy.stats import truncnorm

    assert isinstance(knob, Float | Int)
    centre, shares = share_of(knob, knob.likely), np.array([share_of(knob, value) for value in values])
    kept, moved = (truncnorm.pdf(shares, -centre / width, (1 - centre) / width, centre, width) for width in (STAYS, knob.width))
    found: NDArray[np.float64] = np.log(KEPT * kept + (1 - KEPT) * moved + 1e-3)
    return found


def _moved(knob: Float | Int, chance: float) -> float:
    """The share of the knob's range at this quantile of a normal distribution around the centre, cut off at both ends."""
    from scipy.special import ndtr, ndtri  # truncnorm.ppf takes a hundred times as long for one number

    centre = share_of(knob, knob.likely)
    low, high = ndtr(-centre / knob.width), ndtr((1 - centre) / knob.width)
    found = centre + knob.width * float(ndtri(low + chance * (high - low)))
    return min(max(found, 0.0), math.nextafter(1.0, 0.0))
