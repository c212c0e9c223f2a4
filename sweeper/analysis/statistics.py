"""Small pure functions of a few numbers: means, intervals and paired tests. What they cover was measured, see docs/statistics.md.

A value here is what one training reached, so the values of one configuration are as many as it has seeds: three to ten. A mean
has Student's interval below `BOOTSTRAP_FROM` values, because a bootstrap of so few is far too narrow, and a studentised bootstrap
from there on, because Student's fails where values are skewed. Of equal values nothing is known but their mean: accuracies are
multiples of one image, so a few are equal by chance.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from sweeper.errors import InputError

Values = npt.NDArray[np.float64]

SAME = 1e-12
"""Values that differ by less differ by rounding only."""

BOOTSTRAP_FROM = 10
"""The number of values from which a mean has a bootstrap interval instead of Student's."""

IQM_FROM = 8
"""The number of values from which there is an interquartile mean: of fewer it is a mean of two or three."""

RESAMPLES = 4_000
"""Of a bootstrap; always the same ones for a number of values, so that an interval is a function of the values."""


class Spread(NamedTuple):
    """Mean, standard deviation and interval of the mean; NaN where too few values, or equal ones, cannot tell."""

    mean: float
    sd: float
    low: float
    high: float


def t_interval(values: npt.ArrayLike, confidence: float = 0.95) -> Spread:
    """Mean, standard deviation (n - 1) and Student's two-sided interval of the mean.

    Args:
        values: Finite numbers, of one dimension. None gives NaN for all, one has a mean only. Values that are all equal
            have a standard deviation of 0 and no interval, because they do not tell how far they could have varied.
        confidence: How often such intervals hold the true mean, between 0 and 1.

    Raises:
        InputError: The confidence is not between 0 and 1.

    Source: Student, The probable error of a mean (1908).
    """
    check_confidence(confidence)
    sample = np.asarray(values, dtype=float)
    if not len(sample):
        return Spread(np.nan, np.nan, np.nan, np.nan)
    mean = float(sample.mean())
    if len(sample) < 2:
        return Spread(mean, np.nan, np.nan, np.nan)
    if is_constant(sample):
        return Spread(mean, 0.0, np.nan, np.nan)
    sd = float(sample.std(ddof=1))
    half = float(stdtrit(len(sample) - 1, (1.0 + confidence) / 2.0)) * sd / len(sample) ** 0.5
    return Spread(mean, sd, mean - half, mean + half)


