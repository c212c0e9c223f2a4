"""Which trials are not beaten in everything: the Pareto front.

A row is **dominated** when another row is at least as good in every objective and better in one. The front is every row
that is not dominated. Rows with identical values do not dominate each other, so all of them stay. A row with a missing
or infinite value cannot be compared and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeper.analysis.results import DIRECTIONS, Results, at_stage, goal, require_data
from sweeper.errors import InputError, NoDataError, UnknownNameError
from sweeper.ledger.records import Stage, Status

GOALS = ("max", "min")


def non_dominated(values: npt.ArrayLike, goals: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which rows are on the front.

    One or two objectives cost O(n log n); more cost O(n x front).

    Args:
        values: Shape (rows, objectives). Rows with a value that is not finite are left out and not on the front.
        goals: ``max`` or ``min`` for each objective.

    Raises:
        InputError: A goal that is neither, or not one goal per column.
    """
    table = np.asarray(values, dtype=float)
    if table.ndim != 2 or table.shape[1] != len(goals) or not goals:
        raise InputError(f"expected one goal per column of a table, got {len(goals)} goals for the shape {table.shape}.")
    if wrong := [name for name in goals if name not in GOALS]:
        raise InputError(f"'{wrong[0]}' is not a goal. Allowed: {', '.join(GOALS)}.")
    signs = np.where(np.asarray(goals) == "max", -1.0, 1.0)
    is_on_front = np.zeros(len(table), dtype=bool)
    is_finite = np.isfinite(table).all(axis=1)
    if is_finite.any():
        # Adding zero turns -0.0 into 0.0, so that equal values are equal rows.
        rows, places = np.unique(table[is_finite] * signs + 0.0, axis=0, return_inverse=True)
        mask = _sweep(rows) if rows.shape[1] <= 2 else _filter(rows)
        is_on_front[is_finite] = mask[places.reshape(-1)]
    return is_on_front


def _sweep(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Front of distinct rows in lexicographic order, all to be minimised: only rows before a row can dominate it."""
    lowest_before = np.minimum.accumulate(np.concatenate([[np.inf], rows[:-1, -1]]))
    return np.asarray(rows[:, -1] < lowest_before)


def _filter(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """The same for any number of objectives: a dominated row is dominated by a row of the front found so far."""
    mask = np.zeros(len(rows), dtype=bool)
    found = np.empty_like(rows)
    num_found = 0
    for position, row in enumerate(rows):
        if not (found[:num_found] <= row).all(axis=1).any():
            mask[position] = True
            found[num_found] = row
            num_found += 1
    return mask


def front(frame: pd.DataFrame, *, x: str, y: str, x_goal: str = "min", y_goal: str = "max") -> pd.DataFrame:
    """The rows that can be compared, with a boolean column ``is_on_front``.

    Args:
        frame: One row per contender.
        x: Column of the first objective.
        y: Column of the second objective.
        x_goal: ``min`` or ``max``.
        y_goal: ``min`` or ``max``.

    Returns:
        The rows of the frame, in its order and with its index, without those whose x or y is missing or infinite; how
        many these were is in ``attrs["num_excluded"]``.

    Raises:
        InputError: A goal that is neither ``min`` nor ``max``.
    """
    values = frame[[x, y]].to_numpy(dtype=float, na_value=np.nan)
    mask = non_dominated(values, (x_goal, y_goal))
    is_kept = np.isfinite(values).all(axis=1)
    kept: pd.DataFrame = frame.loc[is_kept].assign(is_on_front=mask[is_kept])
    kept.attrs["num_excluded"] = int((~is_kept).sum())
    return kept


def front_table(results: Results, *, x: str = "parameters", y: str = "val_accuracy") -> pd.DataFrame:
    """The front of the search, cheapest first.

    Args:
        results: The results of a study.
        x: One of `sweeper.analysis.results.DIRECTIONS`.
        y: Another one.

    Returns:
        Columns ``trial arm <y> <x> epoch configuration``, the last one as JSON.

    Raises:
        InputError: As `trials_front`.
    """
    frame = trials_front(at_stage(results, Stage.SEARCH), x=x, y=y)
    columns = list(dict.fromkeys(["trial", "arm", y, x, "epoch", "configuration"]))
    others = ["trial", *(name for name in columns if name not in frame.columns)]
    front = frame[frame["is_on_front"]].merge(results.trials[others], on="trial")
    return front.sort_values(x)[columns].reset_index(drop=True)


def trials_front(results: Results, *, x: str = "parameters", y: str = "val_accuracy") -> pd.DataFrame:
    """The completed and stopped trials by two columns, with those on the front marked.

    Only completed trials can be on the front. A stopped trial was not trained to the end: it stays in the frame, so that a
    plot can show it hollow, but is never on the front. Failed and unfinished trials are not in the frame; a caption counts
    them.

    Args:
        results: The results of a study, at one stage.
        x: One of `sweeper.analysis.results.DIRECTIONS`.
        y: Another one.

    Returns:
        Columns ``trial arm status epoch <x> <y> is_on_front``, sorted by x, then y. ``attrs["num_excluded"]`` counts
        the completed and stopped trials without a value in x or y.

    Raises:
        UnknownNameError: x or y is nothing that trials can be compared by.
        InputError: x is y.
        NoDataError: No completed or stopped trial has both.
    """
    for column in (x, y):
        if column not in DIRECTIONS:
            raise UnknownNameError("column", column, DIRECTIONS)
    if x == y:
        raise InputError(f"x and y are both '{x}'; a front needs two different columns of {', '.join(DIRECTIONS)}.")
    goals = {"x_goal": goal(results, x), "y_goal": goal(results, y)}
    trials = results.trials[results.trials["status"].isin([Status.COMPLETED, Status.STOPPED])]
    require_data(results, trials, (x, y))
    selected = trials[["trial", "arm", "status", "epoch", x, y]]
    is_completed = selected["status"] == Status.COMPLETED
    completed = front(selected[is_completed], x=x, y=y, **goals)
    stopped = front(selected[~is_completed], x=x, y=y, **goals).assign(is_on_front=False)
    both = pd.concat([completed, stopped]).sort_values([x, y, "trial"]).reset_index(drop=True)
    if both.empty:
        raise NoDataError(f"study '{results.study}' has no completed or stopped trial with both {x} and {y}.")
    both.attrs["num_excluded"] = completed.attrs["num_excluded"] + stopped.attrs["num_excluded"]
    return both
