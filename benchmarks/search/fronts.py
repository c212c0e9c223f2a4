"""Two objectives on a table of trained networks: how soon a search finds the front of accuracy against parameters.

    python benchmarks/search/fronts.py nasbench_macro.parquet --seeds 5

The table (format ``sweep-truth/1``) has for every configuration a row with its knobs, the accuracies of trainings with different
seeds (``seed_values``) and ``objective_parameters``. A training shows the accuracy of the first seed; the mean over seeds is its
truth. What a search has found is the front of what it was shown. It counts by the hypervolume of its truth, as a part of that of
the whole table: accuracy from the table's median (0) to its best (1), the logarithm of the parameters over their range, seen from
the worst corner.

The table says how much was found after 2, 5 and 10 % of the table, and by which factor fewer trainings are needed until the mean
reaches what random search has after 10 %. Intervals are bootstrapped over seeds (90 %). Trainings run one after another. What
Optuna suggests becomes the nearest configuration that was not taken yet (peers.py).
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import functools
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from peers import Nearest, distributions

from sweeper.analysis.pareto import non_dominated
from sweeper.replay import scores
from sweeper.replay.curves import read_space
from sweeper.search.costs import Columns
from sweeper.search.distinct import Key, key_of
from sweeper.search.history import Finished
from sweeper.search.table import Table
from sweeper.search.trees import TreesSampler
from sweeper.streams import generator, seed_of
from sweeper.study.space import Configuration, Space

FORMAT = "sweep-truth/1"

SHARES = (0.02, 0.05, 0.1)
"""Parts of the table after which is told what was found; the last one is the end."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Truth:
    """Networks that were trained with several seeds, one for each row.

    Args:
        space: What configurations are made of.
        configurations: All of them.
        shown: The accuracy that a training shows.
        accuracy: Its mean over seeds.
        parameters: Trainable ones.
    """

    space: Space
    configurations: list[Configuration]
    shown: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    parameters: NDArray[np.float64]

    def found(self, rows: list[int]) -> float:
        """The part of the whole table's hypervolume that is found when these rows were trained."""
        return self._volume(rows, self.shown) / self._whole

    @functools.cached_property
    def _whole(self) -> float:
        return self._volume(list(range(len(self.accuracy))), self.accuracy)

    def _volume(self, rows: list[int], seen: NDArray[np.float64]) -> float:
        """Of the front by these accuracies, in truth."""
        front = np.array(rows)[non_dominated(np.stack([seen, self.parameters], axis=1)[rows], ("max", "min"))]
        median, size = np.median(self.accuracy), np.log10(self.parameters)
        heights = np.clip((self.accuracy[front] - median) / (self.accuracy.max() - median), 0, None)
        widths = (size.max() - size[front]) / (size.max() - size.min())
        order = np.argsort(-heights)
        reached = np.maximum.accumulate(widths[order])
        return float((heights[order] * np.diff(reached, prepend=0.0)).sum())


def read(path: Path) -> Truth:
    """The table of a file; ``NAME.space.yaml`` lies beside it."""
    import pyarrow.parquet as pq

    space, table = read_space(path, FORMAT), pq.read_table(path)
    columns = {name: table.column(name).to_pylist() for name in (*space.knobs, "seed_values", "objective_parameters")}
    values = np.array(columns["seed_values"], np.float64)
    return Truth(
        space=space,
        configurations=[{knob: columns[knob][row] for knob in space.knobs} for row in range(len(values))],
        shown=values[:, 0],
        accuracy=values.mean(axis=1),
        parameters=np.array(columns["objective_parameters"], np.float64),
    )


Steps = Generator[int, tuple[float, float], None]
"""Yields rows to train, none twice; is sent the accuracy that each one shows, and its parameters."""

Policy = Callable[[Truth, int], Steps]
"""A search of a table, with a seed. It may look at `Truth.space` and `Truth.configurations`."""