def spread(values: npt.ArrayLike, confidence: float = 0.95) -> Spread:
    """Mean, standard deviation and interval of the mean: Student's below `BOOTSTRAP_FROM` values, else a studentised bootstrap.

    The bootstrap asks how far the means of resamples are from that of the values, in standard errors of each resample: where
    values are skewed, so is the interval. Percentile and BCa intervals of ten values are too narrow. Where too many resamples
    are without any spread, Student's interval stands in.

    Args:
        values: As in `t_interval`.
        confidence: As in `t_interval`.

    Raises:
        InputError: The confidence is not between 0 and 1.

    Source: the bootstrap-t, in Efron and Tibshirani, An introduction to the bootstrap (1993), chapter 12.5.
    """
    student = t_interval(values, confidence)
    sample = np.asarray(values, dtype=float)
    if len(sample) < BOOTSTRAP_FROM or np.isnan(student.low):
        return student
    drawn = sample[_resamples(len(sample))]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (drawn.mean(axis=1) - student.mean) / drawn.std(axis=1, ddof=1)
        below, above = np.quantile(t, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    low, high = student.mean - above * student.sd, student.mean - below * student.sd
    return Spread(student.mean, student.sd, float(low), float(high)) if np.isfinite([low, high]).all() else student


def iqm(values: npt.ArrayLike, confidence: float = 0.95) -> Spread:
    """Interquartile mean with its percentile bootstrap interval: the mean without the lowest and highest quarter of the values.

    A training that diverged does not move it. It is the mean of what is left when a quarter of the number of values, rounded
    down, is cut off at either end.

    Args:
        values: Finite numbers, of one dimension. Fewer than `IQM_FROM` give NaN for all; equal ones have no interval.
        confidence: Of the interval, between 0 and 1.

    Returns:
        The interquartile mean, the standard deviation of **all** values, and the interval of the interquartile mean.

    Raises:
        InputError: The confidence is not between 0 and 1.

    Source: Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice (2021).
    """
    sample = np.asarray(values, dtype=float)
    sd = t_interval(sample, confidence).sd
    if len(sample) < IQM_FROM:
        return Spread(np.nan, np.nan, np.nan, np.nan)
    if is_constant(sample):
        return Spread(float(sample.mean()), 0.0, np.nan, np.nan)
    cut = len(sample) // 4
    kept = slice(cut, len(sample) - cut)
    means = np.sort(sample[_resamples(len(sample))], axis=1)[:, kept].mean(axis=1)
    low, high = np.quantile(means, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return Spread(float(np.sort(sample)[kept].mean()), sd, float(low), float(high))


def prediction_interval(mean: Any, sd: Any, n: Any, *, dof: Any = None, confidence: float = 0.95) -> tuple[Any, Any]:
    """Where one further run will end, with this confidence, if runs are normally distributed. Arrays give arrays.

    Args:
        mean: Of the runs there are.
        sd: Their standard deviation, or one that is pooled over several configurations.
        n: How many runs the mean is of.
        dof: Degrees of freedom of the standard deviation; None means n - 1, those of these runs alone.
        confidence: Between 0 and 1.

    Raises:
        InputError: The confidence is not between 0 and 1.

    Source: Hahn and Meeker, Statistical intervals (1991), chapter 4.
    """
    check_confidence(confidence)
    half = stdtrit(n - 1 if dof is None else dof, (1.0 + confidence) / 2.0) * sd * np.sqrt(1.0 + 1.0 / n)
    return mean - half, mean + half


def paired_p(mean: float, sd: float, n: int, *, shift: float = 0.0) -> float:
    """The probability, if the true mean of paired differences is `shift`, of a mean so far above it or further: one-sided.

    Twice the smaller of this and its complement is the p value of the two-sided paired t test.

    Args:
        mean: Of the differences.
        sd: Their standard deviation, above 0.
        n: How many, from 2.
        shift: What is put to the test.
    """
    return float(stdtr(n - 1, -(mean - shift) / (sd / n**0.5)))


def equivalence_p(mean: float, sd: float, n: int, margin: float) -> float:
    """The p value of two one-sided tests (TOST): that the true mean of paired differences is not within +-`margin`.

    It is at most 0.05 exactly where the 90 % interval, not the 95 % one, lies inside the margin: either side is tested at 5 %,
    and a true mean can be beyond one of them only.

    Args:
        mean: Of the differences.
        sd: Their standard deviation, above 0.
        n: How many, from 2.
        margin: What difference does not matter, from 0.

    Source: Schuirmann, A comparison of the two one-sided tests procedure and the power approach (1987).
    """
    return max(paired_p(mean, sd, n, shift=-margin), 1.0 - paired_p(mean, sd, n, shift=margin))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values adjusted for their number, in their order: reject where one is at most the error rate of all tests together.

    Args:
        p_values: Of tests in any order and however dependent; NaN is no test, does not count and stays NaN.

    Source: Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    given, order = _ordered(p_values)
    adjusted = np.full(len(given), np.nan)
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * given[order]), 1.0)
    return [float(value) for value in adjusted]


def holm_risks(p_values: Sequence[float], risk: float) -> list[float]:
    """The error rate at which Holm's procedure decides each of the tests: an interval at it leaves out 0 where `holm` rejects.

    The smallest of m p values is tested at risk / m, the next at risk / (m - 1), until one is not rejected: it and all after it
    have its rate.

    Args:
        p_values: As in `holm`; NaN stays NaN.
        risk: The error rate of all tests together, for example 0.05.
    """
    given, order = _ordered(p_values)
    rejected = int((np.array(holm(p_values))[order] <= risk).sum())
    places = np.minimum(np.arange(len(order)), rejected)
    risks = np.full(len(given), np.nan)
    risks[order] = risk / np.maximum(len(order) - places, 1)
    return [float(value) for value in risks]


def is_constant(values: Values) -> bool:
    """Whether all of them, at least one, are the same but for rounding."""
    return bool(np.ptp(values) <= SAME)


def check_confidence(confidence: float) -> None:
    """Raise `InputError` unless the confidence is between 0 and 1."""
    if not 0.0 < confidence < 1.0:
        raise InputError(f"a confidence of {confidence} is not between 0 and 1; for example 0.95.")


def _ordered(p_values: Sequence[float]) -> tuple[Values, npt.NDArray[np.intp]]:
    given = np.asarray(p_values, dtype=float)
    return given, np.argsort(given, kind="stable")[: int(np.isfinite(given).sum())]  # NaN is sorted last


@functools.lru_cache(maxsize=64)
def _resamples(n: int) -> npt.NDArray[np.intp]:
    return np.random.default_rng(n).integers(0, n, (RESAMPLES, n))
