"""Which knobs explain how good an arm's trials were: permutation importance on trials that the forest has not seen.

**The rule.** A random forest learns the score of an arm's trials from their knobs. Then the values of one knob are shuffled
among trials that were left out of the learning, and the knob matters as much as the forest's squared error on these rises. It is
told as a share of the variance of the scores, on average over the folds of a cross-validation. A knob that explains nothing is at
about 0, on either side of it. How much of the variance the forest explains at all is told beside it: where that is nothing, no
importance means anything.

**The score** is a rank, so that trials that diverged do not drown what distinguishes good ones, and so that trials that were
stopped early count: trials are ranked by how far they came, then by the value they had there; those that diverged are last.
Trials that failed for another reason or are on their way have no rank.

A knob that exists only beside another one's value is shuffled among the trials that have it: whether it exists is the other
one's. Knobs that a sampler moved together share what they explain, and what the search never tried is not known.

Source: Breiman, Random forests (2001), section 10; held-out trials by cross-validation take the place of out-of-bag ones.
"""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeper.analysis.results import Results, arms, goal
from sweeper.errors import NoDataError
from sweeper.ledger.records import Reason, Status

RANKED = (Status.COMPLETED, Status.STOPPED, Status.PAUSED)
"""Trials that stand for how good their configuration is."""

FEWEST = 10
"""Ranked trials an arm needs: fewer say nothing about a knob."""

MOST_FOLDS = 5
"""Parts of an arm's trials, each of which is left out once."""

TREES = 100
"""Trees of a forest."""

SHUFFLES = 10
"""How often the values of a knob are shuffled in each fold."""

Table = npt.NDArray[np.float64]


def knob_table(results: Results, arm: str) -> pd.DataFrame:
    """One row per trial of an arm that has knobs, one column per knob: its value, or None where the trial does not have it.

    Args:
        results: The results of a study, at one stage.
        arm: One of its arms.

    Returns:
        Indexed by trial, in the order of the trials; a knob that is the same in all trials has no column.
    """
    trials = results.trials[(results.trials["arm"] == arm) & results.trials["configuration"].notna()]
    table = pd.DataFrame([json.loads(text) for text in trials["configuration"]], index=trials["trial"], dtype=object)
    table = table.where(table.notna(), None)
    return table[[name for name in table if table[name].map(json.dumps).nunique() > 1]]


def scores(results: Results, arm: str, column: str | None = None) -> pd.Series:
    """How good each trial of an arm was, from 0 for the worst to 1 for the best: a rank, see the module.

    Args:
        results: The results of a study, at one stage.
        arm: One of its arms.
        column: What decides; None means the first objective.

    Returns:
        By trial; those without a rank are left out. Equal trials share the mean of their ranks.
    """
    column = column or results.objective
    trials = results.trials[results.trials["arm"] == arm].set_index("trial")
    is_diverged = (trials["status"] == Status.FAILED) & (trials["reason"] == Reason.NAN)
    is_scored = trials["status"].isin(RANKED) & np.isfinite(trials[column].astype(float))
    chosen = trials[is_diverged | is_scored]
    sign = 1.0 if goal(results, column) == "max" else -1.0
    keys = pd.DataFrame({"epoch": chosen["epoch"].astype(float), "value": sign * chosen[column].astype(float)})
    keys[is_diverged[chosen.index]] = -np.inf
    # All who were trained to the end came as far, however long that is after an extension.
    keys.loc[chosen["status"] == Status.COMPLETED, "epoch"] = np.inf
    places = keys.groupby(["epoch", "value"], sort=True).ngroup()
    ranks = places.rank(method="average")
    return (ranks - 1.0) / max(len(ranks) - 1, 1)


