"""Small functions of a few numbers, against textbooks, printed tables and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sweeper.analysis.statistics import (
    equivalence_p,
    holm,
    holm_risks,
    iqm,
    paired_p,
    prediction_interval,
    spread,
    t_interval,
)
from sweeper.errors import InputError

SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
"""Hours of sleep that one drug gave more than another: the paired data of Student's paper of 1908."""

SAMPLES = st.lists(st.integers(0, 360).map(lambda right: right / 360), min_size=2, max_size=12)


def test_the_interval_of_students_data() -> None:
    found = t_interval(SLEEP)
    assert [*found] == pytest.approx([1.58, 1.229995, 0.7001142, 2.4598858])
    assert 2.0 * paired_p(found.mean, found.sd, 10) == pytest.approx(0.002832890)


@given(st.lists(st.integers(0, 360).map(lambda right: right / 360), min_size=2, max_size=12), st.floats(0.5, 0.99))
def test_the_interval_is_that_of_scipy(values: list[float], confidence: float) -> None:
    found = t_interval(values, confidence)
    assert found.mean == pytest.approx(np.mean(values))
    if len(set(values)) == 1:
        assert found.sd == 0.0 and np.isnan(found.low) and np.isnan(found.high)
        return
    interval = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    assert [found.sd, found.low, found.high] == pytest.approx([np.std(values, ddof=1), interval.low, interval.high])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.04, np.nan, 0.03]), [0.06, np.nan, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_the_stepwise_rule_rejects(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= more <= min(1.0, p * len(p_values)) + 1e-12 for p, more in zip(p_values, adjusted, strict=True))
    rejected = 0
    for place, p in enumerate(sorted(p_values)):
        if p * (len(p_values) - place) > 0.05:
            break
        rejected += 1
    assert sum(more <= 0.05 for more in adjusted) == rejected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_test_at_its_holm_risk_rejects_what_holm_rejects(p_values: list[float]) -> None:
    for p, adjusted, risk in zip(p_values, holm(p_values), holm_risks(p_values, 0.05), strict=True):
        assert (p <= risk) == (adjusted <= 0.05) or risk == pytest.approx(p)
        assert 0.05 / len(p_values) <= risk <= 0.05


def test_holm_risks_by_hand() -> None:
    """The third is tested at 0.05 / 3, the fourth at 0.05 / 2 and not rejected; the first would be at 0.05 alone."""
    np.testing.assert_allclose(holm_risks([0.04, np.nan, 0.001, 0.03], 0.05), [0.025, np.nan, 0.05 / 3, 0.025])


def test_few_values_have_students_interval_and_more_a_bootstrap() -> None:
    assert spread(SLEEP[:9]) == t_interval(SLEEP[:9])
    student, bootstrap = t_interval(SLEEP), spread(SLEEP)
    assert bootstrap[:2] == student[:2] and bootstrap == spread(SLEEP)
    # One value is far above the others, so the mean may be too low rather than too high.
    assert bootstrap.high - bootstrap.mean > bootstrap.mean - bootstrap.low


@given(st.lists(st.integers(0, 360).map(lambda right: right / 360), min_size=10, max_size=14), st.booleans())
def test_the_bootstrap_knows_no_unit_and_no_direction(values: list[float], is_turned: bool) -> None:
    found, turned = spread(values), spread([(-100 if is_turned else 100) * value + 7 for value in values])
    if np.isnan(found.low):
        assert len(set(values)) == 1
        return
    ends = (-100 * found.high + 7, -100 * found.low + 7) if is_turned else (100 * found.low + 7, 100 * found.high + 7)
    # Equal shares of resamples lie beyond either end, up to the interpolation of a quantile.
    assert [turned.low, turned.high] == pytest.approx(ends, rel=1e-6, abs=1e-4)


def test_where_resamples_have_no_spread_students_interval_stands_in() -> None:
    values = [0.9] * 9 + [0.8]
    assert spread(values) == t_interval(values)


@pytest.mark.parametrize("n", [8, 9, 11, 12])
def test_the_interquartile_mean_is_scipys_trimmed_one(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    found = iqm(values)
    assert found.mean == pytest.approx(stats.trim_mean(values, 0.25))
    peer = stats.bootstrap((values,), lambda sample, axis: stats.trim_mean(sample, 0.25, axis=axis), method="percentile", rng=0)
    assert [found.low, found.high] == pytest.approx(list(peer.confidence_interval), abs=0.05)


def test_an_interquartile_mean_needs_eight_values_that_differ() -> None:
    assert np.isnan(iqm(SLEEP[:7])).all()
    assert iqm([0.5] * 8)[:2] == (0.5, 0.0) and np.isnan(iqm([0.5] * 8).low)
    assert iqm([*SLEEP[:9], -1000.0]).mean == pytest.approx(stats.trim_mean([*SLEEP[:9], -1000.0], 0.25))


def test_a_prediction_by_hand() -> None:
    half = 12.7062047 * 0.5 * np.sqrt(1.5)
    assert prediction_interval(90.0, 0.5, 2) == pytest.approx((90 - half, 90 + half))
    low, high = prediction_interval(np.array([90.0, 91.0]), 0.5, 2, dof=10**9)
    np.testing.assert_allclose(high - low, 2 * 1.959964 * 0.5 * np.sqrt(1.5), rtol=1e-6)
    assert low[1] - low[0] == pytest.approx(1.0)


@given(SAMPLES, st.floats(0.0, 0.6))
def test_equivalent_is_what_both_one_sided_tests_and_the_90_percent_interval_say(values: list[float], margin: float) -> None:
    differences = np.array(values) - 0.5
    if np.ptp(differences) == 0:
        return
    mean, sd, low, high = t_interval(differences, 0.9)
    p = equivalence_p(mean, sd, len(differences), margin)
    sides = [stats.ttest_1samp(differences, sign * margin, alternative=way) for sign, way in ((-1, "greater"), (1, "less"))]
    assert p == pytest.approx(max(side.pvalue for side in sides), abs=1e-9)
    assert (p <= 0.05) == (-margin < low and high < margin) or p == pytest.approx(0.05)


def test_a_confidence_is_a_share() -> None:
    for compute in (t_interval, spread, iqm, lambda values, confidence: prediction_interval(0, 1, 2, confidence=confidence)):
        with pytest.raises(InputError, match=r"a confidence of 95 is not between 0 and 1; for example 0\.95"):
            compute(SLEEP, 95)
