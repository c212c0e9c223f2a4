"""What so many paired seeds can find, and how many would be needed: the power of the tests behind a verdict.

The difference of two configurations is a paired t test over n seeds. If the true difference is d and the standard deviation of
the differences is sigma, then t has the noncentral t distribution: a normal number with mean d sqrt(n) / sigma, divided by how
much too large the standard deviation was estimated. Everything here is a mean over that second one, at equal steps of its
probability, which answers for both tests alike and never overflows.
"""

from __future__ import annotations

import bisect
import functools
import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr, stdtrit

from sweeper.analysis.statistics import Values

POWER = 0.8
"""How often a difference shall be found, if it is there."""

MOST_SEEDS = 100
"""More seeds than that are out of reach."""

STEPS = 200
"""Of the probability of an estimated standard deviation; the power is exact to three digits."""


def power(difference: float, sd: float, n: int, risk: float) -> float:
    """How often a two-sided paired t test finds a difference.

    Args:
        difference: The true one.
        sd: The true standard deviation of the paired differences, above 0.
        n: Number of seeds, from 2.
        risk: Error rate of the test, for example 0.05.

    Source: Cohen, Statistical power analysis for the behavioral sciences (1988), through the noncentral t distribution.
    """
    return float(_power(difference / sd * n**0.5, n, risk))


def smallest_difference(sd: float, n: int, risk: float, *, is_sd_known: bool = False) -> float:
    """The smallest true difference that a paired t test over so many seeds finds in 80 % of cases.

    The standard deviation of few seeds is itself uncertain, and more often too small than too large. Taken for the truth, it
    promises too much: with five seeds the power would be 68 %, not 80. So the difference is as much larger as makes the power
    80 % on average over all that so many seeds may say about the standard deviation.

    Args:
        sd: Standard deviation of the paired differences, above 0.
        n: Number of seeds, from 2.
        risk: Error rate of the test.
        is_sd_known: Whether it is the true one, not that of these seeds.
    """
    return _smallest(n, risk, is_sd_known) * sd / math.sqrt(n)


def equivalence_power(difference: float, sd: float, n: int, risk: float, margin: float) -> float:
    """How often two one-sided tests find that a difference is within +-`margin`; arguments as in `power`.

    Source: Phillips, Power of the two one-sided tests procedure in bioequivalence (1990).
    """
    scales, scale = _scales(n - 1), n**0.5 / sd
    beyond = stdtrit(n - 1, 1.0 - risk) * scales
    inside = ndtr((margin - difference) * scale - beyond) - ndtr(beyond - (margin + difference) * scale)
    return float(np.maximum(inside, 0.0).mean())


def seeds_needed(difference: float, sd: float, n: int, *, risk: float, margin: float, equivalence_risk: float) -> int | None:
    """How many seeds in all would settle a pair, in 80 % of cases, if difference and standard deviation are as observed.

    Args:
        difference: The mean of the paired differences so far.
        sd: Their standard deviation, above 0.
        n: How many there are.
        risk: Error rate of the test whether there is a difference.
        margin: The difference that does not matter.
        equivalence_risk: Error rate of each of the two tests whether it is within the margin.

    Returns:
        The smaller of what a verdict ``better`` and a verdict ``equivalent`` need, at least one more than there are; None where
        that is more than `MOST_SEEDS`.
    """

    def is_enough(seeds: int) -> bool:
        return (
            power(difference, sd, seeds, risk) >= POWER
            or equivalence_power(difference, sd, seeds, equivalence_risk, margin) >= POWER
        )

    candidates = range(n + 1, MOST_SEEDS + 1)
    place = bisect.bisect_left(candidates, True, key=is_enough)
    return candidates[place] if place < len(candidates) else None


def _power(shift: float | Values, n: int, risk: float) -> Values:
    """Power for true differences in standard errors."""
    beyond = stdtrit(n - 1, 1.0 - risk / 2.0) * _scales(n - 1)
    shifts = np.asarray(shift)[..., np.newaxis]
    found: Values = (ndtr(shifts - beyond) + ndtr(-shifts - beyond)).mean(axis=-1)
    return found


@functools.lru_cache(maxsize=1024)
def _smallest(n: int, risk: float, is_sd_known: bool) -> float:
    """In standard errors."""
    scales = np.ones(1) if is_sd_known else _scales(n - 1)

    def missing(shift: float) -> float:
        return float(_power(shift * scales, n, risk).mean()) - POWER

    if missing(0.0) >= 0:
        return 0.0
    highest = 4.0
    while missing(highest) < 0:
        highest *= 2.0
    return float(brentq(missing, 0.0, highest, xtol=1e-7))


@functools.lru_cache(maxsize=256)
def _scales(dof: int) -> Values:
    """By how much a standard deviation is estimated too large, at equal steps of its probability."""
    steps = (np.arange(STEPS) + 0.5) / STEPS
    scales: Values = np.sqrt(chdtri(dof, 1.0 - steps) / dof)
    return scales
