"""What our intervals and verdicts do where the truth is known: simulated pairs and means, and a table of trained networks.

    python benchmarks/statistics/coverage.py --table nasbench_macro.parquet

Prints the Markdown tables of docs/statistics.md. Everything is computed by the functions of `sweeper.analysis`. Values are normal
unless a table says otherwise. A seed moves both networks of a pair alike, with standard deviation 1; each has a noise of its own
besides, with 0.7. The table (format ``sweep-truth/1``) has ``seed_values``: the accuracies of three trainings of each network.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from sweeper.analysis.power import smallest_difference
from sweeper.analysis.statistics import Spread, Values, iqm, prediction_interval, spread, t_interval
from sweeper.analysis.verdicts import MARGIN, Case, Verdict, chances_of_best, decided

OWN_SD = 0.7
"""Of a network's own noise; what a seed does to all has standard deviation 1."""

PAIR_SD = OWN_SD * 2**0.5
"""Of a paired difference, in which what a seed does to both drops out."""

SEEDS = (3, 5, 10)

Draw = Callable[[np.random.Generator, int], Values]

DISTRIBUTIONS: dict[str, tuple[Draw, float]] = {
    "normal": (lambda draw, n: draw.normal(size=n), 0.0),
    "skewed": (lambda draw, n: -draw.exponential(size=n), -1.0),
    "one in 20 diverges": (lambda draw, n: draw.normal(size=n) - 10.0 * (draw.random(n) < 0.05), -0.5),
}
"""How values are drawn, and their mean. Skewed: an exponential distribution towards lower values."""


def runs(draw: np.random.Generator, means: Sequence[float] | Values, n: int) -> Values:
    """What paired seeds reach: shape (seeds, networks)."""
    return np.asarray(means) + draw.normal(size=(n, 1)) + OWN_SD * draw.normal(size=(n, len(means)))


def verdicts_of(values: Values, margin: float) -> dict[tuple[int, int], Verdict]:
    """The verdict on every two networks, by their numbers: the one with the better mean first."""
    cases = {}
    for first, second in itertools.combinations(range(values.shape[1]), 2):
        found = t_interval(values[:, first] - values[:, second])
        cases[(first, second) if found.mean >= 0 else (second, first)] = Case(abs(found.mean), found.sd, len(values))
    return dict(zip(cases, decided(list(cases.values()), margin=margin), strict=True))


def share(hits: int, of: int) -> str:
    """In percent, with the standard error that the number of simulations leaves."""
    part = hits / of
    return f"{100 * part:.1f} ± {100 * (part * (1 - part) / of) ** 0.5:.1f}"


def false_verdicts(simulations: int) -> list[list[str]]:
    """Networks that are the same, also where trainings diverge, and one that is better than the others by just the margin."""
    rows = []
    for arms, n in itertools.product((2, 4), SEEDS):
        draw, again = np.random.default_rng([arms, n]), np.random.default_rng([23, arms, n])
        any_better, any_diverged, any_equivalent = 0, 0, 0
        margin = 2.0 * PAIR_SD
        means = np.array([margin] + [0.0] * (arms - 1))
        for _ in range(simulations):
            same = verdicts_of(runs(draw, np.zeros(arms), n), margin)
            any_better += any(found.verdict == "better" for found in same.values())
            diverged = runs(again, np.zeros(arms), n) - 10.0 * (again.random((n, arms)) < 0.05)
            any_diverged += any(found.verdict == "better" for found in verdicts_of(diverged, margin).values())
            apart = verdicts_of(runs(draw, means, n), margin)
            any_equivalent += any(found.verdict == "equivalent" for pair, found in apart.items() if 0 in pair)
        shares = [share(hits, simulations) for hits in (any_better, any_diverged, any_equivalent)]
        rows.append([f"{arms}", f"{n}", *shares])
    return rows


def found_differences(simulations: int) -> list[list[str]]:
    """How often a difference is found that is as large as was stated: from the true spread, and from that of other seeds."""
    rows = []
    for n in SEEDS:
        draw, hits = np.random.default_rng([7, n]), np.zeros(3, dtype=int)
        for _ in range(simulations):
            before = t_interval(np.diff(runs(draw, [0.0, 0.0], n), axis=1)[:, 0])
            (verdict,) = decided([Case(abs(before.mean), before.sd, n)])
            exact = smallest_difference(PAIR_SD, n, 0.05, is_sd_known=True)
            naive = smallest_difference(before.sd, n, 0.05, is_sd_known=True)
            for place, difference in enumerate((exact, verdict.smallest, naive)):
                found = verdicts_of(runs(draw, [difference, 0.0], n), MARGIN).get((0, 1))
                hits[place] += found is not None and found.verdict == "better"
        rows.append([f"{n}", *(share(hit, simulations) for hit in hits.tolist())])
    return rows


def looked_again(simulations: int) -> list[list[str]]:
    """What undecided pairs come to when they get the seeds that they are told to need, and what looking twice costs."""
    rows, margin = [], 0.25 * PAIR_SD
    for difference in (0.0, 0.5, 1.0, 2.0):
        draw, means = np.random.default_rng([11, round(10 * difference)]), [difference * PAIR_SD, 0.0]
        told, settled, better = 0, 0, 0
        for _ in range(simulations):
            values = runs(draw, means, 5)
            (found,) = verdicts_of(values, margin).values()
            better += found.verdict == "better"
            if found.seeds_needed is None:
                continue
            told += 1
            (again,) = verdicts_of(np.concatenate([values, runs(draw, means, found.seeds_needed - 5)]), margin).values()
            settled += again.verdict != "undecided"
            better += again.verdict == "better"
        rows.append([f"{difference}", share(told, simulations), share(settled, told), share(better, simulations)])
    return rows


