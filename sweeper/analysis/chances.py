"""How often one repeated configuration is better than another with the same seed: told beside tests, decides nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from sweeper.analysis.results import Results, goal
from sweeper.analysis.seeds import repetitions, seeds_table
from sweeper.analysis.statistics import SAME
from sweeper.ledger.records import Stage, Status


def stage_of_seeds(results: Results) -> str:
    """The stage whose seeds say most: ``confirm`` where one of its trials is completed, else ``ablation``."""
    is_confirmed = (results.trials["stage"] == Stage.CONFIRM) & (results.trials["status"] == Status.COMPLETED)
    return str(Stage.CONFIRM if is_confirmed.any() else Stage.ABLATION)


def chances(results: Results, *, stage: str = "ablation", column: str | None = None) -> pd.DataFrame:
    """One row per ordered pair of repeated configurations: with which share of the seeds the first one is the better one.

    Args:
        results: The results of a study.
        stage: ``ablation`` or ``confirm``.
        column: What to look at, one of `sweeper.analysis.results.DIRECTIONS`; None means the first objective.

    Returns:
        Columns ``first second n wins ties chance``, parents in the order of `seeds_table`. ``n`` counts the seeds that both
        completed in the same number of epochs; ``chance`` is the share of them that the first one wins, half of the ties
        included, and NaN without any: an estimate of the probability of improvement, P(first > second), for the same seed.

    Raises:
        UnknownNameError: No such stage or column.

    Source: Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice (2021), for unpaired runs.
    """
    order = seeds_table(results, stage=stage, column=column)["parent"]
    rows = repetitions(results, stage=stage, column=column).dropna(subset="value")
    sign = 1.0 if goal(results, column or results.objective) == "max" else -1.0
    values = rows.assign(value=sign * rows["value"]).set_index(["seed", "max_epochs"])[["parent", "value"]]
    found = []
    for first, second in itertools.permutations(order, 2):
        one, other = (values.loc[values["parent"] == parent, "value"] for parent in (first, second))
        ahead = (one - other).dropna().to_numpy(float)
        wins, ties = int((ahead > SAME).sum()), int((np.abs(ahead) <= SAME).sum())
        chance = (wins + ties / 2) / len(ahead) if len(ahead) else np.nan
        found.append({"first": first, "second": second, "n": len(ahead), "wins": wins, "ties": ties, "chance": chance})
    return pd.DataFrame(found, columns=["first", "second", "n", "wins", "ties", "chance"])
