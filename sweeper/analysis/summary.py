"""What each arm reached, how uncertain an accuracy is, how long repetitions take."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

from sweeper.analysis.results import Results, arms, at_stage, best_trials, status_counts


def arms_table(results: Results, *, stage: str = "search") -> pd.DataFrame:
    """One row per arm, in the order of `arms`: how many trials, which one is best, what it cost.

    Args:
        results: The results of a study.
        stage: ``search``, ``confirm``, ``ablation`` or ``all``.

    Returns:
        Columns ``arm trials completed stopped failed infeasible unfinished best_trial value parameters epochs train_s``.
        ``infeasible`` counts draws that the arm's network refused; ``trials`` are all others. ``value`` is the first
        objective of the best completed trial at its last epoch and ``parameters`` its trainable parameters; these two are
        NaN and ``best_trial`` is None for an arm that has no completed trial. ``epochs`` counts the epochs of all the
        arm's trials, ``train_s`` is the time spent training in them, in seconds.

    Raises:
        UnknownNameError: No such stage.
    """
    results = at_stage(results, stage)
    best = {str(trial["arm"]): trial for trial in best_trials(results).to_dict("records")}
    trials = results.trials
    rows = []
    for arm in arms(results):
        epochs = results.epochs[results.epochs["arm"] == arm]
        counts = status_counts(trials[trials["arm"] == arm])
        winner = best.get(arm)
        rows.append(
            {
                "arm": arm,
                "trials": sum(counts.values()) - counts["infeasible"],
                **counts,
                "best_trial": None if winner is None else winner["trial"],
                "value": float("nan") if winner is None else float(winner[results.objective]),
                "parameters": float("nan") if winner is None else float(winner["parameters"]),
                "epochs": len(epochs),
                "train_s": float(epochs["train_s"].sum()),
            }
        )
    columns = ["arm", "trials", "completed", "stopped", "failed", "infeasible", "unfinished"]
    return pd.DataFrame(rows, columns=[*columns, "best_trial", "value", "parameters", "epochs", "train_s"])


def sampling_error(accuracy: float, num_images: int) -> float:
    """Half the width of Wilson's 95 % interval of an accuracy, as a fraction: how much the choice of the images matters.

    What another seed of the training changes comes on top.

    Args:
        accuracy: Measured, from 0 to 1.
        num_images: On how many images, from 1.
    """
    from scipy.stats import binomtest

    interval = binomtest(round(accuracy * num_images), num_images).proportion_ci(0.95, method="wilson")
    return float(interval.high - interval.low) / 2


def validation_images(dataset: object) -> int | None:
    """The number of validation images that the column ``dataset`` of a row tells; None where it does not."""
    number = json.loads(dataset).get("validation_images") if isinstance(dataset, str) else None
    return None if number is None else int(number)


def expected_seconds(results: Results, asked: Sequence[tuple[str, int]]) -> float | None:
    """Seconds of a worker's time to train these trials again, estimated from how long they took.

    Args:
        results: The results of a study.
        asked: (trial, epochs) for each training; a trial may occur several times.

    Returns:
        The sum over all; None when a trial has no epoch to go by.
    """
    trials = results.trials.set_index("trial")
    # Not every epoch ends with a checkpoint.
    spent = results.epochs[["train_s", "evaluate_s", "checkpoint_s"]].astype(float).fillna(0.0).sum(axis=1)
    epochs = spent.groupby(results.epochs["trial"]).mean()
    if not all(trial in epochs.index for trial, _ in asked):
        return None
    build = trials["build_s"].fillna(0.0)
    return float(sum(build[trial] + epochs[trial] * num_epochs for trial, num_epochs in asked))
