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
            return value_at(knob, _within(share_of(knob, knob.likely), _width(knob), generator.random()))

        return self._space.fill(self._fixed, value)

    def log_density(self, configurations: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
        """How likely each configuration is, beside drawing it from the whole space: the mean over its knobs, in logarithms.

        The mean and not the sum, so that a space of many knobs is not believed more than one of few. A value that a knob kept
        counts as one very near to it.
        """
        return np.array([self._log_density(one) for one in configurations])

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

    def _log_density(self, configuration: Mapping[str, Value]) -> float:
        known = [
            _knob_log_density(knob, configuration[name])
            for name, knob in self._knobs.items()
            if name in configuration and knob.problem(configuration[name]) is None
        ]
        return sum(known) / max(len(known), 1)


def _knob_log_density(knob: Knob, value: Value) -> float:
    if isinstance(knob, Choice):
        is_centre = value == knob.likely and isinstance(value, bool) == isinstance(knob.likely, bool)
        return math.log(KEPT * len(knob.options) * is_centre + 1 - KEPT)
    centre, at = share_of(knob, knob.likely), share_of(knob, value)
    return math.log(KEPT * _density(at, centre, STAYS) + (1 - KEPT) * _density(at, centre, _width(knob)) + 1e-3)


def _density(at: float, centre: float, width: float) -> float:
    """That of a normal distribution between 0 and 1."""
    inside = _below((1 - centre) / width) - _below(-centre / width)
    return math.exp(-0.5 * ((at - centre) / width) ** 2) / (width * math.sqrt(2 * math.pi) * inside)


def _within(centre: float, width: float, chance: float) -> float:
    """The quantile of a normal distribution between 0 and 1 (exclusive)."""
    from scipy.special import ndtri

    low, high = _below(-centre / width), _below((1 - centre) / width)
    found = centre + width * float(ndtri(low + chance * (high - low)))
    return min(max(found, 0.0), math.nextafter(1.0, 0.0))


def _below(deviations: float) -> float:
    return 0.5 * math.erfc(-deviations / math.sqrt(2))


def _width(knob: Knob) -> float:
    assert isinstance(knob, Float | Int)
    return knob.width
