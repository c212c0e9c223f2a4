"""How far a candidate may push the Pareto front of an arm's trials: expected hypervolume improvement, threshold by threshold.

Below every threshold of the costs there is a best trial so far, and a candidate that costs no more may be better than it. The
mean of the improvements to be expected over all thresholds is how far the front moves. What is no better than one of the worst
trials is no improvement, however little it costs. Where there are no costs there is one threshold, and this is the expected
improvement over the best trial.

Source: Emmerich et al. 2006, "Single- and multiobjective evolutionary optimization assisted by Gaussian random field metamodels":
expected hypervolume improvement. Here the score alone is uncertain, so it is a sum of improvements in one dimension.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sweeper.search.costs import Costs

THRESHOLDS = 64
"""Of all costs together: with two costs, 8 of each."""

LEFT_OUT = 5
"""Worst trials, which count as the next better one, and never more than half of all: what is no better than they are is no
improvement, however little it costs. Without, many a trial goes to the cheapest and worst corner."""

LEAST = 1e-4
"""Costs below count as this much: errors and losses may be 0."""

Floats = NDArray[np.float64]


def improvement(mean: Floats, spread: Floats, costs: Floats, worth: Floats, known: Floats) -> Floats:
    """What each candidate promises.

    Args:
        mean: What a candidate may come to, (candidates,), higher is better.
        spread: How uncertain that is, one standard deviation, above 0.
        costs: Logarithms of what a candidate costs, (candidates, costs), lower is better.
        worth: What trials came to, (trials,).
        known: Logarithms of their costs, (trials, costs).
    """
    from scipy.stats import norm

    thresholds, weights = _thresholds(np.vstack([known, costs]))
    least = np.sort(worth)[min(LEFT_OUT, len(worth) // 2)]
    best = [worth[(known <= one).all(axis=1)].max(initial=least) for one in thresholds]
    levels, level = np.unique(best, return_inverse=True)
    ahead = (mean[:, None] - levels) / spread[:, None]
    expected = spread[:, None] * (ahead * norm.cdf(ahead) + norm.pdf(ahead))
    is_below = (costs[:, None, :] <= thresholds).all(axis=2)
    found: Floats = (expected[:, level] * is_below) @ weights
    return found


def feasibility(costs: Floats, spread: Floats, limits: Sequence[float]) -> Floats:
    """How likely each candidate keeps all limits, (candidates,).

    Args:
        costs: Logarithms of what it costs, (candidates, costs).
        spread: How uncertain they are, one standard deviation, above 0.
        limits: The largest value allowed of each cost; inf for any. Empty without constraints.
    """
    from scipy.stats import norm

    limited = len(limits)
    found: Floats = norm.cdf((np.log(limits) - costs[:, :limited]) / spread[:, :limited]).prod(axis=1)
    return found


def logarithms(costs: Sequence[Costs], num_costs: int) -> Floats:
    """Logarithms of the first costs of trials, (trials, costs); inf where one is not known."""
    known = np.array([[*own[:num_costs], *[np.inf] * (num_costs - len(own))] for own in costs]).reshape(len(costs), num_costs)
    found: Floats = np.log(np.maximum(known, LEAST))
    return found


def _thresholds(costs: Floats) -> tuple[Floats, Floats]:
    """Thresholds of all costs, (thresholds, costs), and the share of the space that each stands for."""
    num_costs = costs.shape[1]
    if not num_costs:
        return np.empty((1, 0)), np.ones(1)
    shares = np.linspace(0, 1, round(THRESHOLDS ** (1 / num_costs)))
    places = np.quantile(costs, shares, axis=0).T
    widths = [np.diff(np.concatenate([own[:1], (own[1:] + own[:-1]) / 2, own[-1:]])) for own in places]
    for width in widths:
        width[-1] += not width.any()  # a cost that all have alike matters to none
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*places, indexing="ij")], axis=1)
    weights = np.prod([axis.ravel() for axis in np.meshgrid(*widths, indexing="ij")], axis=0)
    return grid, weights
