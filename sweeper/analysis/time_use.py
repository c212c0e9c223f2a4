"""Where the time of a sweep went: what workers did, by arm and by worker, and which share of their time was training."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd

from sweeper.analysis.results import Results, at_stage

TOTALS = {"worker": "all workers", "arm": "all arms"}
"""Name of the last row of `time_shares`, by what its rows are."""

ACTIVITIES = ("import", "build", "train", "evaluate", "checkpoint", "wait")
"""What a worker's time goes into; each is measured in a column ``<activity>_s``."""


def time_shares(results: Results, *, by: str = "worker", stage: str = "search") -> pd.DataFrame:
    """One row per worker or arm and one for all of them: where the seconds went.

    The seconds are those of the epoch rows. Work for an attempt that died before its first epoch is in no row; neither is
    waiting that no epoch followed.

    Args:
        results: The results of a study.
        by: ``worker`` or ``arm``.
        stage: ``search``, ``confirm``, ``ablation`` or ``all``.

    Returns:
        Columns ``worker`` or ``arm``, ``epochs``, ``<activity>_s`` (seconds) and ``<activity>_share`` for each of `ACTIVITIES`,
        and ``total_s``. Missing seconds count as 0. The shares of a row sum to 1, or are NaN when nothing was measured. Rows
        are sorted by name, ``unknown`` stands for rows without one, and the last row, see `TOTALS`, sums them. No
        epoch rows give an empty table.

    Raises:
        UnknownNameError: No such stage.
    """
    epochs = at_stage(results, stage).epochs
    seconds = [f"{activity}_s" for activity in ACTIVITIES]
    names = epochs[by].where(epochs[by].notna(), "unknown").astype(str)
    groups = epochs[seconds].fillna(0.0).astype(float).groupby(names.to_numpy())
    table = groups.sum()
    table.insert(0, "epochs", groups.size())
    if len(table):
        table.loc[TOTALS[by]] = table.sum()
    table["total_s"] = table[seconds].sum(axis=1)
    for activity in ACTIVITIES:
        table[f"{activity}_share"] = table[f"{activity}_s"] / table["total_s"].where(table["total_s"] > 0)
    return table.rename_axis(by).reset_index().astype({"epochs": int})


def run_of(results: Results) -> pd.Series[float]:
    """The generation of the driver that recorded each epoch row; NaN where no driver is known to have begun before it."""
    runs = results.runs.sort_values("started")
    position = np.searchsorted(runs["started"].to_numpy(float), results.epochs["time"].to_numpy(float), side="right") - 1
    generations = np.append(runs["generation"].to_numpy(float), math.nan)  # the last one is what -1 finds
    return pd.Series(generations[position], index=results.epochs.index)


def utilisation(results: Results) -> float:
    """Share of the workers' time that was training, from the start of Ray to the last event; NaN where it is not known.

    Only drivers that recorded how many workers they had count, with their epochs of every stage.
    """
    known = results.runs.dropna(subset=["workers", "started", "ended"])
    paid = float(((known["ended"] - known["started"]) * known["workers"]).sum())
    is_known = run_of(results).isin(known["generation"])
    trained = float(results.epochs.loc[is_known, "train_s"].astype(float).sum())
    return trained / paid if paid > 0 else math.nan


def spans(results: Results, *, stage: str = "all") -> pd.DataFrame:
    """One row per epoch: when which worker was busy with it.

    An epoch's work ends when the driver records its row. Before that lie, in this order, import and build (with an attempt's
    first epoch), training, validation and checkpoint.

    Args:
        results: The results of a study.
        stage: ``search``, ``confirm``, ``ablation`` or ``all``.

    Returns:
        Columns ``run worker lane trial arm attempt epoch start end train_start train_end``, sorted by start. Times are seconds
        since the first driver began, without the time in which none worked; ``run`` is the generation of the driver, NaN where
        it is not known. ``lane`` counts from 0: a worker has the first lane that is free when it begins, so a replaced worker's
        lane is used again. Rows without a time are left out.
    """
    selected = at_stage(results, stage)
    selected = dataclasses.replace(selected, epochs=selected.epochs.dropna(subset=["time"]))
    rows = selected.epochs
    took = {name: rows[f"{name}_s"].astype(float).fillna(0.0) for name in ACTIVITIES}
    end = rows["time"].astype(float)
    train_end = end - took["checkpoint"] - took["evaluate"]
    train_start = train_end - took["train"]
    table = rows[["trial", "arm", "attempt", "epoch"]].assign(
        run=run_of(selected),
        worker=rows["worker"].where(rows["worker"].notna(), "unknown"),
        start=train_start - took["build"] - took["import"],
        end=end,
        train_start=train_start,
        train_end=train_end,
    )
    times = ["start", "end", "train_start", "train_end"]
    table[times] = table[times].sub(_idle_before(selected, table), axis=0)
    table = table.sort_values(["start", "trial", "epoch"], ignore_index=True)
    lanes = _lanes(table)
    table["lane"] = [lanes[run, str(worker)] for run, worker in zip(table["run"].fillna(-1), table["worker"], strict=True)]
    return table[["run", "worker", "lane", "trial", "arm", "attempt", "epoch", *times]]


def run_starts(results: Results) -> dict[float, float]:
    """When each driver began, by generation, on the time axis of `spans`."""
    runs = results.runs.sort_values("started")
    return {run: start - idle for (run, idle), start in zip(_idle(results).items(), runs["started"], strict=True)}


def _idle(results: Results) -> dict[float, float]:
    """Seconds before each driver in which none worked, from 1970 on, by generation."""
    runs = results.runs.sort_values("started")
    gaps = runs["started"] - runs["ended"].shift(fill_value=0.0)
    return dict(zip(runs["generation"].astype(float), gaps.clip(lower=0.0).cumsum(), strict=True))


def _idle_before(results: Results, table: pd.DataFrame) -> pd.Series[float]:
    """The same before each row; where not every driver is known, what lies before the first row."""
    if results.runs.empty or table["run"].isna().any():
        return pd.Series(table["start"].min() if len(table) else 0.0, index=table.index)
    return table["run"].map(_idle(results)).astype(float)


def _lanes(table: pd.DataFrame) -> dict[tuple[float, str], int]:
    """The lane of each worker, by run (-1 where it is not known) and name."""
    workers = table.assign(run=table["run"].fillna(-1)).groupby(["run", "worker"]).agg(start=("start", "min"), end=("end", "max"))
    free_from: list[float] = []
    found: dict[tuple[float, str], int] = {}
    for row in workers.reset_index().sort_values("start").to_dict("records"):
        lane = next((lane for lane, until in enumerate(free_from) if until <= row["start"]), len(free_from))
        free_from[lane : lane + 1] = [row["end"]]
        found[float(row["run"]), str(row["worker"])] = lane
    return found
