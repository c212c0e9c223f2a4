"""Samplers and rules of early stopping on recorded curves: regret over time, and how much sooner than random search.

    python benchmarks/search/policies.py CURVES.parquet --seeds 20

replays every policy on every task of the table (docs/replay.md) with as many seeds, and prints a Markdown table. The reference of
the speed-up is random search that trains every configuration to the end: by which factor less time is needed until the mean
regret stays below that which random search has at the end. Intervals are bootstrapped over tasks and seeds (90 %).
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from sweeper.replay import scores
from sweeper.replay.clock import Policy, replay
from sweeper.replay.curves import Task, read

BUDGET = 20
"""Mean trainings of a task."""

POLICIES = (
    ("random", "none"),
    ("random", "asha"),
    ("random", "promote"),
    ("tpe", "none"),
    ("tpe", "asha"),
    ("tpe", "promote"),
    ("trees", "none"),
    ("trees", "asha"),
    ("trees", "promote"),
)
"""Sampler and rule; the first is the reference."""


def regrets(tasks: list[Task], policy: Policy, seeds: int) -> list[NDArray[Any]]:
    """For each task, (seeds, points of time)."""
    found = []
    for task in tasks:
        budget_s = BUDGET * task.mean_training_s
        runs = [scores.regrets(task, replay(task, policy, budget_s=budget_s, seed=seed), budget_s) for seed in range(seeds)]
        found.append(np.array(runs))
    return found


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curves", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--policies", nargs="+", help="only these, such as trees/promote; random/none is always there")
    arguments = parser.parse_args()
    tasks, wanted = read(arguments.curves), arguments.policies
    told = " | ".join(f"at {part:.0%}" for part in scores.TOLD)
    lines = [f"| sampler | stopping | {told} | speed-up | 90 % |", "|" + "---|" * (len(scores.TOLD) + 4)]
    reference = 0.0
    for sampler, rule in POLICIES:
        if (sampler, rule) != POLICIES[0] and wanted and f"{sampler}/{rule}" not in wanted:
            continue
        started, grace = time.perf_counter(), max(1, round(tasks[0].max_epochs / 25))
        policy = Policy(sampler=sampler, rule=rule, grace_epochs=grace, reduction_factor=3, workers=arguments.workers)
        runs = regrets(tasks, policy, arguments.seeds)
        mean = np.mean([run.mean(axis=0) for run in runs], axis=0)
        if (sampler, rule) == POLICIES[0]:
            reference = float(mean[-1])
        low, high = scores.bootstrapped(runs, reference)
        regret = " | ".join(f"{value:.3f}" for value in scores.told(mean).values())
        lines.append(f"| {sampler} | {rule} | {regret} | {scores.sooner(mean, reference):.1f} | {low:.1f} to {high:.1f} |")
        print(f"{sampler}/{rule}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    print(f"{datetime.date.today()}, {len(tasks)} tasks, {arguments.seeds} seeds, {arguments.workers} workers\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