def at_random(table: Truth, seed: int) -> Steps:
    """Rows in random order."""
    for row in generator(seed, "rows").permutation(len(table.configurations)).tolist():  # noqa: UP028 (a list is sent nothing)
        yield row


def by_optuna(sampler_of: Callable[..., optuna.samplers.BaseSampler]) -> Policy:
    """A sampler of Optuna, with its defaults."""

    def search(table: Truth, seed: int) -> Steps:
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler_of(seed=seed))
        nearest, space = Nearest(table.space, table.configurations), distributions(table.space)
        while nearest.num_left:
            trial = study.ask(space)
            study.tell(trial, (yield nearest.take(trial.params)))

    return search


def by_trees(table: Truth, seed: int) -> Steps:
    """Ours, which is told of the parameters of a network once it was trained."""
    sampler = TreesSampler(table.space, {}, costs=Columns(goals=(("min", "parameters"),), num_weighed=1))
    rows, history, known = Table(table.configurations), list[Finished](), set[Key]()
    for number in range(len(table.configurations)):
        chosen = rows.pick(sampler, history, known, number=number, seed=seed_of(seed, number))
        known.add(key_of(chosen))
        accuracy, parameters = yield rows.place[key_of(chosen)]
        history.append(Finished(configuration=chosen, scores=(accuracy,), is_complete=True, costs=(parameters,)))


POLICIES: dict[str, Policy] = {
    "random": at_random,
    "trees": by_trees,
    "Optuna NSGA-II": by_optuna(optuna.samplers.NSGAIISampler),
    "Optuna TPE": by_optuna(optuna.samplers.TPESampler),
}
"""The first is the reference."""


def searched(table: Truth, policy: Policy, seed: int) -> NDArray[np.float64]:
    """What is found after each training, up to the last of `SHARES`."""
    search, rows, found = policy(table, seed), [], []
    row = next(search)
    for _ in range(round(SHARES[-1] * len(table.configurations))):
        rows.append(row)
        found.append(table.found(rows))
        row = search.send((float(table.shown[row]), float(table.parameters[row])))
    assert len(set(rows)) == len(rows)
    return np.array(found)


def line(name: str, runs: NDArray[Any], reference: float) -> str:
    """A row of the table, of (seeds, trainings)."""
    missed, wanted = 1 - runs, 1 - reference
    at = [runs[:, round(share / SHARES[-1] * runs.shape[1]) - 1] for share in SHARES]
    told = " | ".join(f"{found.mean():.3f}" for found in at)
    low, high = scores.bootstrapped([missed], wanted)
    return f"| {name} | {told} | {scores.sooner(missed.mean(axis=0), wanted):.1f} | {low:.1f} to {high:.1f} |"


def main() -> None:
    """Search and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--policies", nargs="+", choices=list(POLICIES), help="only these; random is always there")
    arguments = parser.parse_args()
    table, reference = read(arguments.table), next(iter(POLICIES))
    wanted = [name for name in POLICIES if name == reference or name in (arguments.policies or POLICIES)]
    runs = {}
    for name in wanted:
        started = time.process_time()
        seeds = [seed_of(seed, "fronts", name) for seed in range(arguments.seeds)]
        runs[name] = np.array([searched(table, POLICIES[name], seed) for seed in seeds])
        spent_s = time.process_time() - started
        print(f"{name}: {spent_s:.0f} s, {spent_s / arguments.seeds:.1f} s for a seed", file=sys.stderr, flush=True)
    print(f"{datetime.date.today()}, {len(table.configurations)} configurations, {arguments.seeds} seeds\n")
    print(f"| search | {' | '.join(f'at {share:.0%}' for share in SHARES)} | speed-up | 90 % |")
    print("|" + "---|" * (len(SHARES) + 3))
    for name, found in runs.items():
        print(line(name, found, float(runs[reference][:, -1].mean())))


if __name__ == "__main__":
    main()