def covered(simulations: int) -> list[list[str]]:
    """How often intervals of a mean, and of an interquartile mean, hold the true one."""
    rows = []
    for name, (values, mean) in DISTRIBUTIONS.items():
        for n in (3, 5, 8, 10, 20):
            draw = np.random.default_rng([13, n, *name.encode()])
            # The expectation of an interquartile mean of so many values: by simulation, through no function of ours.
            ordered = np.sort(values(draw, 100_000 * n).reshape(-1, n), axis=1)
            truths = (mean, mean, float(ordered[:, n // 4 : n - n // 4].mean()))
            hits = np.zeros(3, dtype=int)
            for _ in range(simulations):
                sample = values(draw, n)
                hits += [holds(of(sample), truth) for of, truth in zip((t_interval, spread, iqm), truths, strict=True)]
            shares = [share(hit, simulations) for hit in hits.tolist()]
            rows.append([name, f"{n}", shares[0], shares[1] if n >= 10 else "", shares[2] if n >= 8 else ""])
    return rows


def rejected(simulations: int) -> list[list[str]]:
    """The same for what we do not use: SciPy's percentile and BCa bootstrap of the mean."""
    rows = []
    for (name, (values, mean)), n in itertools.product(DISTRIBUTIONS.items(), (10, 20)):
        draw = np.random.default_rng([19, n, *name.encode()])
        samples = np.stack([values(draw, n) for _ in range(simulations)])
        shares = []
        for method in ("percentile", "BCa"):
            found = bootstrap(
                (samples,), np.mean, axis=1, n_resamples=1000, batch=50, method=method, rng=draw
            ).confidence_interval
            shares.append(share(int(((found.low <= mean) & (mean <= found.high)).sum()), simulations))
        rows.append([name, f"{n}", *shares])
    return rows


def holds(found: Spread, truth: float) -> bool:
    """Whether the interval holds the truth."""
    return bool(found.low <= truth <= found.high)


def chances(simulations: int) -> list[list[str]]:
    """Whether a network with a chance of so much to be the best is the best so often: four networks, five seeds."""
    draw = np.random.default_rng(17)
    stated, is_best = [], []
    for _ in range(simulations):
        # Means are spread over more than seeds can tell, as a flat prior has it.
        means = draw.uniform(0.0, 4.0, 4)
        stated += chances_of_best(runs(draw, means, 5)).tolist()
        is_best += (means == means.max()).tolist()
    table = pd.DataFrame({"stated": stated, "is_best": is_best})
    rows = []
    for low, high in ((0.0, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 1.0)):
        part = table[(table["stated"] >= low) & ((table["stated"] < high) | (high == 1.0))]
        name = f"{100 * low:.0f} to {100 * high:.0f}"
        rows.append([name, f"{len(part):,}", f"{100 * part['stated'].mean():.1f}", share(int(part["is_best"].sum()), len(part))])
    return rows


def third_seeds(path: Path) -> list[list[str]]:
    """Trained networks: how often the interval from two seeds holds the third, with each of the three as the one left out."""
    values = np.stack(pd.read_parquet(path, columns=["seed_values"])["seed_values"].to_list()).astype(float)
    rows = []
    for left_out in range(values.shape[1]):
        others = np.delete(values, left_out, axis=1)
        n, mean, sd = others.shape[1], others.mean(axis=1), others.std(axis=1, ddof=1)
        pooled = np.full(len(sd), np.sqrt((sd**2).mean()))
        found = []
        for spread_of, dof in ((sd, None), (pooled, len(values) * (n - 1))):
            low, high = prediction_interval(mean, spread_of, n, dof=dof)
            is_inside = (low <= values[:, left_out]) & (values[:, left_out] <= high)
            found += [share(int(is_inside.sum()), len(values)), f"{np.median(high - low):.2f}"]
        rows.append([f"{left_out + 1}", f"{len(values):,}", *found])
    return rows


def show(title: str, columns: Sequence[str], rows: list[list[str]], seconds: float) -> None:
    """Print a Markdown table."""
    print(f"\n**{title}** ({seconds:.0f} s)\n")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000, help="of each row")
    parser.add_argument("--table", type=Path, help="trained networks with several seeds each")
    options = parser.parse_args()
    count = options.simulations
    print(f"`{' '.join(['python', *sys.argv])}`, {datetime.date.today()}; shares in percent, with their standard error")
    tables: list[tuple[str, list[str], Callable[[], list[list[str]]]]] = [
        (
            "False verdicts",
            ["networks", "seeds", "any false better", "the same, one in 20 diverges", "any false equivalent"],
            lambda: false_verdicts(count),
        ),
        (
            "Found at the smallest difference",
            ["seeds", "true spread", "as a verdict states it", "spread of the seeds taken for the truth"],
            lambda: found_differences(count),
        ),
        (
            "Looked again",
            ["true difference / sd", "undecided, told how many", "settled by as many", "better in either look"],
            lambda: looked_again(count),
        ),
        ("Intervals of a mean", ["values", "n", "Student", "bootstrap", "interquartile mean"], lambda: covered(count)),
        ("Intervals that are not used", ["values", "n", "percentile", "BCa"], lambda: rejected(count)),
        ("Chance of being the best", ["stated", "networks", "mean", "best in truth"], lambda: chances(count)),
    ]
    if options.table is not None:
        columns = ["left out", "networks", "own spread", "width", "pooled spread", "width"]
        tables.append(("The third seed", columns, lambda: third_seeds(options.table)))
    for title, columns, compute in tables:
        began = time.process_time()
        rows = compute()
        show(title, columns, rows, time.process_time() - began)


if __name__ == "__main__":
    main()
