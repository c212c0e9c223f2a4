"""How a study progressed: learning curves, the best value so far, the last value of every trial."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sweeper.analysis.results import (
    Results,
    best_trials,
    goal,
    metric_or_objective,
    require_data,
)
from sweeper.ledger.records import METRICS, Status


def learning_curves(results: Results, metric: str | None = None) -> pd.DataFrame:
    """One row per trial and epoch: how each trial learned.

    Args:
        results: The results of a study, at one stage.
        metric: One of `sweeper.ledger.records.METRICS`; None means the first objective.

    Returns:
        Columns ``arm trial epoch value status is_last is_best``, sorted by arm, trial and epoch, without rows that have
        no finite value. ``status`` is the trial's. ``is_last`` marks its last row here. ``is_best`` marks all rows of
        the arm's best trial, by the study's first objective; no row of an arm that has no completed trial.

    Raises:
        UnknownNameError: No such metric.
        NoDataError: No epoch has a value of it.
    """
    metric = metric_or_objective(results, metric)
    rows = _epochs_with(results, metric).sort_values(["arm", "trial", "epoch"]).reset_index(drop=True)
    status = results.trials.set_index("trial")["status"]
    return pd.DataFrame(
        {
            "arm": rows["arm"],
            "trial": rows["trial"],
            "epoch": rows["epoch"].astype(int),
            "value": rows[metric].astype(float),
            "status": rows["trial"].map(status),
            "is_last": ~rows.duplicated("trial", keep="last"),
            "is_best": rows["trial"].isin(best_trials(results)["trial"]),
        }
    )


def best_so_far(results: Results, metric: str | None = None) -> pd.DataFrame:
    """One row per epoch spent, in the order recorded: the best value reached until then, over all arms and in its arm.

    A trial counts with its value after each of its epochs: it was the best known value at that moment. So the curve may
    lie above the best completed trial, whose objective is the value at its last epoch. An epoch that a crash made
    worthless is not in the table of epochs, and is not counted as spent.

    Args:
        results: The results of a study, at one stage.
        metric: One of `sweeper.ledger.records.METRICS`; None means the first objective.

    Returns:
        Columns ``epochs_spent arm_epochs_spent arm trial epoch value best arm_best``. The two counts begin at 1 and
        include epochs whose value is missing (NaN in ``value``); ``best`` is NaN until there is a first value.

    Raises:
        UnknownNameError: No such metric.
        NoDataError: No epoch has a value of it.
    """
    metric = metric_or_objective(results, metric)
    require_data(results, results.epochs, [metric])
    rows = results.epochs.sort_values(["time", "trial", "epoch"], kind="stable", na_position="last").reset_index(drop=True)
    value = rows[metric].astype(float).where(np.isfinite(rows[metric].astype(float)))
    is_max = goal(results, metric) == "max"
    by_arm = value.groupby(rows["arm"], sort=False)
    return pd.DataFrame(
        {
            "epochs_spent": np.arange(1, len(rows) + 1),
            "arm_epochs_spent": rows.groupby("arm", sort=False).cumcount() + 1,
            "arm": rows["arm"],
            "trial": rows["trial"],
            "epoch": rows["epoch"].astype(int),
            "value": value,
            # A cumulative extreme is missing where the value is; the best so far is still the one before.
            "best": (value.cummax() if is_max else value.cummin()).ffill(),
            "arm_best": (by_arm.cummax() if is_max else by_arm.cummin()).groupby(rows["arm"], sort=False).ffill(),
        }
    )


def last_values(results: Results, metric: str = "val_accuracy") -> pd.DataFrame:
    """One row per trial: where it ended.

    Args:
        results: The results of a study, at one stage.
        metric: One of `sweeper.ledger.records.METRICS`.

    Returns:
        Columns ``arm trial status reason epoch value is_best``, sorted by arm and trial. ``value`` is that of the last
        epoch, NaN for a trial that has none (failed at once, or not begun). ``is_best`` marks the best completed trial
        of each arm by this metric.

    Raises:
        UnknownNameError: No such metric.
        NoDataError: No trial has a value of it.
    """
    metric = metric_or_objective(results, metric)
    require_data(results, results.trials, [metric])
    trials = results.trials.sort_values(["arm", "trial"]).reset_index(drop=True)
    value = trials[metric].astype(float)
    return trials[["arm", "trial", "status", "reason", "epoch"]].assign(
        value=value.where(np.isfinite(value)),
        is_best=trials["trial"].isin(best_trials(results, metric)["trial"]),
    )


def trials_without_rows(results: Results, frame: pd.DataFrame) -> dict[str, int]:
    """How many trials of each final status have no row in a frame with a column ``trial``; without zeros."""
    absent = results.trials[~results.trials["trial"].isin(frame["trial"])]
    counts = {str(status): int((absent["status"] == status).sum()) for status in Status if status.is_final}
    return {status: count for status, count in counts.items() if count}


def _epochs_with(results: Results, metric: str) -> pd.DataFrame:
    assert metric in METRICS
    require_data(results, results.epochs, [metric])
    return results.epochs[np.isfinite(results.epochs[metric].astype(float))]
