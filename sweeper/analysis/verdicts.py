"""Which configuration to choose, how surely: every two confirmed ones compared, and the chance that each is the best of all.

A **verdict** on a pair is taken from the differences over the seeds that both completed, adjusted after Holm for the number of
pairs:

- ``better``: the paired t interval of the difference, at the error rate at which Holm's procedure decides this pair, is above
  0. Of all tables, at most 5 % have even one false ``better``.
- ``equivalent``: not better, and two one-sided tests (TOST), adjusted after Holm among themselves, show that the difference is
  smaller than the margin. Without adjustment that is: the 90 % interval is inside the margin.
- ``undecided``: neither, or nothing can be computed, of fewer than two common seeds or of differences that are all equal.

`sweeper.analysis.statistics` and `sweeper.analysis.power` have the parts; docs/statistics.md what they were measured to do.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtrit

from sweeper.analysis.power import MOST_SEEDS, seeds_needed, smallest_difference
from sweeper.analysis.results import Results, at_stage, comparable, goal
from sweeper.analysis.seeds import paired_differences, repetitions, seeds_table
from sweeper.analysis.statistics import Values, check_confidence, equivalence_p, holm, holm_risks, is_constant, paired_p
from sweeper.errors import InputError
from sweeper.ledger.records import Stage

MARGIN = 0.005
"""The difference that does not matter: half a percentage point of an accuracy."""

DRAWS = 20_000
"""Of the means of all configurations at once; a chance is exact to 0.7 points."""

FACTS = ("parameters", "macs", "latency_ms", "latency_ms_batch32", "train_s", "configuration")
"""What a confirmed configuration costs, and what it is."""

CONFIRMED = ("arm", "parent", "n", "mean", "sd", "low", "high", *FACTS, "chance_of_best")
"""Columns of `confirmed`."""


class Case(NamedTuple):
    """What the seeds of a pair say: the mean of their differences, its standard deviation, above 0, and how many they are."""

    difference: float
    sd: float
    n: int


class Verdict(NamedTuple):
    """What follows for a pair; NaN where nothing can be computed.

    Args:
        low: Lower end of the interval of the difference at the error rate at which Holm's procedure decides the pair.
        high: Its upper end.
        p: Of the two-sided paired t test.
        p_holm: The same, adjusted.
        verdict: ``better``, ``equivalent`` or ``undecided``, see the module.
        smallest: The smallest true difference that such seeds find in 80 % of cases, at that error rate.
        seeds_needed: How many seeds in all would settle an undecided pair in 80 % of cases, if it is as observed; None where it
            is settled, where that is not known (one seed), or where it is more than `sweeper.analysis.power.MOST_SEEDS`.
    """

    low: float = float("nan")
    high: float = float("nan")
    p: float = float("nan")
    p_holm: float = float("nan")
    verdict: str = "undecided"
    smallest: float = float("nan")
    seeds_needed: int | None = None


VERDICTS = ("first", "second", "n", "difference", *Verdict._fields)
"""Columns of `verdicts`."""


def headline_column(results: Results) -> str:
    """What confirmed configurations are judged by: ``test_accuracy`` where a completed one has it, else the first objective."""
    if "test_accuracy" not in results.trials or not (results.trials["stage"] == Stage.CONFIRM).any():
        return results.objective
    has_any = len(comparable(at_stage(results, Stage.CONFIRM), "test_accuracy"))
    return "test_accuracy" if has_any else results.objective


def confirmed(results: Results, *, stage: str = "confirm", column: str | None = None) -> pd.DataFrame:
    """One row per confirmed configuration, best mean first; those without a completed seed come last.

    Args:
        results: The results of a study.
        stage: ``confirm``, or ``ablation`` for its repetitions.
        column: What to judge by, one of `sweeper.analysis.results.DIRECTIONS`; None means `headline_column`, and the first
            objective for ``ablation``, whose trials are not tested.

    Returns:
        Columns `CONFIRMED`. ``parent`` is the trial whose configuration was repeated, ``n`` the number of completed seeds;
        ``mean sd low high`` are as in `sweeper.analysis.statistics.spread`, the interval at 95 %. ``train_s``, the seconds of
        training of a whole run, is a mean over completed seeds, and latencies in ms are medians over all; what repetitions do
        not tell comes from the parent. ``chance_of_best``: see `chances_of_best`.

    Raises:
        UnknownNameError: No such stage or column.
    """
    column = column or _column(results, stage)
    table = seeds_table(results, stage=stage, column=column)
    sign = 1.0 if goal(results, column) == "max" else -1.0
    # With repetitions of different lengths, the longer training would pass for the better configuration.
    rows = repetitions(results, stage=stage, column=column)
    values = rows.pivot(index=["max_epochs", "seed"], columns="parent", values="value").reindex(columns=table["parent"])
    facts = _facts(results, stage, column).reindex(table["parent"]).reset_index(drop=True)
    chances = chances_of_best(sign * values.to_numpy(dtype=float))
    return pd.concat([table, facts], axis=1).assign(chance_of_best=chances)[list(CONFIRMED)]


def verdicts(
    results: Results,
    *,
    stage: str = "confirm",
    column: str | None = None,
    margin: float = MARGIN,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """One row per pair of confirmed configurations, in the order of `confirmed`: which one is better, and what would settle it.

    Args:
        results: The results of a study.
        stage: As in `confirmed`.
        column: As in `confirmed`.
        margin: The difference that does not matter, in the unit of the column, from 0.
        confidence: Of all verdicts together, between 0 and 1.

    Returns:
        Columns `VERDICTS`. ``first`` and ``second`` are parents, ``first`` the one with the better mean over the ``n`` seeds
        that both completed in the same number of epochs. ``difference`` is by how much it is better: first - second, or
        second - first of a column where less is better. The rest: see `Verdict`.

    Raises:
        UnknownNameError: No such stage or column.
        InputError: The confidence is not between 0 and 1, or the margin is negative.
    """
    column = column or _column(results, stage)
    pairs = paired_differences(results, stage=stage, column=column, confidence=confidence)
    advantage = pairs["difference"] * (1.0 if goal(results, column) == "max" else -1.0)
    is_behind = advantage < 0
    ordered = pairs.assign(
        first=pairs["first"].where(~is_behind, pairs["second"]),
        second=pairs["second"].where(~is_behind, pairs["first"]),
        difference=advantage.abs(),
    )
    cases = [Case(*row) if row[1] > 0 else None for row in ordered[["difference", "sd", "n"]].itertuples(index=False, name=None)]
    found = pd.DataFrame(decided(cases, margin=margin, confidence=confidence), columns=Verdict._fields, dtype=object)
    numbers = dict.fromkeys(["low", "high", "p", "p_holm", "smallest"], float)
    return ordered[["first", "second", "n", "difference"]].join(found.astype(numbers))


def decided(cases: Sequence[Case | None], *, margin: float = MARGIN, confidence: float = 0.95) -> list[Verdict]:
    """Verdicts on all pairs of a table, in their order.

    Args:
        cases: What the seeds of each pair say; None where that is nothing about its spread.
        margin: The difference that does not matter, in the unit of the differences, from 0.
        confidence: Of all verdicts together, between 0 and 1.

    Raises:
        InputError: The confidence is not between 0 and 1, or the margin is negative.
    """
    check_confidence(confidence)
    if not margin >= 0.0:
        raise InputError(f"a margin of {margin} is not possible; it is 0 or more, for example {MARGIN} for half a point.")
    risk = 1.0 - confidence
    p = [2.0 * paired_p(abs(case.difference), case.sd, case.n) if case else np.nan for case in cases]
    p_equivalent = [equivalence_p(*case, margin) if case else np.nan for case in cases]
    better, equivalent = (
        zip(holm(p), holm_risks(p, risk), strict=True),
        zip(holm(p_equivalent), holm_risks(p_equivalent, risk), strict=True),
    )
    found = []
    for case, own, (p_holm, at), (p_margin, at_margin) in zip(cases, p, better, equivalent, strict=True):
        if case is None:
            found.append(Verdict())
            continue
        half = float(stdtrit(case.n - 1, 1.0 - at / 2.0)) * case.sd / case.n**0.5
        verdict = "better" if p_holm <= risk else "equivalent" if p_margin <= risk else "undecided"
        needed = None
        if verdict == "undecided":
            needed = seeds_needed(*case, risk=at, margin=margin, equivalence_risk=at_margin)
        low, high = case.difference - half, case.difference + half
        found.append(Verdict(low, high, own, p_holm, verdict, smallest_difference(case.sd, case.n, at), needed))
    return found


def chances_of_best(values: npt.ArrayLike) -> Values:
    """The chance that each configuration has the best true mean of all: how often it has in draws from what the seeds leave open.

    True differences to a reference, the mean of those that completed the most seeds, are drawn from a multivariate t distribution
    about the observed ones: the posterior with a flat prior, of normal differences. Two that completed the same seeds are then as
    surely ordered as their paired t test says. A difference that is the same for every seed, and not 0, tells nothing of its
    spread.

    Args:
        values: Shape (seeds, configurations), larger is better; NaN where a seed has none. A configuration is compared over
            the seeds that it shares with the reference, at least two.

    Returns:
        A chance for each; those that can be compared have 1 together, all others NaN. NaN for all where fewer than two can be.

    Source: Box and Tiao, Bayesian inference in statistical analysis (1973), chapter 8; simulated with a fixed seed.
    """
    table = np.asarray(values, dtype=float)
    is_there = np.isfinite(table)
    chances = np.full(table.shape[1], np.nan)
    counts = is_there.sum(axis=0)
    if not counts.size or counts.max() < 2:
        return chances
    same_seeds: dict[bytes, list[int]] = {}
    for place in range(len(counts)):
        same_seeds.setdefault(is_there[:, place].tobytes(), []).append(place)
    members = max(same_seeds.values(), key=lambda group: (counts[group[0]], len(group), np.nansum(table[:, group], axis=0).max()))
    reference = table[:, members].mean(axis=1)
    noise = np.random.default_rng(0).standard_normal((DRAWS, len(table)))
    ahead: dict[int, Values] = {}
    for place in range(len(counts)):
        differences = table[:, place] - reference
        shared = np.isfinite(differences)
        n = int(shared.sum())
        differences = differences[shared]
        if n < 2 or (is_constant(differences) and not is_constant(np.append(differences, 0.0))):
            continue
        mean = differences.mean()
        # The same draws for the same seeds, so that what two configurations share drops out of their difference.
        scale = np.sqrt(np.random.default_rng(n).chisquare(n - 1, DRAWS) / (n - 1))
        ahead[place] = mean + noise[:, shared] @ (differences - mean) / np.sqrt(n * (n - 1.0)) / scale
    if len(ahead) > 1:
        draws = np.stack(list(ahead.values()), axis=1)
        is_best = draws == draws.max(axis=1, keepdims=True)
        chances[list(ahead)] = (is_best / is_best.sum(axis=1, keepdims=True)).mean(axis=0)
    return chances


def words(
    pair: Mapping[Hashable, Any],
    *,
    column: str = "test_accuracy",
    margin: float = MARGIN,
    names: Mapping[str, str] | None = None,
) -> str:
    """A row of `verdicts` as a sentence without its full stop: accuracies in percentage points, anything else in its own unit.

    Args:
        pair: The row.
        column: What was judged by.
        margin: That of the verdict.
        names: What to call the parents; one that is missing is called by its id.
    """
    first, second = ((names or {}).get(pair[side], pair[side]) for side in ("first", "second"))
    over = f"{pair['n']} seed{'s' if pair['n'] != 1 else ''}"
    by, low, high = (_amount(column, pair[name]) for name in ("difference", "low", "high"))
    unit = " points" if column.endswith("accuracy") else ""
    if pair["verdict"] == "better":
        return f"{first} beats {second} by {by}{unit} [{low}, {high}] over {over}"
    if pair["verdict"] == "equivalent":
        return f"{first} and {second} are equivalent within ±{_amount(column, margin)}{unit}: {by} [{low}, {high}] over {over}"
    if pair["n"] == 0:
        return f"{first} and {second} share no completed seed of one length, so they are not compared"
    apart = f"{first} and {second} cannot be told apart"
    if pair["n"] == 1:
        return f"{apart}: one seed does not tell how much seeds vary, {by}{unit} may be chance"
    if not np.isfinite(pair["smallest"]):
        return f"{apart}: they differ by {by}{unit} with each of {over}, which does not tell how much that varies"
    needed = pair["seeds_needed"]
    settle = f"about {needed} seeds would settle it" if needed else f"more than {MOST_SEEDS} seeds would be needed"
    smallest = f"{_amount(column, pair['smallest'])}{unit}"
    if unit and pair["smallest"] > 1:
        smallest = "no difference at all"
    return f"{apart}: {over} can find {smallest}; {settle}"


def _column(results: Results, stage: str) -> str:
    return headline_column(results) if stage == Stage.CONFIRM else results.objective


def _facts(results: Results, stage: str, column: str) -> pd.DataFrame:
    """`FACTS` by parent."""
    selected = at_stage(results, stage)
    seconds = comparable(selected, column).groupby("parent")["train_s"].mean()
    repeated = selected.trials[selected.trials["parent"].notna()].groupby("parent")
    latencies = repeated[["latency_ms", "latency_ms_batch32"]].median()
    facts = repeated[["parameters", "macs", "configuration"]].first().join(latencies).join(seconds)
    trials = results.trials.drop_duplicates("trial").set_index("trial")
    return facts.combine_first(trials.loc[trials.index.isin(facts.index), list(FACTS)])[list(FACTS)]


def _amount(column: str, value: float) -> str:
    """Points have one decimal, or two below 1."""
    if not column.endswith("accuracy"):
        return f"{value:.3g}"
    points = round(100 * value, 2) + 0.0  # no minus before a zero
    return f"{points:.1f}" if abs(points) >= 1 else f"{points:g}"
