"""Seconds that a report of a large study takes, from its two tables to the page, on made-up results.

    python benchmarks/report.py --trials 100000 --epochs 10

Six arms share the trials; the best trial of each is confirmed on five seeds. Every step is timed once, imports apart:
seconds on the clock, and of this process's CPU time, which other work on the machine does not change much.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from sweeper.analysis.results import Results
from sweeper.ledger.records import BEST_COLUMNS, EPOCH_COLUMNS, TRIAL_COLUMNS
from sweeper.report.build import facts, report
from sweeper.report.page import page
from sweeper.report.parts import Report
from sweeper.report.text import markdown

ARMS = ("cnn", "densenet", "efficientnet", "resnet", "swin", "vit")

SEEDS = 5

FACTS = {
    "study_id": "0123456789abcdef",
    "attempt": 1,
    "status": "completed",
    "reason": "max_epochs",
    "device": "cpu",
    "dataset": json.dumps({"name": "made", "train_images": 28_709, "validation_images": 7_178}),
    "versions": json.dumps({"keras": "3.15.1"}),
    "commit": "abc",
    "configuration": json.dumps({"width": 32, "learning_rate": 0.001}),
}


def made(num_trials: int, num_epochs: int) -> Results:
    """The results of a study in which every trial trains to its end."""
    random = np.random.default_rng(0)
    numbers = np.arange(num_trials)
    arms = np.asarray(ARMS)[numbers % len(ARMS)]
    search = pd.DataFrame({"arm": arms, "number": numbers // len(ARMS), "stage": "search", "seed": numbers, "parent": None})
    search["trial"] = search["arm"] + "-" + search["number"].astype(str).str.zfill(5)
    search["parameters"] = (10 ** random.uniform(4, 7, num_trials)).astype(int)
    search["val_accuracy"] = 0.9 + 0.02 * np.log10(search["parameters"] / 1e6) - random.exponential(0.03, num_trials)
    best = search.sort_values("val_accuracy").drop_duplicates("arm", keep="last")
    seeds = [
        best.assign(parent=best["trial"], trial=best["trial"] + f"-s{seed}", seed=seed, stage="confirm") for seed in range(SEEDS)
    ]
    trials = pd.concat([search, *seeds], ignore_index=True)
    noise = random.normal(0, 0.003, len(trials))
    trials = trials.assign(
        **FACTS,
        architecture=trials["arm"],
        epoch=num_epochs,
        max_epochs=num_epochs,
        macs=20 * trials["parameters"],
        train_s=trials["parameters"] / 1e5,
        val_accuracy=trials["val_accuracy"] + noise * (trials["stage"] == "confirm"),
        test_accuracy=(trials["val_accuracy"] - 0.01 + noise).where(trials["stage"] == "confirm"),
    )
    trials["train_accuracy"] = trials["val_accuracy"] + 0.03
    trials["best_val_accuracy"] = trials["val_accuracy"] + 0.001
    epochs = trials.loc[trials.index.repeat(num_epochs)].reset_index(drop=True)
    epochs["epoch"] = np.tile(np.arange(1, num_epochs + 1), len(trials))
    epochs["val_accuracy"] *= 1 - 0.5 ** epochs["epoch"]
    epochs["train_s"] /= num_epochs
    epochs["time"] = 1e9 + np.arange(len(epochs))
    return Results(
        study="large",
        objectives=(("max", "val_accuracy"), ("min", "parameters")),
        trials=trials.reindex(columns=[*TRIAL_COLUMNS, *BEST_COLUMNS]),
        epochs=epochs.reindex(columns=list(EPOCH_COLUMNS)),
    )


def main() -> None:
    """Make the results, time every step, print seconds as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=10)
    asked = parser.parse_args()
    results = made(asked.trials, asked.epochs)
    told: list[Report] = []
    steps: dict[str, Callable[[], object]] = {
        "report": lambda: told.append(report(results)),
        "page": lambda: page(told[0]),
        "markdown": lambda: markdown(told[0]),
        "json": lambda: json.dumps(facts(told[0])),
    }
    lines: dict[str, dict[str, float]] = {}
    for name, step in steps.items():
        begun, worked = time.perf_counter(), time.process_time()
        made_of = step()
        lines[name] = {"seconds": round(time.perf_counter() - begun, 2), "cpu": round(time.process_time() - worked, 2)}
        if isinstance(made_of, str):
            lines[name]["MB"] = round(len(made_of) / 1e6, 2)
    print(json.dumps({"trials": len(results.trials), "epoch rows": len(results.epochs), **lines}, indent=2))


if __name__ == "__main__":
    main()
