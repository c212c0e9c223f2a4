"""How much a result depends on its seed: each repeated configuration over its seeds, and every two of them compared.

A **repetition** trains the configuration of another trial, its parent, once more with a seed of its own. The seeds 1 to N
are shared by all configurations and fix order of the data and augmentation alike, so the design is **paired**: what a seed
does to all of them drops out of the differences. The value is that of the last epoch of a completed repetition; one that
failed has none, and is counted instead of being filled in. A study that was extended may hold repetitions of different
lengths; those are not compared, because the longer training would pass for the better configuration.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sweeper.analysis.results import Results, at_stage, comparable, goal
from sweeper.errors import InputError, UnknownNameError
from sweeper.ledger.records import Stage, Status

STAGES = (Stage.CONFIRM, Stage.ABLATION)
"""Stages that repeat trials. Each has seeds of its own, so they are never analysed together."""

SAME = 1e-12
"""Values that differ by less differ by rounding only."""

FEWEST_FOR_CORRELATION = 3
"""Two points always lie on a line."""

Values = npt.NDArray[np.float64]


class Spread(NamedTuple):
    """Mean, standard deviation and interval of the mean; NaN where too few values, or equal ones, cannot tell."""

    mean: float
    sd: float
    low: float
    high: float


def spread(values: npt.ArrayLike, confidence: float = 0.95) -> Spread:
    """Mean, standard deviation (n - 1) and Student's two-sided t interval of the mean.

    Args:
        values: Finite numbers, of one dimension. None gives NaN for all, one has a mean only. Values that are all equal
            have a standard deviation of 0 and no interval, because they do not tell how far they could have varied.
        confidence: How often such intervals hold the true mean, between 0 and 1.

    Raises:
        InputError: The confidence is not between 0 and 1.
    """
    if not 0.0 < confidence < 1.0:
        raise InputError(f"a confidence of {confidence} is not between 0 and 1; for example 0.95.")
    sample = np.asarray(values, dtype=float)
    if not len(sample):
        return Spread(np.nan, np.nan, np.nan, np.nan)
    mean = float(sample.mean())
    if len(sample) < 2:
        return Spread(mean, np.nan, np.nan, np.nan)
    if _is_constant(sample):
        return Spread(mean, 0.0, np.nan, np.nan)
    sd = float(sample.std(ddof=1))
    half = float(stats.t.ppf((1.0 + confidence) / 2.0, len(sample) - 1)) * sd / len(sample) ** 0.5
    return Spread(mean, sd, mean - half, mean + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values adjusted for their number, in their order: reject where one is at most the error rate of all tests together.

    Args:
        p_values: Of tests in any order and however dependent; NaN is no test, does not count and stays NaN.

    Source: Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    given = np.asarray(p_values, dtype=float)
    order = np.argsort(given, kind="stable")[: int(np.isfinite(given).sum())]  # NaN is sorted last
    adjusted = np.full(len(given), np.nan)
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * given[order]), 1.0)
    return [float(value) for value in adjusted]


def repetitions(results: Results, *, stage: str = "ablation", column: str | None = None) -> pd.DataFrame:
    """One row per repetition: which configuration, which seed, what came out.

    Args:
        results: The results of a study.
        stage: ``ablation`` or ``confirm``.
        column: What to look at, one of `sweeper.analysis.results.DIRECTIONS`; None means the first objective.

    Returns:
        Columns ``arm parent seed trial status reason max_epochs value``, sorted by arm, parent and seed; ``value`` is NaN
        unless the repetition is completed and has a finite one.

    Raises:
        UnknownNameError: No such stage or column.
    """
    if stage not in STAGES:
        raise UnknownNameError("stage of repetitions", stage, STAGES)
    column = column or results.objective
    goal(results, column)
    selected = at_stage(results, stage)
    rows = selected.trials[selected.trials["parent"].notna()]
    value = comparable(selected, column)[column].astype(float).reindex(rows.index)
    table = rows[["arm", "parent", "seed", "trial", "status", "reason", "max_epochs"]].assign(value=value)
    return table.astype({"seed": int}).sort_values(["arm", "parent", "seed"]).reset_index(drop=True)


def seeds_table(
    results: Results, *, stage: str = "ablation", column: str | None = None, confidence: float = 0.95
) -> pd.DataFrame:
    """One row per repeated configuration, best mean first: what it reaches over its seeds.

    Args:
        results: The results of a study.
        stage: ``ablation`` or ``confirm``.
        column: What to look at, one of `sweeper.analysis.results.DIRECTIONS`; None means the first objective.
        confidence: Of the interval, between 0 and 1.

    Returns:
        Columns ``arm parent max_epochs n mean sd low high min max failures unfinished``. ``max_epochs`` is how long each
        repetition is trained. ``n`` counts the completed ones, the only ones that have a value; ``mean sd low high`` are as
        in `spread`. ``failures`` counts those that ended without a value, ``unfinished`` those that have not ended. No
        repetitions give an empty table.

    Raises:
        UnknownNameError: No such stage or column.
        InputError: The confidence is not between 0 and 1.
    """
    column = column or results.objective
    found = []
    for (arm, parent), rows in repetitions(results, stage=stage, column=column).groupby(["arm", "parent"]):
        values = rows["value"].dropna()
        is_ended = rows["status"].isin([status for status in Status if status.is_final])
        found.append(
            {
                "arm": arm,
                "parent": parent,
                "max_epochs": rows["max_epochs"].iloc[0],
                "n": len(values),
                **spread(values, confidence)._asdict(),
                "min": values.min(),
                "max": values.max(),
                "failures": int((is_ended & rows["value"].isna()).sum()),
                "unfinished": int((~is_ended).sum()),
            }
        )
    names = ["arm", "parent", "max_epochs", "n", "mean", "sd", "low", "high", "min", "max", "failures", "unfinished"]
    ascending = [goal(results, column) == "min", True, True]
    table = pd.DataFrame(found, columns=names).sort_values(["mean", "arm", "parent"], ascending=ascending)
    return table.reset_index(drop=True)


def paired_differences(
    results: Results, *, stage: str = "ablation", column: str | None = None, confidence: float = 0.95
) -> pd.DataFrame:
    """One row per pair of repeated configurations, compared over the seeds that both completed in the same number of epochs.

    Args:
        results: The results of a study.
        stage: ``ablation`` or ``confirm``.
        column: What to look at, one of `sweeper.analysis.results.DIRECTIONS`; None means the first objective.
        confidence: Of the intervals, each for itself, between 0 and 1.

    Returns:
        Columns ``first second n excluded difference sd low high p p_holm correlation variance_reduction``, in the order
        of `seeds_table`. ``first`` and ``second`` are parents, ``first`` the one with the better mean over its own
        seeds. ``n`` counts the seeds both completed in the same number of epochs, ``excluded`` all others.
        ``difference`` is the mean of first - second over these seeds; ``sd low high`` are as in `spread`. ``p`` is of
        the two-sided paired t test, ``p_holm`` the same adjusted for all pairs of the table: NaN for fewer than two
        seeds and where all differences are equal. ``correlation`` of the two over seeds and ``variance_reduction``, the
        share of the variance of an unpaired difference that pairing removes (below 0 where pairing hurts), are NaN for
        fewer than three seeds or without any variance.

    Raises:
        UnknownNameError: No such stage or column.
        InputError: The confidence is not between 0 and 1.
    """
    order = seeds_table(results, stage=stage, column=column, confidence=confidence)["parent"]
    rows = repetitions(results, stage=stage, column=column).set_index(["parent", "seed"])[["value", "max_epochs"]]
    found = []
    for first, second in itertools.combinations(order, 2):
        seeds = rows.loc[first].merge(rows.loc[second], how="outer", on="seed", suffixes=("_first", "_second"))
        pairs = seeds[seeds["max_epochs_first"] == seeds["max_epochs_second"]].dropna()
        found.append(
            {
                "first": first,
                "second": second,
                "n": len(pairs),
                "excluded": len(seeds) - len(pairs),
                **_compared(pairs["value_first"].to_numpy(float), pairs["value_second"].to_numpy(float), confidence),
            }
        )
    names = ["first", "second", "n", "excluded", "difference", "sd", "low", "high", "p", "p_holm"]
    table = pd.DataFrame(found, columns=[*names, "correlation", "variance_reduction"])
    return table.assign(p_holm=holm(table["p"].to_list()))


def _compared(first: Values, second: Values, confidence: float) -> dict[str, float]:
    differences = first - second
    mean, sd, low, high = spread(differences, confidence)
    # The test is undefined exactly where the interval is.
    p = np.nan
    if not np.isnan(low):
        t = mean / (sd / len(differences) ** 0.5)
        p = 2.0 * float(stats.t.sf(abs(t), len(differences) - 1))
    correlation = reduction = np.nan
    if len(differences) >= FEWEST_FOR_CORRELATION:
        unpaired = float(first.var(ddof=1) + second.var(ddof=1))
        if not (_is_constant(first) and _is_constant(second)):
            reduction = 1.0 - sd**2 / unpaired
        if not (_is_constant(first) or _is_constant(second)):
            correlation = float(np.corrcoef(first, second)[0, 1])
    return {
        "difference": mean,
        "sd": sd,
        "low": low,
        "high": high,
        "p": p,
        "correlation": correlation,
        "variance_reduction": reduction,
    }


def _is_constant(values: Values) -> bool:
    return bool(np.ptp(values) <= SAME)
