"""Made-up results of a study that was searched and confirmed: small enough to be worked out by hand."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sweeper.analysis.results import Results
from sweeper.ledger.records import BEST_COLUMNS, EPOCH_COLUMNS, TRIAL_COLUMNS
from tests import synthetic

FACTS = {
    "study_id": "0123456789abcdef",
    "dataset": json.dumps({"name": "digits", "train_images": 1000, "validation_images": 400}),
    "device": "cpu",
    "versions": json.dumps({"keras": "3.15.1"}),
    "commit": "abc",
}

EPOCHS = 4

SIZES = {"cnn": 30_000, "resnet": 180_000, "vit": 90_000}

Scores = Mapping[str, Sequence[float | None]]


def small(tests: Scores | None = None, *, searched: Mapping[str, float] | None = None, **changes: Any) -> Results:
    """Arms with one completed trial of the search each, and repetitions of it on the seeds 1001, 1002, ... in the confirm stage.

    Args:
        tests: By arm: the test accuracy with each seed; None is a repetition that failed.
        searched: By arm: the validation accuracy of its trial of the search; by default 0.9.
        changes: Columns to set in every row, or in those of an arm: ``{"cnn": 1.0}``.
    """
    tests = tests or {}
    searched = searched or dict.fromkeys(tests or SIZES, 0.9)
    rows = [_row(arm, value) for arm, value in searched.items()]
    for arm, values in tests.items():
        rows += [_row(arm, searched[arm], seed=1001 + place, test=value) for place, value in enumerate(values)]
    trials = pd.DataFrame(rows, columns=[*TRIAL_COLUMNS, *BEST_COLUMNS])
    for column, value in changes.items():
        trials[column] = trials["arm"].map(value) if isinstance(value, Mapping) else value
    epochs = pd.DataFrame([row for trial in trials.to_dict("records") for row in _epochs(trial)], columns=list(EPOCH_COLUMNS))
    return Results(study="made", objectives=(("max", "val_accuracy"),), trials=trials, epochs=epochs)


def _row(arm: str, validation: float, *, seed: int | None = None, test: float | None = None) -> dict[str, Any]:
    is_search, has_failed = seed is None, seed is not None and test is None
    size = SIZES.get(arm, 50_000)
    return FACTS | {
        "trial": f"{arm}-00000" + ("" if is_search else f"-s{seed}"),
        "arm": arm,
        "architecture": arm,
        "number": 0,
        "stage": "search" if is_search else "confirm",
        "parent": None if is_search else f"{arm}-00000",
        "seed": 7 if is_search else seed,
        "status": "failed" if has_failed else "completed",
        "reason": "nan" if has_failed else "max_epochs",
        "detail": "loss is not finite" if has_failed else None,
        "configuration": json.dumps({"width": 32, "dropout": 0.25}),
        "max_epochs": EPOCHS,
        "epoch": EPOCHS,
        "train_accuracy": validation + 0.02,
        "val_accuracy": validation,
        "best_val_accuracy": validation + 0.01,
        "parameters": size,
        "macs": 10 * size,
        "train_s": size / 10_000,
        "test_accuracy": test,
    }


def _epochs(trial: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Half of the final accuracy after the first epoch, 96 % after the second one."""
    shares = (0.5, 0.96, 0.98, 1.0)
    same = {name: trial[name] for name in ("study_id", "trial", "arm", "architecture", "number", "stage", "parent", "seed")}
    return [
        same
        | {
            "epoch": epoch,
            "val_accuracy": share * trial["val_accuracy"],
            "train_accuracy": share * trial["train_accuracy"],
            "train_s": trial["train_s"] / EPOCHS,
            "time": 1e9 + epoch,
        }
        for epoch, share in enumerate(shares, start=1)
    ]


def with_predictions(results: Results, wrong: Mapping[str, set[int]], num_images: int) -> Results:
    """The same with predictions on test images of two classes: each trial is sure, and wrong on the images named."""
    rows = []
    for trial, images in wrong.items():
        for image in range(num_images):
            label = image % 2
            said = 1 - label if image in images else label
            rows.append(
                {"trial": trial, "split": "test", "row": image, "label": label, "probabilities": np.eye(2)[said] * 0.8 + 0.1}
            )
    return dataclasses.replace(results, predictions=pd.DataFrame(rows), class_names=("left", "right"))


def rich() -> Results:
    """A larger study: three arms, 24 trials of the search, five seeds each, test accuracies, latencies, sure and unsure pairs."""
    results = synthetic.build(confirm_seeds=5)
    trials = results.trials
    is_confirmed = trials["stage"] == "confirm"
    noise = np.random.default_rng(3).normal(0, 0.004, len(trials))
    tests = trials["val_accuracy"].astype(float) - 0.01 + noise
    tests += np.where(trials["arm"] == "cnn", 0.011, 0.0)
    trials = trials.assign(test_accuracy=tests.where(is_confirmed), dataset=FACTS["dataset"])
    trials.loc[trials["status"] == "failed", "detail"] = "the loss is not finite <at step 3>"
    made = dataclasses.replace(results, trials=trials)
    first = [f"{parent}-s1000" for parent in trials.loc[is_confirmed, "parent"].unique()]
    random = np.random.default_rng(5)
    return with_predictions(made, {trial: set(random.choice(400, 20, replace=False)) | {1, 2, 3} for trial in first}, 400)
