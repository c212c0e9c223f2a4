"""What can be chosen: the confirmed configurations, or the best trial of each arm, and behind them every completed trial."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sweeper.analysis.results import DIRECTIONS, Results, at_stage, goal, ranked
from sweeper.analysis.verdicts import MARGIN, confirmed, headline_column, verdicts
from sweeper.ledger.records import Stage
from sweeper.report.parts import Number, Sentence, interval_text, measure, said, tally

HALF = 0.5
"""A smaller choice is told of only if it has at most this share of what the larger one needs."""

COSTS = ("parameters", "macs", "latency_ms", "latency_ms_batch32", "train_s", "peak_memory_mb")
"""What a choice costs; less is better."""

COLUMNS = ("trial", "arm", "score", "n", "low", "high", "chance", *COSTS, "configuration")
"""What is known of each choice. ``trial`` is the one whose configuration it is; ``score`` is a mean over ``n`` trainings."""

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
    """What can be chosen, best first.

    Args:
        results: Where it comes from.
        stage: The stage that confirms.
        column: What ``score`` of the contenders is of.
        is_confirmed: Whether the contenders are confirmed configurations; otherwise they are the best trial of each arm.
        contenders: A row per contender, with `COLUMNS`.
        searched: A row per completed trial of the search, with `COLUMNS`; ``score`` is the first objective.
        pairs: See `sweeper.analysis.verdicts.verdicts`; empty unless confirmed.
        is_limited: Whether choices beyond a limit are left out.
    """

    results: Results
    stage: str
    column: str
    is_confirmed: bool
    contenders: pd.DataFrame
    searched: pd.DataFrame
    pairs: pd.DataFrame
    is_limited: bool = False

    @property
    def best(self) -> Row | None:
        """The contender with the best score; None where there is none."""
        return row_of(self.contenders.iloc[0]) if len(self.contenders) else None

    def is_better_high(self, column: str) -> bool:
        """Whether more of a column is better."""
        return is_better_high(self.results, column)


def choices(results: Results, *, stage: str = "confirm") -> Choices:
    """What can be chosen from the results of a study.

    Args:
        results: The results of a study, of all stages.
        stage: The stage that confirms: ``confirm``; ``ablation`` to judge by repetitions instead.
    """
    searched = _searched(results)
    column = headline_column(results) if stage == Stage.CONFIRM else results.objective
    means = confirmed(results, stage=stage, column=column)
    means = means[np.isfinite(means["mean"].astype(float))]
    if means.empty:
        contenders = searched.drop_duplicates("arm").reset_index(drop=True)
        pairs, column = pd.DataFrame(), results.objective
    else:
        contenders = _confirmed(means, searched)
        pairs = verdicts(results, stage=stage, column=column, margin=MARGIN)
    return Choices(
        results=results,
        stage=stage,
        column=column,
        is_confirmed=len(means) > 0,
        contenders=contenders,
        searched=searched,
        pairs=pairs,
    )


def is_better_high(results: Results, column: str) -> bool:
    """Whether more of a column is better; of accuracies always, also of those that no study may search by."""
    return column.endswith("_accuracy") or goal(results, column) == "max"


def _searched(results: Results) -> pd.DataFrame:
    rows = ranked(at_stage(results, Stage.SEARCH))
    # Of equal scores the smaller network comes first: nothing speaks for the larger one.
    keys, ascending = [results.objective, "parameters"], [not is_better_high(results, results.objective), True]
    rows = rows.sort_values(keys, ascending=ascending, kind="stable")
    table = rows.reindex(columns=["trial", "arm", *COSTS, "configuration"])
    return table.assign(score=rows[results.objective], n=1, low=np.nan, high=np.nan, chance=np.nan)[[*COLUMNS]].reset_index(
        drop=True
    )


def _confirmed(means: pd.DataFrame, searched: pd.DataFrame) -> pd.DataFrame:
    """The confirmed configurations; memory is that of the trial they repeat."""
    table = means.rename(columns={"parent": "trial", "mean": "score", "chance_of_best": "chance"}).reindex(columns=[*COLUMNS])
    memory = searched.set_index("trial")["peak_memory_mb"]
    return table.reset_index(drop=True).assign(peak_memory_mb=table["trial"].map(memory).to_numpy(dtype=float))


def row_of(series: pd.Series[Any]) -> Row:
    """A choice as a dict."""
    return {str(name): value for name, value in series.items()}


def frame_rows(frame: pd.DataFrame) -> list[Row]:
    """The rows of a frame as dicts."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def within(rows: pd.DataFrame, limits: Mapping[str, float]) -> pd.DataFrame:
    """Those of the rows that are known to exceed none of the limits."""
    for column, most in limits.items():
        rows = rows[rows[column].astype(float) <= most]
    return rows


