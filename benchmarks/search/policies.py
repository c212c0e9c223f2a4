"""Samplers and rules of early stopping on recorded curves: regret over time, and how much sooner than random search.

    python benchmarks/search/policies.py CURVES.parquet --seeds 20 --peers --reference-seeds 200
    python benchmarks/search/policies.py --made-up --seeds 10

replays every policy on every task of the table (docs/replay.md) with as many seeds, and prints a Markdown table. ``--peers`` adds
Optuna and Ray Tune (peers.py). The reference of the speed-up is random search that trains every configuration to the end: by
which factor less time is needed until the mean regret stays at or below that which random search has at the end. Intervals are
bootstrapped over tasks and seeds (90 %). The processor's seconds for each policy go to stderr.

``--made-up`` replays tasks where early epochs are noise, and where they are perfect (made_up.py), and says what the audits of
`promote` are worth there: the regret at the end against that of random search, and the speed-up against that without audits.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

import made_up
import numpy as np
from numpy.typing import NDArray

from sweeper.replay import clock, scores
from sweeper.replay.clock import Observed, Policy
from sweeper.replay.curves import Task, read
from sweeper.search import promotion
from sweeper.streams import seed_of

BUDGET = 20
"""Mean trainings of a task."""

Name = tuple[str, str]
"""Sampler and rule."""

Run = Callable[[Task, float, int], Iterable[Observed]]
"""A search of a task, for so many seconds, with a seed."""

REFERENCE: Name = ("random", "none")

POLICIES: tuple[Name, ...] = (
    REFERENCE,
    ("random", "asha"),
    ("random", "promote"),
    ("tpe", "none"),
    ("tpe", "asha"),
    ("tpe", "promote"),
    ("trees", "none"),
    ("trees", "asha"),
    ("trees", "promote"),
)


def ours(name: Name, grace_epochs: int, workers: int) -> Run:
    """A search as a study does it."""
    policy = Policy(sampler=name[0], rule=name[1], grace_epochs=grace_epochs, reduction_factor=3, workers=workers)
    return lambda task, budget_s, seed: clock.replay(task, policy, budget_s=budget_s, seed=seed)


def theirs(workers: int) -> dict[Name, Run]:
    """The searches of peers.py."""
    from peers import PEERS

    def run_of(name: Name) -> Run:
        def run(task: Task, budget_s: float, seed: int) -> Iterable[Observed]:
            searcher = PEERS[name](task, seed_of(seed, task.name, *name))
            return clock.run(searcher, workers=workers, budget_s=budget_s)

        return run

    return {name: run_of(name) for name in PEERS}


def without_audits(search: Run) -> Run:
    """The same search, in which every trial pauses at rungs and all rungs are trusted."""

    def run(task: Task, budget_s: float, seed: int) -> Iterable[Observed]:
        with mock.patch.object(promotion, "AUDITED", 0.0):
            return list(search(task, budget_s, seed))

    return run


class Found:
    """What searches found on the same tasks.

    Args:
        tasks: Recorded trainings.
        searches: By name; the reference is among them.
        seeds: Searches of each task.
        reference_seeds: The same for the reference.
    """

    def __init__(self, tasks: list[Task], searches: Mapping[Name, Run], seeds: int, reference_seeds: int):
        self.runs: dict[Name, list[NDArray[Any]]] = {}
        """Of each search, for each task: regrets, (seeds, points of time)."""
        for name, search in searches.items():
            count, started = reference_seeds if name == REFERENCE else seeds, time.process_time()
            self.runs[name] = [_regrets(task, search, count) for task in tasks]
            spent_s = time.process_time() - started
            told = f"{spent_s:.0f} s, {spent_s / (count * len(tasks)):.2f} s for a task and seed"
            print(f"{'/'.join(name)}: {told}", file=sys.stderr, flush=True)

    def mean(self, name: Name) -> NDArray[np.float64]:
        """The regret over time, over seeds and tasks."""
        return np.asarray(np.mean([run.mean(axis=0) for run in self.runs[name]], axis=0))

    @property
    def reference(self) -> float:
        """The regret of the reference at the end."""
        return float(self.mean(REFERENCE)[-1])

    def sooner(self, name: Name) -> float:
        """By which factor a search is faster than the reference."""
        return scores.sooner(self.mean(name), self.reference)

    def lines(self) -> list[str]:
        """A Markdown table."""
        told = " | ".join(f"at {part:.0%}" for part in scores.TOLD)
        lines = [f"| sampler | stopping | {told} | speed-up | 90 % |", "|" + "---|" * (len(scores.TOLD) + 4)]
        for name, runs in self.runs.items():
            low, high = scores.bootstrapped(runs, self.reference)
            regret = " | ".join(f"{value:.3f}" for value in scores.told(self.mean(name)).values())
            lines.append(f"| {name[0]} | {name[1]} | {regret} | {self.sooner(name):.1f} | {low:.1f} to {high:.1f} |")
        return lines


def _regrets(task: Task, search: Run, seeds: int) -> NDArray[np.float64]:
    budget_s = BUDGET * task.mean_training_s
    return np.array([scores.regrets(task, search(task, budget_s, seed), budget_s) for seed in range(seeds)])


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tables = parser.add_mutually_exclusive_group(required=True)
    tables.add_argument("curves", type=Path, nargs="?")
    tables.add_argument("--made-up", action="store_true", help="made-up tasks in place of a table")
    parser.add_argument("--tasks", nargs="+", default=[], help="only these of the table")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--reference-seeds", type=int, help="of random/none; as --seeds by default")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--peers", action="store_true", help="Optuna and Ray Tune too")
    parser.add_argument("--policies", nargs="+", help="only these, such as trees/promote; random/none is always there")
    arguments = parser.parse_args()
    seeds, reference_seeds = arguments.seeds, arguments.reference_seeds or arguments.seeds

    def searches(tasks: list[Task]) -> dict[Name, Run]:
        grace, wanted = max(1, round(tasks[0].max_epochs / 25)), arguments.policies
        found = {name: ours(name, grace, arguments.workers) for name in POLICIES}
        found |= theirs(arguments.workers) if arguments.peers else {}
        return {name: run for name, run in found.items() if name == REFERENCE or not wanted or "/".join(name) in wanted}

    if arguments.made_up:
        report(searches, seeds, reference_seeds)
        return
    tasks = read(arguments.curves, arguments.tasks)
    found = Found(tasks, searches(tasks), seeds, reference_seeds)
    print(f"{datetime.date.today()}, {len(tasks)} tasks, {seeds} seeds, {arguments.workers} workers\n")
    print("\n".join(found.lines()))


def report(searches: Callable[[list[Task]], dict[Name, Run]], seeds: int, reference_seeds: int) -> None:
    """Print what the audits of `promote` are worth on made-up tasks."""
    tasks = made_up.noise()
    found = Found(tasks, searches(tasks), seeds, reference_seeds)
    print("Early epochs are noise\n", *found.lines(), sep="\n", end="\n\n")
    for name in found.runs:
        if name != REFERENCE:
            share = found.mean(name)[-1] / found.reference
            print(f"- {'/'.join(name)} ends at {share:.2f} times the regret of random search (1.2 at most is the goal)")
    tasks = made_up.perfect()
    runs = searches(tasks)
    bare = {name: (name[0], "promote without audits") for name in runs if name[1] == "promote"}
    found = Found(tasks, runs | {bare[name]: without_audits(runs[name]) for name in bare}, seeds, reference_seeds)
    print("\nEarly epochs are perfect\n", *found.lines(), sep="\n", end="\n\n")
    for name in bare:
        fast, bare_fast = found.sooner(name), found.sooner(bare[name])
        print(
            f"- {'/'.join(name)} has a speed-up of {fast:.2f}, without audits {bare_fast:.2f} (90 % of it at least is the goal)"
        )


if __name__ == "__main__":
    main()
