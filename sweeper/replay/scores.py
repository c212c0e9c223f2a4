"""How good a search was: the regret of its incumbent over time, and how much sooner than random search it got anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from sweeper.replay.clock import Observed
from sweeper.replay.curves import Task

POINTS = 500
"""Points of time, at equal distances up to the budget, at which the regret is told."""

TOLD = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Parts of the budget that a summary names."""

WORST = 2.0
"""Largest regret; also that of an incumbent that has diverged."""


def regrets(task: Task, events: Iterable[Observed], budget_s: float) -> NDArray[np.float64]:
    """The regret at each of `POINTS` points of time: 0 the best of the task, 1 its median.

    The incumbent is the configuration with the best value at the last epoch seen of it, of equals the first. Its regret is that
    of the value it ends with. Before anything is seen the regret is 1.
    """
    finals = task.finals
    best, scale = finals.max(), max(finals.max() - np.median(finals), 1e-12)
    grid = np.arange(1, POINTS + 1) / POINTS * budget_s
    found, current = np.ones(POINTS), np.full(len(finals), -np.inf)
    seen = np.zeros(len(finals), bool)
    incumbent, regret, position = -1, 1.0, 0
    for event in events:
        while position < POINTS and grid[position] < event.sim_time_s:
            found[position] = regret
            position += 1
        seen[event.row] = True
        current[event.row] = event.value if np.isfinite(event.value) else -np.inf
        if incumbent < 0 or current.max() > current[incumbent]:
            incumbent = int(np.argmax(np.where(seen, current, -np.inf)))
        lost = not np.isfinite(current[incumbent])
        regret = WORST if lost else float(np.clip((best - finals[incumbent]) / scale, 0, WORST))
    found[position:] = regret
    return found


def sooner(regret: NDArray[np.float64], wanted: float) -> float:
    """By which factor less time than the whole budget is needed until a mean regret stays at or below `wanted`; 0 for never."""
    above = np.flatnonzero(regret > wanted)
    first = 0 if not len(above) else int(above[-1]) + 1
    return 0.0 if first == len(regret) else len(regret) / (first + 1)


def bootstrapped(
    runs: Sequence[NDArray[np.float64]], wanted: float, *, draws: int = 1000, level: float = 0.9
) -> tuple[float, float]:
    """An interval of `sooner`, over tasks and over the seeds of each.

    Args:
        runs: For each task, (seeds, points of time).
        wanted: As in `sooner`.
        draws: Bootstrap samples.
        level: Part of them inside the interval.
    """
    generator = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        tasks = generator.integers(len(runs), size=len(runs))
        means = [runs[task][generator.integers(len(runs[task]), size=len(runs[task]))].mean(axis=0) for task in tasks]
        found.append(sooner(np.mean(means, axis=0), wanted))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def told(regret: NDArray[np.float64]) -> dict[float, float]:
    """The regret at the parts of the budget in `TOLD`."""
    return {part: float(regret[round(part * POINTS) - 1]) for part in TOLD}
