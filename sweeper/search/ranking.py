"""Which trials are better: by score, and by what they cost where that matters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sweeper.search.costs import Costs


def beats(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether one is nowhere worse than another and somewhere better, (one, another).

    Args:
        points: (number, objectives), lower is better.
    """
    is_no_worse = np.ones((len(points), len(points)), bool)
    is_better = np.zeros_like(is_no_worse)
    for column in points.T:
        is_no_worse &= column[:, None] <= column
        is_better |= column[:, None] < column
    return is_no_worse & is_better


def best_first(scores: Mapping[str, float], costs: Mapping[str, Costs]) -> list[str]:
    """Trials, the best first: those that none beats, then those that only these beat, and so on; of each such front by score.

    Without costs by score alone. Of equals the first one comes first.

    Args:
        scores: Higher is better.
        costs: Of the same trials; empty where scores alone count.

    Source: Deb et al. 2002, "A fast and elitist multiobjective genetic algorithm: NSGA-II": non-dominated sorting.
    """
    names = list(scores)
    if not any(map(costs.get, names)):
        return sorted(names, key=lambda name: -scores[name])
    points = np.array([[-scores[name], *costs[name]] for name in names])
    is_beaten, ranks = beats(points), np.zeros(len(names))
    is_left = np.ones(len(names), bool)
    while is_left.any():
        is_left &= is_beaten[is_left].any(axis=0)
        ranks += is_left
    return [names[place] for place in np.lexsort((points[:, 0], ranks))]