def pick(found: Choices, limits: Mapping[str, float]) -> tuple[Row, bool] | None:
    """The best choice within limits, and whether it is a confirmed one: contenders come first, then all completed trials."""
    for rows, is_confirmed in ((found.contenders, found.is_confirmed), (found.searched, False)):
        if len(inside := within(rows, limits)):
            return row_of(inside.iloc[0]), is_confirmed
    return None


def called(row: Mapping[str, Any]) -> str:
    """What a choice is called: ``resnet (resnet-00004)``."""
    return f"{row['arm']} ({row['trial']})"


def short(found: Choices, row: Mapping[str, Any]) -> str:
    """What a contender is called in a sentence: its arm, or its trial where its arm has several."""
    return str(row["arm"] if (found.contenders["arm"] == row["arm"]).sum() == 1 else row["trial"])


def selection(found: Choices, row: Mapping[str, Any], *, is_confirmed: bool | None = None) -> str:
    """Which rows of the table of trials the numbers of a choice come from."""
    repeated = found.is_confirmed if is_confirmed is None else is_confirmed
    return f"stage = {found.stage}, parent = {row['trial']}" if repeated else str(row["trial"])


def score(found: Choices, row: Mapping[str, Any], *, is_confirmed: bool | None = None) -> Number:
    """The score of a choice as a number."""
    repeated = found.is_confirmed if is_confirmed is None else is_confirmed
    column = found.column if repeated else found.results.objective
    value = float(row["score"])
    how = f"mean of {row['n']:.0f} seeds" if repeated and row["n"] > 1 else ""
    rows = selection(found, row, is_confirmed=repeated)
    return measure(column, value, rows=rows, how=how)


def interval(found: Choices, row: Mapping[str, Any]) -> Number | None:
    """The 95 % interval of the mean of a confirmed choice; None where there is none."""
    text = interval_text(found.column, float(row["low"]), float(row["high"]))
    how = "95 % interval of the mean over seeds"
    return Number(text=text, rows=selection(found, row), column=found.column, how=how) if text else None


def num_seeds(found: Choices, row: Mapping[str, Any]) -> Number:
    """Over how many seeds the score of a confirmed choice is a mean."""
    return tally(int(row["n"]), rows=f"{selection(found, row, is_confirmed=True)}, status = completed", column="seed")


def cost(found: Choices, row: Mapping[str, Any], column: str, *, is_confirmed: bool | None = None) -> Number:
    """What a choice costs, as a number."""
    repeated = (found.is_confirmed if is_confirmed is None else is_confirmed) and column != "peak_memory_mb"
    middles = {"train_s": "mean over seeds", "latency_ms": "median over seeds", "latency_ms_batch32": "median over seeds"}
    how = middles.get(column, "") if repeated and row["n"] > 1 else ""
    return measure(column, float(row[column]), rows=selection(found, row, is_confirmed=repeated), how=how)


def with_size(found: Choices, row: Mapping[str, Any]) -> Sentence:
    """``resnet (resnet-00004, 180k trainable parameters)``; without the size where the rows do not tell it."""
    if not np.isfinite(float(row["parameters"])):
        return (called(row),)
    return said("{} ({}, {} trainable parameters)", str(row["arm"]), str(row["trial"]), cost(found, row, "parameters"))


def knobs(configuration: object) -> str:
    """A configuration for a person: ``width=32 dropout=0.1418``."""
    if not isinstance(configuration, str):
        return ""
    values = json.loads(configuration)
    return " ".join(f"{key}={f'{value:.4g}' if isinstance(value, float) else value}" for key, value in values.items())


LIMITABLE = tuple(column for column, direction in DIRECTIONS.items() if direction == "min")
"""Columns that `sweeper recommend --max` takes."""
