"""Racing on recorded curves: what arms that leave the race save, and how often the best arm is among them.

    python benchmarks/search/racing.py CURVES.parquet --seeds 3

makes arms of each task of the table (docs/replay.md): the configurations with each value of a knob, or a quarter of its range.
Every race is run twice with the same budget, allocation `equal` and `racing`, and a Markdown table is printed, of all races with
one sampler and rule:

- out: arms that were out of the race when the budget was spent;
- moved: trials beyond an equal share that arms in the race had, as a part of the budget;
- wrong: races in which the arm that is best with equal shares went out before it had begun the trial that makes it the best;
- regret: of the best complete trial; 0 is the best configuration of the table, 1 its median; with a paired 90 % interval of the
  difference, bootstrapped over races.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from sweeper.ledger.records import Status
from sweeper.replay.clock import Study, run
from sweeper.replay.curves import Task, read
from sweeper.search.study import Search
from sweeper.search.trial import Trial
from sweeper.streams import seed_of
from sweeper.study.spec import ArmSpec, BudgetSpec, DatasetSpec, SearchSpec, StoppingSpec, StudySpec

QUARTERS = 4
"""Arms of a knob that has more values."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Race:
    """What became of a race.

    Args:
        regret: With equal shares, and racing.
        out: Arms that were out in the end.
        moved: Part of the budget.
        epochs: With equal shares, and racing.
        is_wrong: Whether the best arm was dropped.
    """

    regret: tuple[float, float]
    out: int
    moved: float
    epochs: tuple[int, int]
    is_wrong: bool


def arms_of(task: Task, knob: str) -> dict[str, Task]:
    """The configurations of a task as arms, by the value of a knob."""
    values: NDArray[Any] = np.array([configuration[knob] for configuration in task.configurations], np.float64)
    if len(set(values)) > QUARTERS + 1:
        values = np.digitize(values, np.quantile(values, np.arange(1, QUARTERS) / QUARTERS))
    return {f"arm{place}": _part(task, np.flatnonzero(values == value)) for place, value in enumerate(sorted(set(values)))}


def _part(task: Task, rows: NDArray[np.intp]) -> Task:
    columns = ("ids", "configurations", "values", "times", "is_cut")
    kept: dict[str, Any] = {name: [getattr(task, name)[row] for row in rows] for name in columns}
    return dataclasses.replace(task, **kept)


def searched(arms: Mapping[str, Task], allocation: str, how: argparse.Namespace, sampler: str, rule: str, seed: int) -> Search:
    """A study of these arms, run to its end."""
    longest = max(task.max_epochs for task in arms.values())
    name = next(iter(arms.values())).name
    spec = StudySpec(
        name="race",
        dataset=DatasetSpec(name="curves"),
        arms={arm: ArmSpec(architecture=arm, space=arm) for arm in arms},
        objectives=("max val_accuracy",),
        budget=BudgetSpec(trials=how.share * len(arms), max_epochs=longest),
        search=SearchSpec(sampler=sampler, allocation=allocation, seed=seed_of(seed, name, "race"), repeats=False),  # type: ignore[arg-type]
        stopping=StoppingSpec(rule=rule, grace_epochs=max(1, round(longest / 25)), reduction_factor=3),  # type: ignore[arg-type]
    )
    study = Study(spec, arms)
    for _ in run(study, workers=how.workers):
        pass
    return study.search


def race(arms: Mapping[str, Task], how: argparse.Namespace, sampler: str, rule: str, seed: int) -> Race:
    """One race, with equal shares and racing."""
    equal, racing = (searched(arms, allocation, how, sampler, rule, seed) for allocation in ("equal", "racing"))
    finals = np.concatenate([task.finals for task in arms.values()])
    scale = max(finals.max() - np.median(finals), 1e-12)
    bests = [_best(search.trials.values()) for search in (equal, racing)]
    winner = bests[0]
    begun = Counter(trial.arm for trial in racing.trials.values())
    moved = sum(max(begun[arm] - how.share, 0) for arm in arms) / equal.spec.budget.trials
    return Race(
        regret=tuple(float((finals.max() - best.scores[-1]) / scale) for best in bests),  # type: ignore[arg-type]
        out=len(racing.out),
        moved=moved,
        epochs=tuple(sum(trial.epoch for trial in search.trials.values()) for search in (equal, racing)),  # type: ignore[arg-type]
        is_wrong=winner.trial not in racing.trials,
    )


def _best(trials: Iterable[Trial]) -> Trial:
    return max((trial for trial in trials if trial.status is Status.COMPLETED), key=lambda trial: trial.scores[-1])


def row(sampler: str, rule: str, races: Sequence[Race]) -> str:
    """A line of the table."""
    equal, racing = np.array([one.regret for one in races]).T
    draws = np.random.default_rng(0).integers(len(races), size=(1000, len(races)))
    low, high = np.quantile((racing - equal)[draws].mean(axis=1), [0.05, 0.95])
    wrong, out, moved = (np.mean([getattr(one, name) for one in races]) for name in ("is_wrong", "out", "moved"))
    epochs = np.array([one.epochs for one in races]).mean(axis=0)
    return (
        f"| {sampler} | {rule} | {len(races)} | {out:.1f} | {moved:.0%} | {wrong:.1%} | {equal.mean():.3f} | {racing.mean():.3f} "
        f"| {low:+.3f} to {high:+.3f} | {epochs[1] / epochs[0] - 1:+.0%} |"
    )


def main() -> None:
    """Race and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curves", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--share", type=int, default=16, help="trials of an arm's share")
    parser.add_argument("--knobs", nargs="+", help="only these, such as hp_num_layers")
    parser.add_argument(
        "--policies", nargs="+", default=["random/asha", "random/promote", "random/none", "trees/asha", "trees/promote"]
    )
    how = parser.parse_args()
    tasks = read(how.curves)
    print("| sampler | stopping | races | out | moved | wrong | equal | racing | difference | epochs |\n" + "|---" * 10 + "|")
    for sampler, rule in (policy.split("/") for policy in how.policies):
        started, races = time.perf_counter(), []
        for task in tasks:
            for knob in how.knobs or task.space.knobs:
                races += [race(arms_of(task, knob), how, sampler, rule, seed) for seed in range(how.seeds)]
        print(row(sampler, rule, races), flush=True)
        print(f"{sampler}/{rule}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    print(f"\n{datetime.date.today()}, {len(tasks)} tasks, {how.seeds} seeds, {how.workers} workers, {how.share} trials an arm")


if __name__ == "__main__":
    main()
