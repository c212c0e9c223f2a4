"""What seeds can find and how many are needed, against published tables, scipy's noncentral t and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sweeper.analysis.power import MOST_SEEDS, equivalence_power, power, seeds_needed, smallest_difference


@pytest.mark.parametrize(("effect", "n", "expected"), [(0.8, 15, 0.8213), (0.5, 34, 0.8078), (0.2, 199, 0.8017)])
def test_the_power_that_the_program_gpower_gives(effect: float, n: int, expected: float) -> None:
    """The sample sizes of a paired t test for a power of 0.8, two-sided at 0.05."""
    assert power(effect, 1.0, n, 0.05) == pytest.approx(expected, abs=5e-4)
    assert power(effect, 1.0, n - 1, 0.05) < 0.8


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
@pytest.mark.parametrize("risk", [0.05, 0.05 / 6])
@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0, 6.0])
def test_the_power_is_that_of_the_noncentral_t(n: int, risk: float, shift: float) -> None:
    beyond = stats.t.ppf(1 - risk / 2, n - 1)
    exact = stats.nct.sf(beyond, n - 1, shift) + stats.nct.cdf(-beyond, n - 1, shift)
    assert power(-2.0 * shift / n**0.5, 2.0, n, risk) == pytest.approx(exact, abs=1e-3)


@settings(max_examples=20)
@given(st.integers(2, 30), st.floats(0.001, 0.2), st.floats(0.01, 100))
def test_the_smallest_difference_is_found_in_80_percent(n: int, risk: float, sd: float) -> None:
    exact = smallest_difference(sd, n, risk, is_sd_known=True)
    assert power(exact, sd, n, risk) == pytest.approx(0.8, abs=1e-6)
    assert smallest_difference(sd, n, 0.9) == 0, "a test that rejects in nine of ten cases"
    assert smallest_difference(sd, n, risk) > exact


@pytest.mark.parametrize("n", [3, 5, 10])
def test_a_smallest_difference_from_an_estimated_spread_is_found_in_80_percent_too(n: int) -> None:
    draw = np.random.default_rng(n)
    before, noise = draw.normal(size=(2, 40_000, n))
    after = noise + smallest_difference(1.0, n, 0.05) * before.std(axis=1, ddof=1, keepdims=True)
    assert np.mean(stats.ttest_1samp(after, 0.0, axis=1).pvalue <= 0.05) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(("difference", "n", "expected_of"), [(0.0, 5, 1.5), (0.4, 8, 1.2), (1.0, 20, 1.5)])
def test_the_power_to_find_equivalence_by_simulation(difference: float, n: int, expected_of: float) -> None:
    draws = difference + np.random.default_rng(n).normal(size=(40_000, n))
    half = stats.t.ppf(0.95, n - 1) * draws.std(axis=1, ddof=1) / n**0.5
    share = np.mean(np.abs(draws.mean(axis=1)) + half <= expected_of)
    assert equivalence_power(difference, 1.0, n, 0.05, expected_of) == pytest.approx(share, abs=0.01)


@given(st.floats(0, 2), st.integers(2, 20), st.floats(0, 1))
def test_seeds_needed_are_the_fewest_that_suffice(difference: float, n: int, margin: float) -> None:
    def is_enough(seeds: int) -> bool:
        chances = power(difference, 1.0, seeds, 0.05), equivalence_power(difference, 1.0, seeds, 0.05, margin)
        return max(chances) >= 0.8

    found = seeds_needed(difference, 1.0, n, risk=0.05, margin=margin, equivalence_risk=0.05)
    if found is None:
        assert not is_enough(MOST_SEEDS)
    else:
        assert n < found <= MOST_SEEDS and is_enough(found)
        assert found == n + 1 or not is_enough(found - 1)


def test_seeds_needed_by_example() -> None:
    """Half a standard deviation needs 34; none at all, within a standard deviation, 11; a tenth is out of reach."""
    asked = {"risk": 0.05, "equivalence_risk": 0.05}
    assert seeds_needed(0.5, 1.0, 5, margin=0.0, **asked) == 34
    assert seeds_needed(0.0, 1.0, 5, margin=1.0, **asked) == 11
    assert seeds_needed(0.1, 1.0, 5, margin=0.0, **asked) is None
