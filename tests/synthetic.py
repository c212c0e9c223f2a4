"""Invented results of a study on the digits dataset, the same at every call: what the tests of analysis and plots look at."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from sweeper.analysis.results import Results
from sweeper.ledger.records import BEST_COLUMNS, EPOCH_COLUMNS, TRIAL_COLUMNS, trial_name

OBJECTIVES = (("max", "val_accuracy"), ("min", "parameters"))
NUM_VALIDATION = 360
"""Images in the validation split, so accuracies are multiples of 1/360 and ties happen."""

ARMS = {"cnn": (0.975, 30_000), "resnet": (0.985, 180_000), "vit": (0.955, 90_000)}
"""Typical accuracy and typical parameters of each arm."""

MORE_ARMS = {
    "convnext": (0.98, 400_000),
    "densenet": (0.983, 120_000),
    "efficientnet": (0.97, 250_000),
    "mlp": (0.95, 15_000),
    "mobilenet": (0.968, 60_000),
    "resnet_se": (0.987, 200_000),
    "swin": (0.96, 300_000),
    "vgg": (0.978, 900_000),
    "wide_resnet": (0.986, 1_500_000),
    "xception": (0.972, 350_000),
    "inception": (0.974, 450_000),
    "squeezenet": (0.964, 25_000),
    "regnet": (0.981, 220_000),
}
"""Further arms, for crowded pictures."""

DEVICE_FACTS = {
    "dataset": '{"name": "digits"}',
    "device": "CPU, 2 threads",
    "versions": '{"keras": "3.15.0"}',
    "commit": None,
    "detail": None,
}


def build(
    *,
    num_arms: int = 3,
    trials_per_arm: int = 8,
    max_epochs: int = 9,
    seed: int = 0,
    confirm_seeds: int = 0,
    ablation_seeds: int = 0,
    limits: dict[str, int] | None = None,
) -> Results:
    """Results of a study with early stopping at a third and a ninth of the epochs; the arm ``cnn`` has one trial that failed.

    Args:
        num_arms: 1 to 16; the first three are cnn, resnet and vit.
        trials_per_arm: Trials of each arm in the search stage.
        max_epochs: Epochs of a completed trial.
        seed: Another seed gives another study.
        confirm_seeds: Repetitions of each arm's best trial in the confirm stage, which have latencies.
        ablation_seeds: Repetitions of each arm's default configuration in the ablation stage; with more than three, the
            third one of ``cnn`` failed.
        limits: What the study allows, by column.
    """
    arms = dict(list((ARMS | MORE_ARMS).items())[:num_arms])
    plans = [_plan(arm, number, seed, max_epochs, *arms[arm]) for number in range(trials_per_arm) for arm in arms]
    for plan in plans:
        _stop_early(plan, [other for other in plans if other["arm"] == plan["arm"]], max_epochs)
    if trials_per_arm > 3:
        plans[3 * num_arms].update(status="failed", reason="nan", num_epochs=min(2, max_epochs), fails=True)
    if confirm_seeds:
        plans += _confirmations(plans, list(arms), confirm_seeds, max_epochs, seed)
    if ablation_seeds:
        plans += _ablation(plans, list(arms), ablation_seeds, max_epochs, seed)
    epochs = _epoch_rows(plans)
    return Results(
        study="digits",
        objectives=OBJECTIVES,
        trials=pd.DataFrame([_trial_row(plan, epochs) for plan in plans], columns=[*TRIAL_COLUMNS, *BEST_COLUMNS]),
        epochs=pd.DataFrame(epochs, columns=list(EPOCH_COLUMNS)),
        limits=limits or {},
    )


def empty(**changes: Any) -> Results:
    """Results without any trial."""
    facts = {"study": "digits", "objectives": OBJECTIVES} | changes
    return Results(
        trials=pd.DataFrame(columns=[*TRIAL_COLUMNS, *BEST_COLUMNS]), epochs=pd.DataFrame(columns=list(EPOCH_COLUMNS)), **facts
    )


def _plan(arm: str, number: int, seed: int, max_epochs: int, top: float, size: int) -> dict[str, Any]:
    stream = np.random.default_rng([seed, *arm.encode(), number])
    width = 1.0 if number == 0 else float(2.0 ** stream.uniform(-2.0, 2.0))
    rate = 1e-3 if number == 0 else float(10.0 ** stream.uniform(-4.5, -1.5))
    distance = abs(np.log10(rate) + 2.8)
    final = 1.0 - (1.0 - top) * width**-0.35 * (1.0 + 1.5 * distance**2) - 0.004 * stream.random()
    pace = 0.8 + 1.2 * distance
    epoch = np.arange(1, max_epochs + 1)
    exact = final - (final - 0.1) * np.exp(-epoch / pace) + 0.006 * stream.standard_normal(max_epochs) / epoch
    return {
        "arm": arm,
        "number": number,
        "trial": trial_name(arm, number),
        "stage": "search",
        "parent": None,
        "seed": 1000 + number,
        "parameters": round(size * width),
        "learning_rate": rate,
        "configuration": json.dumps({"width": round(width, 3), "learning_rate": rate}),
        "val_accuracy": np.clip(np.round(exact * NUM_VALIDATION), 36, NUM_VALIDATION) / NUM_VALIDATION,
        "max_epochs": max_epochs,
        "num_epochs": max_epochs,
        "status": "completed",
        "reason": "max_epochs",
        "latency_ms": None,
        "fails": False,
    }


def _stop_early(plan: dict[str, Any], peers: list[dict[str, Any]], max_epochs: int) -> None:
    for rung in sorted({max(1, max_epochs // 9), max(1, max_epochs // 3)}):
        reached = sorted(float(peer["val_accuracy"][rung - 1]) for peer in peers)
        if rung < plan["num_epochs"] and plan["val_accuracy"][rung - 1] < reached[len(reached) // 3]:
            plan.update(status="stopped", reason="rung", num_epochs=rung)


def _confirmations(plans: list[dict[str, Any]], arms: list[str], count: int, max_epochs: int, seed: int) -> list[dict[str, Any]]:
    repeated = []
    for arm in arms:
        completed = [plan for plan in plans if plan["arm"] == arm and plan["status"] == "completed"]
        winner = max(completed, key=lambda plan: float(plan["val_accuracy"][-1]))
        for repetition in range(count):
            stream = np.random.default_rng([seed, *arm.encode(), 7, repetition])
            noise = np.round(stream.standard_normal(max_epochs) * 1.5) / NUM_VALIDATION
            repeated.append(
                winner
                | {
                    # The ablation stage has the small seeds; an id tells the two stages apart by nothing else.
                    "trial": f"{winner['trial']}-s{1000 + repetition}",
                    "stage": "confirm",
                    "parent": winner["trial"],
                    "seed": 1000 + repetition,
                    "val_accuracy": np.clip(winner["val_accuracy"] + noise, 0.1, 1.0),
                    "latency_ms": round(0.5 + winner["parameters"] / 150_000 + 0.05 * stream.random(), 3),
                }
            )
    return repeated


def _ablation(plans: list[dict[str, Any]], arms: list[str], count: int, max_epochs: int, seed: int) -> list[dict[str, Any]]:
    """Seeds 1 to `count`, good or bad for all arms alike, and a little for each arm alone; better than any search trial."""
    repeated = []
    for arm in arms:
        parent = next(plan for plan in plans if plan["arm"] == arm and plan["number"] == 0)
        for repetition in range(1, count + 1):
            shared = np.random.default_rng([seed, repetition]).standard_normal()
            own = np.random.default_rng([seed, *arm.encode(), repetition]).standard_normal()
            shift = np.round(3.0 + 2.0 * shared + own) / NUM_VALIDATION
            repeated.append(
                parent
                | {
                    "trial": f"{trial_name(arm, 0)}-s{repetition}",
                    "stage": "ablation",
                    "parent": parent["trial"],
                    "seed": repetition,
                    "val_accuracy": np.clip(parent["val_accuracy"] + shift, 0.1, 1.0),
                    "status": "completed",
                    "reason": "max_epochs",
                    "num_epochs": max_epochs,
                }
            )
    if count > 3:
        repeated[2].update(status="failed", reason="nan", num_epochs=min(2, max_epochs), fails=True)
    return repeated


def _epoch_rows(plans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two workers take the trials in turn; a clock per worker gives every row its time."""
    clocks, rows = [1_750_000_000.0, 1_750_000_000.4], []
    for plan in plans:
        worker = clocks.index(min(clocks))
        is_first_of_worker = not any(row["worker"] == f"node-0:{4000 + worker}" for row in rows)
        for epoch in range(1, plan["num_epochs"] + 1):
            is_last, is_first = epoch == plan["num_epochs"], epoch == 1
            accuracy = float(plan["val_accuracy"][epoch - 1])
            loss = np.nan if plan["fails"] and is_last else -np.log(max(accuracy, 1e-3)) * 1.4
            seconds = {
                "import_s": 6.0 if is_first_of_worker and is_first else None,
                "build_s": 3.0 if is_first else None,
                "train_s": 1.0 + plan["parameters"] / 100_000,
                "evaluate_s": 0.2,
                "checkpoint_s": 0.05,
                "wait_s": 0.4 if is_first else 0.0,
            }
            clocks[worker] += sum(value for value in seconds.values() if value)
            rows.append(
                {name: plan[name] for name in ("trial", "arm", "number", "stage", "parent", "seed", "learning_rate")}
                | seconds
                | {
                    "study_id": "0123456789abcdef",
                    "architecture": "resnet" if plan["arm"] == "resnet_se" else plan["arm"],
                    "attempt": 1,
                    "status": plan["status"] if is_last else "running",
                    "reason": plan["reason"] if is_last else None,
                    "epoch": epoch,
                    "train_loss": loss * 0.9,
                    "train_accuracy": np.nan if np.isnan(loss) else min(1.0, accuracy + 0.005),
                    "val_loss": loss,
                    "val_accuracy": np.nan if np.isnan(loss) else accuracy,
                    "peak_memory_mb": 900.0 + plan["parameters"] / 10_000,
                    "device": DEVICE_FACTS["device"],
                    "worker": f"node-0:{4000 + worker}",
                    "is_program_reused": not is_first,
                    "time": clocks[worker],
                }
            )
    return rows


def _trial_row(plan: dict[str, Any], epochs: list[dict[str, Any]]) -> dict[str, Any]:
    rows = [row for row in epochs if row["trial"] == plan["trial"]]
    last = rows[-1]
    finite = [row for row in rows if np.isfinite(row["val_accuracy"])]
    best = max(finite, key=lambda row: float(row["val_accuracy"]), default={"val_accuracy": None, "epoch": None})
    lowest = min(finite, key=lambda row: float(row["val_loss"]), default={"val_loss": None, "epoch": None})
    times = ("import_s", "build_s", "train_s", "evaluate_s", "checkpoint_s", "wait_s")
    return (
        {name: last[name] for name in TRIAL_COLUMNS if name in last}
        | {name: sum(row[name] or 0.0 for row in rows) for name in times}
        | {name: plan[name] for name in ("configuration", "max_epochs", "parameters", "latency_ms")}
        | {"macs": plan["parameters"] * 25, "latency_ms_batch32": None}
        | DEVICE_FACTS
        | {"best_val_accuracy": best["val_accuracy"], "best_val_accuracy_epoch": best["epoch"]}
        | {"best_val_loss": lowest["val_loss"], "best_val_loss_epoch": lowest["epoch"]}
    )
