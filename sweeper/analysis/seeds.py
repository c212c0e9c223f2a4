"""How much a result depends on its seed: each repeated configuration over its seeds, and every two of them compared.

A **repetition** trains the configuration of another trial, its parent, once more with a seed of its own. The seeds 1 to N
are shared by all configurations and fix order of the data and augmentation alike, so the design is **paired**: what a seed
does to all of them drops out of the differences. The value is that of the last epoch of a completed repetition; one that
failed has none, and is counted instead of being filled in. A study that was extended may hold repetitions of different
lengths; those are not compared, because the longer training would pass for the better configuration.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from sweeper.analysis.results import Results, at_stage, comparable, goal
from sweeper.analysis.statistics import Values, holm, is_constant, paired_p, spread, t_interval
from sweeper.errors import UnknownNameError
from sweeper.ledger.records import Stage, Status

STAGES = (Stage.CONFIRM, Stage.ABLATION)
"""Stages that repeat trials. Each has seeds of its own, so they are never analysed together."""

FEWEST_FOR_CORRELATION = 3
"""Two points always lie on a line."""


def repetitions(
    results: Results, *, stage: str = "ablation", column: str | None = None, varies: str | None = None
) -> pd.DataFrame:
    """One row per repetition: which configuration, which seed, what came out.

    Args:
        results: The results of a study.
        stage: ``ablation`` or ``confirm``.
        column: What to look at, one of `sweeper.analysis.results.DIRECTIONS`; None means the first objective.
        varies: What the seeds set, as in the column of that name; None for repetitions that do not name it.

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
    named = selected.trials["varies"]
    rows = selected.trials[selected.trials["parent"].notna() & (named.isna() if varies is None else named == varies)]
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
        in `sweeper.analysis.statistics.spread`. ``failures`` counts those that ended without a value, ``unfinished`` those
        that have not ended. No repetitions give an empty table.

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
        ``difference`` is the mean of first - second over these seeds; ``sd low high`` are as in
        `sweeper.analysis.statistics.t_interval`. ``p`` is of the two-sided paired t test, ``p_holm`` the same adjusted for
        all pairs of the table: NaN for fewer than two seeds and where all differences are equal. ``correlation`` of the two
        over seeds and ``variance_reduction``, the share of the variance of an unpaired difference that pairing removes
        (below 0 where pairing hurts), are NaN for fewer than three seeds or without any variance.

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
    mean, sd, low, high = t_interval(differences, confidence)
    # The test is undefined exactly where the interval is.
    p = np.nan if np.isnan(low) else 2.0 * paired_p(abs(mean), sd, len(differences))
    correlation = reduction = np.nan
    if len(differences) >= FEWEST_FOR_CORRELATION:
        unpaired = float(first.var(ddof=1) + second.var(ddof=1))
        if not (is_constant(first) and is_constant(second)):
            reduction = 1.0 - sd**2 / unpaired
        if not (is_constant(first) or is_constant(second)):
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
