"""Which source of chance moves a result: seeds that vary one of them alone, beside the finite number of validation images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from sweeper.analysis.results import Results
from sweeper.analysis.seeds import repetitions
from sweeper.analysis.summary import validation_images
from sweeper.ledger.records import SOURCES, Stage

IMAGES = "images"
"""What a row is called that tells the sampling error of an accuracy: computed, not measured."""


def sources_of_variance(results: Results, *, column: str | None = None, confidence: float = 0.95) -> pd.DataFrame:
    """One row per repeated configuration and source of chance: how far it moves the result alone.

    Args:
        results: The results of a study.
        column: What to look at, one of `sweeper.analysis.results.DIRECTIONS`; None means the first objective.
        confidence: Of the intervals.

    Returns:
        Columns ``arm parent varies n mean sd low high``, by arm and parent, sources in the order of
        `sweeper.ledger.records.SOURCES`, then ``all``, ``training`` (all but the split), and ``images``. ``low`` and ``high``
        enclose the standard deviation, by the chi-square distribution of a variance of normal values; NaN below two seeds.
        ``images`` is the binomial standard deviation ``sqrt(p * (1 - p) / n)`` of a validation accuracy p on n images, and has
        no interval; it is there for ``val_accuracy`` alone.

    Raises:
        UnknownNameError: No such column.
    """
    column = column or results.objective
    found = []
    for varies in (*SOURCES, "all", None):
        rows = repetitions(results, stage=Stage.ABLATION, column=column, varies=varies)
        for (arm, parent), own in rows.groupby(["arm", "parent"]):
            values = own["value"].dropna().to_numpy(float)
            found.append({"arm": arm, "parent": parent, "varies": varies or "training", **_deviation(values, confidence)})
    names = ["arm", "parent", "varies", "n", "mean", "sd", "low", "high"]
    table = pd.DataFrame(found, columns=names)
    if column == "val_accuracy":
        table = pd.concat([table, pd.DataFrame(_of_images(results, table), columns=names)], ignore_index=True)
    order = {name: place for place, name in enumerate((*SOURCES, "all", "training", IMAGES))}
    return table.sort_values(
        ["arm", "parent", "varies"], key=lambda key: key.map(order) if key.name == "varies" else key
    ).reset_index(drop=True)


def _deviation(values: np.ndarray, confidence: float) -> dict[str, float]:
    count = len(values)
    if count < 2:
        return {"n": count, "mean": values.mean() if count else np.nan, "sd": np.nan, "low": np.nan, "high": np.nan}
    sd = float(values.std(ddof=1))
    tail = (1 - confidence) / 2
    low, high = (sd * np.sqrt((count - 1) / stats.chi2.ppf(share, count - 1)) for share in (1 - tail, tail))
    return {"n": count, "mean": float(values.mean()), "sd": sd, "low": float(low), "high": float(high)}


def _of_images(results: Results, table: pd.DataFrame) -> list[dict[str, object]]:
    datasets = results.trials.set_index("trial")["dataset"]
    found: list[dict[str, object]] = []
    for (arm, parent), rows in table.groupby(["arm", "parent"]):
        images, weights = validation_images(datasets.get(parent)), rows["n"].to_numpy(float)
        if images and weights.sum():
            share = float(np.average(rows["mean"].fillna(0.0), weights=weights))
            sd = float(np.sqrt(share * (1 - share) / images))
            found.append({"arm": arm, "parent": parent, "varies": IMAGES, "n": images, "mean": share, "sd": sd})
    return found
