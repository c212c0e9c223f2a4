"""What a search finds beyond the default of an arm, with few trials: replays of our own recorded curves.

    python benchmarks/search/defaults.py benchmarks/search/own_curves.parquet --replays 200

A replay gives one arm so many trials, the default first, and looks at its best completed trial: how often it beats the default,
by how many points, and after how many epochs of training. `moved` begins at a bad default, one that a tenth of the table is worse
than. Its points are counted from the true default all the same: they say what a wrong default costs, beside the row with the
right one and the row without a prior.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from sweeper.replay.clock import Policy, replay
from sweeper.replay.curves import Task, read
from sweeper.study.space import Choice, Knob, Value

POLICIES = (
    ("random", "none", "none", 1),
    ("random", "asha", "none", 1),
    ("tpe", "asha", "none", 1),
    ("tpe", "asha", "default", 1),
    ("tpe", "promote", "default", 1),
    ("trees", "asha", "none", 1),
    ("trees", "asha", "default", 1),
    ("trees", "asha", "default", 2),
    ("trees", "promote", "none", 1),
    ("trees", "promote", "default", 1),
    ("trees", "none", "default", 1),
)
"""Sampler, rule, prior, objectives: accuracy, or accuracy and parameters."""

OBJECTIVES = ("max val_accuracy", "min parameters")

BAD = 0.1
"""Part of the configurations that are worse than a bad default."""


def found(task: Task, policy: Policy, seed: int) -> tuple[float, int]:
    """The final value of the best completed trial, and the epochs of all trials."""
    best, epochs = -np.inf, 0
    for event in replay(task, policy, budget_s=np.inf, seed=seed):
        epochs += 1
        if event.epoch == len(task.values[event.row]) and np.isfinite(event.value):
            best = max(best, event.value)
    return best, epochs


def moved(task: Task) -> Task:
    """The task with a bad default; its knobs that do not exist there keep theirs."""
    order = np.argsort(task.finals)
    bad = task.configurations[order[round(BAD * len(order))]]
    knobs = {name: _moved(knob, bad[name]) if name in bad else knob for name, knob in task.space.model.items()}
    return dataclasses.replace(task, space=dataclasses.replace(task.space, model=knobs))


def _moved(knob: Knob, default: Value) -> Knob:
    if isinstance(knob, Choice):
        return Choice(*knob.options, default=default, condition=knob.condition)
    return dataclasses.replace(knob, default=default)


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curves", type=Path)
    parser.add_argument("--replays", type=int, default=200, help="of each row, spread over the arms")
    parser.add_argument("--trials", type=int, nargs="+", default=[8, 24])
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--grace-epochs", type=int, default=1, help="epoch of the first rung")
    parser.add_argument("--policies", nargs="+", help="only these, such as trees/promote/default/1")
    arguments = parser.parse_args()
    tasks = read(arguments.curves)
    defaults = [task.finals[task.configurations.index(task.space.default())] for task in tasks]
    finals = [(task.finals - default) * 100 for task, default in zip(tasks, defaults, strict=True)]
    for task, points in zip(tasks, finals, strict=True):
        share = np.mean(points > 0)
        print(f"{task.name}: {len(points)} configurations, {share:.0%} beat the default, the best by {points.max():.1f} points")
    print(f"\n{datetime.date.today()}, {arguments.replays} replays a row, {arguments.workers} workers\n")
    print(
        "| default | trials | sampler | stopping | prior | objectives | beats the default | points, mean | 10 % below | epochs |"
    )
    print("|" + "---|" * 10)
    for kind, own in (("own", tasks), ("moved", [moved(task) for task in tasks])):
        for trials in arguments.trials:
            for sampler, rule, prior, objectives in POLICIES:
                if arguments.policies and f"{sampler}/{rule}/{prior}/{objectives}" not in arguments.policies:
                    continue
                policy = Policy(
                    sampler=sampler, rule=rule, grace_epochs=arguments.grace_epochs, reduction_factor=3, workers=arguments.workers, trials=trials,
                    prior=prior, objectives=OBJECTIVES[:objectives],
                )  # fmt: skip
                started, gains, epochs = time.perf_counter(), [], []
                for number in range(arguments.replays):
                    at = number % len(tasks)
                    best, spent = found(own[at], policy, seed=number)
                    gains.append(100 * (best - defaults[at]))
                    epochs.append(spent)
                print(
                    f"| {kind} | {trials} | {sampler} | {rule} | {prior} | {objectives} | {np.mean(np.array(gains) > 0):.0%} | "
                    f"{np.mean(gains):+.2f} | {np.quantile(gains, 0.1):+.2f} | {np.mean(epochs):.0f} |",
                    flush=True,
                )
                print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