def knob_importance(results: Results, *, column: str | None = None) -> pd.DataFrame:
    """One row per arm and knob, most important first: how much of the arm's scores it explains.

    Args:
        results: The results of a study, at one stage.
        column: What decides how good a trial is; None means the first objective.

    Returns:
        Columns ``arm knob importance low high trials explained``, arms by name. ``importance`` is the mean over folds, as a
        share of the variance of scores; ``low`` and ``high`` are the lowest and highest of the folds. ``trials`` counts those
        that were learned from, ``explained`` is the share of the variance of held-out scores that the forest explains, below
        0 where it is worse than their mean. Arms with fewer than `FEWEST` ranked trials, equal scores or no varied knob have
        no row. The same results give the same numbers.

    Raises:
        UnknownNameError: Nothing that trials can be compared by.
        NoDataError: No arm has enough trials.
    """
    goal(results, column or results.objective)
    found, counts = [], {}
    for arm in arms(results):
        score = scores(results, arm, column)
        knobs = knob_table(results, arm).reindex(score.index)
        counts[arm] = len(score)
        if len(score) < FEWEST or knobs.empty or float(np.ptp(score)) == 0.0:
            continue
        rises, explained = _importance(_encoded(knobs), score.to_numpy(float))
        rows = pd.DataFrame({"arm": arm, "knob": list(knobs), "importance": rises.mean(axis=0)})
        rows = rows.assign(low=rises.min(axis=0), high=rises.max(axis=0), trials=len(score), explained=explained)
        found.append(rows.sort_values(["importance", "knob"], ascending=[False, True]))
    if not found:
        listed = ", ".join(f"{arm} {count}" for arm, count in counts.items()) or "none"
        raise NoDataError(
            f"study '{results.study}' has no arm with {FEWEST} ranked trials whose knobs and scores differ (trials: {listed}). "
            f"Let more trials finish, or extend it with: sweeper resume {results.named} --trials N"
        )
    return pd.concat(found, ignore_index=True)


def _encoded(knobs: pd.DataFrame) -> Table:
    """Knobs as numbers for trees: choices by their place in the alphabet, NaN where a trial does not have the knob."""
    columns = []
    for name in knobs:
        values = knobs[name]
        if all(value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values):
            columns.append(values.astype(float).to_numpy())
        else:
            codes, _ = pd.factorize(values.map(lambda value: None if value is None else json.dumps(value)), sort=True)
            columns.append(np.where(codes < 0, np.nan, codes))
    return np.stack(columns, axis=1)


def _importance(knobs: Table, score: Table) -> tuple[Table, float]:
    """By how much the squared error rises, (folds, knobs), and the share of variance explained; both relative to the variance."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    stream = np.random.default_rng(0)
    is_there = np.isfinite(knobs)
    # Trees split at numbers: one below all others stands for a knob that is not there.
    filled = np.where(is_there, knobs, np.nanmin(knobs, axis=0) - 1.0)
    rises, squares = [], np.zeros(len(score))
    for learned, left_out in KFold(MOST_FOLDS, shuffle=True, random_state=0).split(filled):
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=0)
        forest.fit(filled[learned], score[learned])
        squares[left_out] = (forest.predict(filled[left_out]) - score[left_out]) ** 2
        shuffled = [
            _shuffled(filled[left_out], is_there[left_out, knob], knob, stream)
            for knob in range(knobs.shape[1])
            for _ in range(SHUFFLES)
        ]
        errors = (forest.predict(np.concatenate(shuffled)).reshape(knobs.shape[1], SHUFFLES, -1) - score[left_out]) ** 2
        rises.append(errors.mean(axis=(1, 2)) - squares[left_out].mean())
    return np.asarray(rises) / score.var(), float(1.0 - squares.mean() / score.var())


def _shuffled(rows: Table, is_there: npt.NDArray[np.bool_], knob: int, stream: np.random.Generator) -> Table:
    """The rows with the values of one knob exchanged among those that have it."""
    copy = rows.copy()
    copy[is_there, knob] = stream.permutation(copy[is_there, knob])
    return copy
