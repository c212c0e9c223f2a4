"""Accuracy per arm: where every trial of each arm ended."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweeper.analysis import progress
from sweeper.analysis.results import Results, arm_labels, at_stage, goal, metric_or_objective, status_counts
from sweeper.ledger.records import Status
from sweeper.plots import _quantities, _style

FEWEST_FOR_A_BOX = 5
"""Completed trials an arm needs for a box: quartiles of fewer say nothing."""


def frame(results: Results, *, metric: str = "val_accuracy", stage: str = "search") -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.progress.last_values`.

    Args:
        results: The results of a study.
        metric: One of `sweeper.ledger.records.METRICS`.
        stage: ``search``, ``confirm``, ``ablation`` or ``all``.

    Raises:
        UnknownNameError: No such metric or stage.
        NoDataError: No trial has a value of the metric.
    """
    return progress.last_values(at_stage(results, stage), metric)


def accuracy_per_arm(results: Results, *, metric: str = "val_accuracy", stage: str = "search", is_zoomed: bool = True) -> Figure:
    """A figure with a row per arm, best arm first: a dot per trial, quartiles of the completed trials behind the dots.

    Completed trials are filled, stopped ones hollow (the value of their last epoch). Failed and unfinished ones are counted
    beside the arm's name. Without any completed trial the hollow dots are drawn and the title says so.

    Args:
        results: The results of a study.
        metric: One of `sweeper.ledger.records.METRICS`.
        stage: ``search``, ``confirm``, ``ablation`` or ``all``.
        is_zoomed: Whether trials far worse than the completed ones become a number at the edge instead of squeezing the
            rest.

    Raises:
        UnknownNameError: No such metric or stage.
        NoDataError: No completed or stopped trial has a value of the metric.
    """
    column = metric_or_objective(results, metric)
    direction = goal(results, column)
    trials = frame(results, metric=metric, stage=stage)
    dots = trials[trials["status"].isin([Status.COMPLETED, Status.STOPPED]) & trials["value"].notna()]
    completed = dots[dots["status"] == Status.COMPLETED]
    order = _order(trials, completed, direction)
    looks = _style.looks(arm_labels(results))
    with _style.applied():
        picture = _style.figure(width=10.0, height=1.9 + 0.52 * len(order))
        axes = picture.add_subplot()
        values = dots["value"] if len(dots) else trials["value"].dropna()
        best = completed.loc[completed["is_best"], "value"]
        low, high = _quantities.window(values, completed["value"] if is_zoomed else best.iloc[:0], best, direction)
        outside = dots[~dots["value"].between(low, high)]
        inside = dots.drop(outside.index)
        _quantities.scale(axes, "x", column, [low, high])
        left, right = axes.get_xlim()
        if len(outside):
            # Arrows and their numbers get a strip of their own.
            room = 0.05 * (right - left)
            left, right = (left - room, right) if direction == "max" else (left, right + room)
        _draw_boxes(axes, completed, order, looks)
        axes.set_xlim(left, right)
        for place, arm in enumerate(order):
            _draw_dots(axes, inside[inside["arm"] == arm], place, looks[arm], width=(right - left) / 90)
            _draw_edge(axes, int((outside["arm"] == arm).sum()), place, looks[arm], direction)
        _name_rows(axes, trials, order, looks, column)
        caption = _quantities.counts_line(
            status_counts(trials),
            stopped="hollow: what they had when they were stopped",
            failed="not shown",
            unfinished="not shown",
        )
        if len(outside):
            caption += f" Beyond the axis: {_quantities.count(len(outside), 'trial')}, counted at the arrows."
        if axes.patches:
            caption += f" Boxes: quartiles of at least {FEWEST_FOR_A_BOX} completed trials."
        _style.finish(picture, title=_title(results, completed, column, direction), caption=caption, handles=_handles(dots))
    return picture


def _order(trials: pd.DataFrame, completed: pd.DataFrame, direction: str) -> list[str]:
    """Arms from the best to the worst best trial; those without a completed trial last, by name."""
    best = completed[completed["is_best"]].sort_values("value", ascending=direction == "min", kind="stable")["arm"].to_list()
    return [*best, *sorted(set(trials["arm"]) - set(best))]


