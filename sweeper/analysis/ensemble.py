"""What models say together: the mean of their probabilities, image by image (soft voting)."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from sweeper.analysis.results import Results


def ensemble_accuracy(results: Results, trials: Collection[str], *, split: str = "test") -> float:
    """Share of right answers of the mean probabilities of some confirmed trials; NaN where one of them has no predictions.

    Args:
        results: The results of a study, with predictions.
        trials: Ids of confirmed trials.
        split: ``test``: rows are then the same images for all trials.
    """
    rows = results.predictions
    rows = rows[rows["trial"].isin(list(trials)) & (rows["split"] == split)]
    if not trials or rows["trial"].nunique() < len(set(trials)):
        return float("nan")
    together = rows.groupby("row").agg(
        label=("label", "first"), mean=("probabilities", lambda own: np.mean(own.to_list(), axis=0))
    )
    return float((together["mean"].map(np.argmax) == together["label"]).mean())
