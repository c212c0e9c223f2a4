"""How a study progressed: learning curves, the best value so far, the last value of every trial, how far trials came."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from sweeper.analysis.results import (
    Results,
    arms,
    best_trials,
    goal,
    metric_or_objective,
    require_data,
)
from sweeper.ledger.records import METRICS, Reason, Status


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


def rungs(results: Results) -> pd.DataFrame:
    """One row per arm and rung: how many trials came so far, and what became of those that came no further.

    A rung is a number of epochs at which a trial was stopped or waits. The last row of an arm is the length of a whole
    training. Draws that the arm's network refused are no trials; neither are trainings of a trial anew for more epochs.

    Args:
        results: The results of a study, at one stage.

    Returns:
        Columns ``arm epoch reached stopped paused failed unfinished completed``, sorted by arm and epoch. ``reached`` counts
        the trials that trained so many epochs. ``stopped`` and ``paused`` ended or wait at this rung; ``failed`` and
        ``unfinished`` ended or are on their way between the rung before and this one. ``completed`` is 0 but in the last
        row. Every trial is in exactly one of the five. Empty when no trial trained an epoch.
    """
    trials = results.trials[(results.trials["reason"] != Reason.INFEASIBLE) & ~results.trials["trial"].str.contains(r"-e\d+$")]
    epoch = trials["epoch"].fillna(0).astype(int)
    if not epoch.any():
        trials = trials.iloc[:0]
    is_at_rung = trials["status"].isin([Status.STOPPED, Status.PAUSED])
    ends = {str(status): trials["status"] == status for status in (Status.STOPPED, Status.PAUSED, Status.FAILED)}
    ends["unfinished"] = ~trials["status"].isin([Status.COMPLETED, *ends])
    found = []
    for arm in arms(dataclasses.replace(results, trials=trials)):
        is_own = trials["arm"] == arm
        own, trained = trials[is_own], epoch[is_own]
        last = int(own["max_epochs"].fillna(0).max()) or int(trained.max())
        levels = [level for level in sorted(set(epoch[is_at_rung])) if level < last] + [last]
        # Who ended at a rung stands on it; who failed or is on the way belongs to the next one.
        places = np.where(is_at_rung[is_own], np.searchsorted(levels, trained), np.searchsorted(levels, trained, side="right"))
        places = places.clip(max=len(levels) - 1)
        for place, level in enumerate(levels):
            row = {name: int((mask[is_own] & (places == place)).sum()) for name, mask in ends.items()}
            num_completed = int((own["status"] == Status.COMPLETED).sum()) if level == last else 0
            found.append({"arm": arm, "epoch": level, "reached": int((trained >= level).sum()), "completed": num_completed} | row)
    columns = ["arm", "epoch", "reached", "stopped", "paused", "failed", "unfinished", "completed"]
    return pd.DataFrame(found, columns=columns)


def trials_without_rows(results: Results, frame: pd.DataFrame) -> dict[str, int]:
    """How many trials of each final status have no row in a frame with a column ``trial``; without zeros."""
    absent = results.trials[~results.trials["trial"].isin(frame["trial"])]
    counts = {str(status): int((absent["status"] == status).sum()) for status in Status if status.is_final}
    return {status: count for status, count in counts.items() if count}


def _epochs_with(results: Results, metric: str) -> pd.DataFrame:
    assert metric in METRICS
    require_data(results, results.epochs, [metric])
    return results.epochs[np.isfinite(results.epochs[metric].astype(float))]
