"""The Pareto front with doubt: how surely a configuration is on it, where it bends, and how it grew.

**Doubt.** Configurations that were repeated with the same seeds are compared by their means over seeds. Seeds are drawn again
with replacement, the same ones for all configurations, because what a seed does to all of them is no doubt about their order; the
share of draws in which a configuration is on the front of the means is its chance of being there. A handful of seeds draws from a
handful of values: with three or five of them such chances are too sure, so they are shown and decide nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeper.analysis.pareto import front, non_dominated
from sweeper.analysis.results import Results, comparable, goal, require_data
from sweeper.analysis.seeds import repetitions, seeds_table
from sweeper.errors import NoDataError
from sweeper.ledger.records import Status

DRAWS = 2000
"""How often seeds are drawn again: chances are exact within two points."""

FEWEST_SEEDS = 3
"""Seeds from which on a chance is told: draws of two nearly always say what the two say."""

LOGARITHMIC = ("parameters", "macs")
"""Counts that span powers of ten; distances are those of their logarithms."""

Table = npt.NDArray[np.float64]


def membership(values: npt.ArrayLike, goals: Sequence[str], *, draws: int = DRAWS, seed: int = 0) -> Table:
    """The chance of each configuration to be on the front, by a bootstrap over seeds.

    Args:
        values: Shape (configurations, seeds, objectives); NaN where a configuration has no value for a seed.
        goals: ``max`` or ``min`` for each objective.
        draws: How often seeds are drawn.
        seed: Of the draws: the same one gives the same chances.

    Returns:
        Shape (configurations,), from 0 to 1. A configuration none of whose seeds is drawn is not on the front of that draw.

    Raises:
        InputError: A goal that is neither, or not one goal per objective.

    Source: Efron and Tibshirani, An introduction to the bootstrap (1993).
    """
    table = np.asarray(values, dtype=float)
    stream = np.random.default_rng(seed)
    counts = np.zeros(len(table))
    # How often each seed is drawn; a mean is a sum weighted by that.
    weights = stream.multinomial(table.shape[1], np.full(table.shape[1], 1.0 / max(table.shape[1], 1)), size=draws)
    is_there = np.isfinite(table).all(axis=2)
    filled = np.where(is_there[:, :, None], table, 0.0)
    for weight in weights:
        total = is_there @ weight
        sums = np.einsum("csk,s->ck", filled, weight)
        means = np.divide(sums, total[:, None], out=np.full(sums.shape, np.nan), where=total[:, None] > 0)
        counts += non_dominated(means, goals)
    return counts / draws


def seeds_front(results: Results, *, x: str = "parameters", y: str = "val_accuracy", stage: str = "confirm") -> pd.DataFrame:
    """One row per repeated configuration: its means over seeds, their intervals, and how surely it is on the front of the means.

    Args:
        results: The results of a study.
        x: One of `sweeper.analysis.results.DIRECTIONS`.
        y: Another one.
        stage: ``confirm`` or ``ablation``.

    Returns:
        Columns ``arm parent n x x_low x_high y y_low y_high is_on_front chance``, sorted by x. ``n`` counts the completed
        repetitions with both values; intervals are those of `sweeper.analysis.statistics.spread`, NaN where it has none.
        ``chance`` is NaN with fewer than `FEWEST_SEEDS` seeds.

    Raises:
        UnknownNameError: No such column or stage.
        NoDataError: No repetition is completed with both values.
    """
    tables = {column: repetitions(results, stage=stage, column=column) for column in (x, y)}
    require_data(results, results.trials[results.trials["stage"] == stage], (x, y))
    grids = {name: rows.pivot(index="parent", columns="seed", values="value") for name, rows in tables.items()}
    means = {name: seeds_table(results, stage=stage, column=name).set_index("parent") for name in (x, y)}
    table = means[y][["arm", "n"]].copy()
    for name, column in (("x", x), ("y", y)):
        table[[name, f"{name}_low", f"{name}_high"]] = means[column][["mean", "low", "high"]]
    goals = (goal(results, x), goal(results, y))
    table = front(table, x="x", y="y", x_goal=goals[0], y_goal=goals[1])
    values = np.stack([grids[column].reindex(table.index).to_numpy(float) for column in (x, y)], axis=2)
    table["chance"] = membership(values, goals) if values.shape[1] >= FEWEST_SEEDS else np.nan
    return (
        table.rename_axis("parent")
        .reset_index()
        .sort_values(["x", "parent"])
        .reset_index(drop=True)[["arm", "parent", "n", "x", "x_low", "x_high", "y", "y_low", "y_high", "is_on_front", "chance"]]
    )


def scaled(values: npt.ArrayLike, column: str) -> Table:
    """The values of a column as distances are measured: logarithms of counts."""
    table = np.asarray(values, dtype=float)
    return np.log(np.maximum(table, 1.0)) if column in LOGARITHMIC else table


def knee(x: npt.ArrayLike, y: npt.ArrayLike, goals: Sequence[str]) -> int | None:
    """Where a front bends most: the point furthest beyond the straight line between its two ends.

    Both axes are stretched so that the front goes from 0 to 1. Beyond the knee, getting better in one objective costs more of the
    other than it did before.

    Args:
        x: First objective of the points of a front, as distances are measured (`scaled`).
        y: Second objective.
        goals: ``max`` or ``min`` for each.

    Returns:
        The place of the point; None where fewer than three points are distinct, or none is beyond the line.

    Source: Das, On characterizing the "knee" of the Pareto curve based on normal-boundary intersection (1999).
    """
    sides = [np.asarray(side, dtype=float) * (1.0 if which == "max" else -1.0) for side, which in zip((x, y), goals, strict=True)]
    if len(sides[0]) < 3 or any(np.ptp(side) == 0 for side in sides):
        return None
    # From 0 to 1, higher is better: the ends are (0, 1) and (1, 0), the line between them is where both sum to 1.
    beyond = sum((side - side.min()) / np.ptp(side) for side in sides) - 1.0
    place = int(np.argmax(beyond))
    return place if beyond[place] > 1e-9 else None


def hypervolume(points: npt.ArrayLike) -> float:
    """The area that points dominate, of the square from 0 to 1, where 1 is best in both: shape (points, 2).

    Source: Zitzler and Thiele, Multiobjective optimization using evolutionary algorithms (1998).
    """
    table = np.asarray(points, dtype=float).reshape(-1, 2)
    order = table[np.argsort(-table[:, 0], kind="stable")].clip(0.0, 1.0)
    higher = np.maximum.accumulate(np.concatenate([[0.0], order[:, 1]]))
    return float((order[:, 0] * np.diff(higher)).sum())


def hypervolumes(results: Results, *, x: str = "parameters", y: str = "val_accuracy") -> pd.DataFrame:
    """One row per completed trial, in the order in which they ended: how much of the square the front dominated from then on.

    The square goes from the worst to the best value of any completed trial of these results, in both columns; counts by their
    logarithms. So 1 would be one trial that is best in both, and the numbers of two studies cannot be compared.

    Args:
        results: The results of a study, at one stage.
        x: One of `sweeper.analysis.results.DIRECTIONS`.
        y: Another one.

    Returns:
        Columns ``trial arm completed seconds hypervolume arm_hypervolume``: ``completed`` counts trials from 1, ``seconds`` is
        when the trial ended, since the first recorded epoch; ``arm_hypervolume`` is that of the trials of its arm alone.

    Raises:
        UnknownNameError: No such column.
        NoDataError: No completed trial has both values.
    """
    goals = {column: goal(results, column) for column in (x, y)}
    require_data(results, results.trials[results.trials["status"] == Status.COMPLETED], (x, y))
    trials = comparable(results, x)
    trials = trials[trials["trial"].isin(comparable(results, y)["trial"])]
    if trials.empty:
        raise NoDataError(f"study '{results.study}' has no completed trial with both {x} and {y}. Let more trials finish.")
    ended = results.epochs.groupby("trial")["time"].max()
    trials = trials.assign(ended=trials["trial"].map(ended).astype(float)).sort_values(["ended", "trial"], na_position="last")
    sides = []
    for column, which in goals.items():
        values = scaled(trials[column], column) * (1.0 if which == "max" else -1.0)
        sides.append((values - values.min()) / (np.ptp(values) or 1.0))
    points = np.stack(sides, axis=1)
    arms = trials["arm"].reset_index(drop=True)
    own = np.zeros(len(points))
    for places in arms.groupby(arms).indices.values():
        own[places] = _growth(points[places])
    begun = float(results.epochs["time"].min()) if len(results.epochs) else math.nan
    return pd.DataFrame(
        {
            "trial": trials["trial"].to_numpy(),
            "arm": arms,
            "completed": np.arange(1, len(points) + 1),
            "seconds": trials["ended"].to_numpy() - begun,
            "hypervolume": _growth(points),
            "arm_hypervolume": own,
        }
    )


def _growth(points: Table) -> list[float]:
    """The hypervolume after each of the points, (points, 2); only one that is not beaten changes it."""
    kept, grown = np.empty((0, 2)), []
    for point in points:
        if not (kept >= point).all(axis=1).any():
            kept = np.vstack([kept[~(kept <= point).all(axis=1)], point])
            grown.append(hypervolume(kept))
        else:
            grown.append(grown[-1])
    return grown


def best_within(results: Results, limits: Mapping[str, float], *, y: str = "val_accuracy") -> str | None:
    """The completed trial with the best y among those that exceed none of the limits; None where there is none.

    Args:
        results: The results of a study, at one stage.
        limits: The largest value of columns that count.
        y: One of `sweeper.analysis.results.DIRECTIONS`.

    Raises:
        UnknownNameError: No such column.
    """
    trials = comparable(results, y)
    for column, largest in limits.items():
        goal(results, column)
        trials = trials[trials[column].astype(float) <= largest]
    if trials.empty:
        return None
    return str(trials.sort_values([y, "trial"], ascending=[goal(results, y) == "min", True])["trial"].iloc[0])