def _draw_boxes(axes: Axes, completed: pd.DataFrame, order: list[str], looks: dict[str, _style.Look]) -> None:
    for place, arm in enumerate(order):
        values = completed.loc[completed["arm"] == arm, "value"]
        if len(values) >= FEWEST_FOR_A_BOX:
            first, median, third = values.quantile([0.25, 0.5, 0.75])
            axes.barh(place, third - first, left=first, height=0.62, color=looks[arm].colour, alpha=0.16)
            axes.vlines(median, place - 0.31, place + 0.31, color=_style.INK, alpha=0.7, linewidth=1.0)


def _draw_dots(axes: Axes, rows: pd.DataFrame, place: int, look: _style.Look, width: float) -> None:
    """The trials of one arm that lie inside the range shown; `width` is that of a dot, in the unit of the axis."""
    across = rows["value"].to_numpy(dtype=float)
    heights = place + _swarm(across, width)
    is_completed = (rows["status"] == Status.COMPLETED).to_numpy(dtype=bool)
    for mask, filled in ((~is_completed, False), (is_completed, True)):
        face, edge, line = (look.colour, "white", 0.4) if filled else ("none", look.colour, 0.8)
        axes.scatter(
            across[mask], heights[mask], s=20, marker=look.marker, facecolors=face, edgecolors=edge, linewidths=line, alpha=0.75
        )
    best = rows["is_best"].to_numpy(dtype=bool)
    axes.scatter(
        across[best],
        heights[best],
        s=58,
        marker=look.marker,
        facecolors=look.colour,
        edgecolors=_style.INK,
        linewidths=1.0,
        zorder=4,
    )


def _draw_edge(axes: Axes, num_outside: int, place: int, look: _style.Look, direction: str) -> None:
    """An arrow at the bad end of a row, with the number of trials that lie beyond it."""
    if num_outside:
        is_left = direction == "max"
        style: dict[str, Any] = {
            "marker": "<" if is_left else ">",
            "markersize": 5,
            "markerfacecolor": "none",
            "markeredgecolor": look.colour,
        }
        axes.plot(0.012 if is_left else 0.988, place, transform=axes.get_yaxis_transform(), **style)
        where, side = (0.024, "left") if is_left else (0.976, "right")
        axes.text(where, place, str(num_outside), transform=axes.get_yaxis_transform(), ha=side, va="center", fontsize=7.5)


def _swarm(values: npt.NDArray[np.float64], width: float) -> npt.NDArray[np.float64]:
    """Offsets that keep dots of nearly the same value apart: 0, up, down, further up, ..., at most 0.36 of a row."""
    order = np.argsort(values, kind="stable")
    bins = np.floor(values[order] / width)
    rank = np.zeros(len(values))
    rank[order] = pd.Series(bins).groupby(bins).cumcount().to_numpy()
    steps = np.ceil(rank / 2) * np.where(rank % 2 == 1, 1.0, -1.0)
    return np.asarray(steps * min(0.11, 0.36 / max(np.abs(steps).max(initial=0.0), 1.0)))


def _name_rows(axes: Axes, trials: pd.DataFrame, order: list[str], looks: dict[str, _style.Look], column: str) -> None:
    names = []
    for place, arm in enumerate(order):
        rows = trials[trials["arm"] == arm]
        counts = {status: number for status, number in status_counts(rows).items() if number}
        names.append(f"{looks[arm].label}\n" + ", ".join(f"{number} {status}" for status, number in counts.items()))
        best = rows[rows["is_best"]]
        words = "no completed trial"
        if len(best):
            words = f"{_quantities.number(column, float(best['value'].iloc[0]))}  {best['trial'].iloc[0]}"
        axes.text(1.012, place, words, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    _style.name_rows(axes, names)


def _handles(dots: pd.DataFrame) -> list[Line2D]:
    grey = "#8f8f8f"
    handles = []
    if dots["is_best"].any():
        handles.append(_style.handle("best of its arm", marker="o", color=grey, markeredgecolor=_style.INK, markersize=7))
    if (dots["status"] == Status.COMPLETED).any():
        handles.append(_style.handle("completed", marker="o", color=grey, markersize=5))
    if (dots["status"] == Status.STOPPED).any():
        handles.append(_style.handle("stopped early", marker="o", markerfacecolor="none", markeredgecolor=grey, markersize=5))
    return handles


def _title(results: Results, completed: pd.DataFrame, column: str, direction: str) -> str:
    name = _quantities.NAMES[column]
    if completed.empty:
        return f"{results.study}: {name} of each arm; no completed trial yet"
    best = completed.sort_values("value", ascending=direction == "min", kind="stable").iloc[0]
    return f"{results.study}: best {name} {_quantities.number(column, float(best['value']))}, by {best['trial']}"
