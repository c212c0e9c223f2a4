"""Pareto front: which trials are not beaten in both of two objectives, usually accuracy against size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweeper.analysis.doubt import best_within, knee, scaled
from sweeper.analysis.pareto import trials_front
from sweeper.analysis.results import Results, arm_labels, at_stage, goal, require_data, status_counts
from sweeper.ledger.records import Status
from sweeper.plots import _labels, _quantities, _style

FAR = 3.0
"""A constraint at more than so many times the largest value is not drawn: the trials would be squeezed."""

MANY = 5000
"""Markers from which on they are an image in an SVG, which would take long to write and to show."""

LONG_FRONT, NAMED = 25, 12
"""Of a front of more trials so many are named beside their markers, from one end to the other."""

SMALLEST, LARGEST = 14.0, 150.0
"""Areas of markers that show a third column, in square typographic points."""

RING: Any = {"linestyle": "none", "marker": "o", "markersize": 13, "markerfacecolor": "none", "markeredgecolor": _style.INK}
"""How the knee of the front is marked."""


def frame(results: Results, *, x: str = "parameters", y: str = "val_accuracy", stage: str = "search") -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.pareto.trials_front`.

    Args:
        results: The results of a study.
        x: Column across, one of `sweeper.analysis.results.DIRECTIONS`.
        y: Column upwards, another one.
        stage: ``search``, ``confirm``, ``ablation`` or ``all``.

    Raises:
        UnknownNameError: No such column or stage.
        NoDataError: No completed or stopped trial has both values; the message names the columns that have data.
    """
    return trials_front(at_stage(results, stage), x=x, y=y)


def pareto(
    results: Results,
    *,
    x: str = "parameters",
    y: str = "val_accuracy",
    z: str | None = None,
    stage: str = "search",
    is_zoomed: bool = True,
    limits: Mapping[str, float] | None = None,
) -> Figure:
    """A figure of the completed trials, the front among them labelled, stopped trials hollow.

    Only completed trials can be on the front. A stopped trial was not trained to the end: it is shown hollow and never
    joins the front. Failed trials are counted in the caption. With stopped trials but no completed one, the figure says that
    there is no front yet. What a constraint or a limit forbids is shaded, if it is not far from the trials. A ring marks the knee
    of the front, see `sweeper.analysis.doubt.knee`.

    Args:
        results: The results of a study.
        x: Column across, one of `sweeper.analysis.results.DIRECTIONS`.
        y: Column upwards, another one.
        z: Column shown as the size of the markers; it does not count for the front. None makes those of the front larger.
        stage: ``search``, ``confirm``, ``ablation`` or ``all``.
        is_zoomed: Whether trials with a y far from all others are drawn as arrows at the edge, and counted in the
            caption, instead of squeezing the rest.
        limits: The largest value allowed of columns, beside the constraints of the study; the caption names the best trial
            within them.

    Raises:
        UnknownNameError: No such column or stage.
        NoDataError: No completed or stopped trial has both values; the message names the columns that have data.
    """
    shown = _with_sizes(results, frame(results, x=x, y=y, stage=stage), z)
    goals = {column: goal(results, column) for column in (x, y)}
    looks = _style.looks(arm_labels(results))
    completed = shown[shown["status"] == Status.COMPLETED]
    front = completed[completed["is_on_front"]]
    with _style.applied():
        picture = _style.figure(width=9.5, height=5.8)
        axes = picture.add_subplot()
        largest, highest = (_allowed(results, limits, column) for column in (x, y))
        near = [largest] if largest <= FAR * shown[x].max() else []
        _quantities.scale(axes, "x", x, [*shown[x], *near])
        _quantities.scale(axes, "y", y, shown[y].to_list())
        main = completed[y] if is_zoomed else shown[y].iloc[:0]
        window = _quantities.window(shown[y], main, front[y], goals[y])
        is_inside = shown[y].between(*window)
        stairs: dict[str, Any] = {
            "drawstyle": "steps-post" if goals[x] == "min" else "steps-pre",
            "color": _style.INK,
            "linewidth": 1.0,
        }
        axes.plot(front[x], front[y], zorder=1.5, alpha=0.7, **stairs)
        _draw(axes, shown[is_inside], x, y, looks)
        edges = _draw_at_edges(axes, shown[~is_inside], x, y, window, goals[y], looks)
        _shade(axes, largest, highest)
        bend = _bend(axes, front, x, y, (goals[x], goals[y]))
        caption = _caption(results, stage, shown, x, y, len(edges)) + bend
        if z is not None:
            caption += f" Size: {_quantities.NAMES.get(z, z)}; it does not count for the front."
        if limits:
            caption += f" {within(results, limits, y=y, stage=stage)}"
        handles = [*_handles(shown, looks, stairs, has_knee=bool(bend)), *_size_handles(shown, z)]
        _style.finish(picture, title=_title(results, shown, x, y), caption=caption, handles=handles)
        obstacles = np.concatenate([shown.loc[is_inside, [x, y]].to_numpy(dtype=float), edges])
        _name(axes, front, x, y, obstacles, is_first_level=goals[x] == "min")
    return picture


def _name(axes: Axes, front: pd.DataFrame, x: str, y: str, obstacles: npt.NDArray[np.float64], *, is_first_level: bool) -> None:
    """Write the names of the trials on the front beside them, as far as there is room."""
    points = front[[x, y]].to_numpy(dtype=float)
    line = _labels.stairs(*points.T, is_first_level=is_first_level)
    named = front if len(front) <= LONG_FRONT else front.iloc[np.linspace(0, len(front) - 1, NAMED).astype(int)]
    placed = _labels.place(axes, named[[x, y]].to_numpy(dtype=float), named["trial"].to_list(), obstacles=obstacles, line=line)
    if num_skipped := len(placed.skipped) + len(front) - len(named):
        note = f"no room for {_quantities.count(num_skipped, 'label')}"
        axes.text(1.0, 1.005, note, transform=axes.transAxes, ha="right", va="bottom", fontsize=7, color="#555555")


def within(results: Results, limits: Mapping[str, float], *, y: str = "val_accuracy", stage: str = "search") -> str:
    """One sentence: the completed trial with the best y that exceeds none of the limits."""
    told = " and ".join(f"{column} <= {largest:,.10g}" for column, largest in limits.items())
    selected = at_stage(results, stage)
    best = best_within(selected, limits, y=y)
    if best is None:
        return f"No completed trial has {told}."
    value = float(selected.trials.set_index("trial")[y].astype(float)[best])
    return f"Best with {told}: {best}, {_quantities.NAMES.get(y, y)} {_quantities.number(y, value)}."


def _with_sizes(results: Results, shown: pd.DataFrame, z: str | None) -> pd.DataFrame:
    """The frame with the columns ``z``, where one is asked for, and ``size``: the area of each marker, in square points.

    Raises:
        UnknownNameError: z is nothing that trials can be compared by.
        NoDataError: No trial has it.
    """
    if z is None:
        is_completed = shown["status"] == Status.COMPLETED
        return shown.assign(size=np.where(shown["is_on_front"], 52.0, np.where(is_completed, 26.0, 22.0)))
    goal(results, z)
    values = shown["trial"].map(results.trials.set_index("trial")[z].astype(float))
    require_data(results, results.trials[results.trials["trial"].isin(shown["trial"])], [z])
    height = pd.Series(scaled(values, z), shown.index)
    share = (height - height.min()) / ((height.max() - height.min()) or 1.0)
    return shown.assign(z=values, size=SMALLEST + (LARGEST - SMALLEST) * share.fillna(0.0))


def _size_handles(shown: pd.DataFrame, z: str | None) -> list[Line2D]:
    """The smallest and the largest marker, and what they stand for."""
    if z is None:
        return []
    name = _quantities.NAMES.get(z, z)
    handles = [
        _style.handle(_quantities.number(z, value), marker="o", color="#bbbbbb", markersize=area**0.5)
        for value, area in ((shown["z"].min(), SMALLEST), (shown["z"].max(), LARGEST))
    ]
    return [_style.handle(" "), _style.handle(f"{name}:"), *handles]


def _allowed(results: Results, limits: Mapping[str, float] | None, column: str) -> float:
    """The largest value of a column that both the study and the limits allow."""
    return min(float(given.get(column, math.inf)) for given in (results.limits, limits or {}))


def _bend(axes: Axes, front: pd.DataFrame, x: str, y: str, goals: tuple[str, str]) -> str:
    """Draw a ring around the knee of the front, and give what to say about it; nothing where there is none."""
    place = knee(scaled(front[x], x), scaled(front[y], y), goals)
    if place is None:
        return ""
    axes.plot(front[x].iloc[place], front[y].iloc[place], **RING)
    return f" Knee: {front['trial'].iloc[place]}, the point of the front furthest from the line between its ends."


def _shade(axes: Axes, largest_x: float, largest_y: float) -> None:
    """Shade what constraints forbid, as far as the axes reach."""
    (_, right), (_, top) = axes.get_xlim(), axes.get_ylim()
    shade: dict[str, Any] = {"facecolor": _style.FAINT, "edgecolor": _style.INK, "alpha": 0.15, "linestyle": "--", "zorder": 0.5}
    if largest_x < right:
        axes.axvspan(largest_x, right, **shade)
    if largest_y < top:
        axes.axhspan(largest_y, top, **shade)


def _draw(axes: Axes, shown: pd.DataFrame, x: str, y: str, looks: dict[str, _style.Look]) -> None:
    stopped = shown[shown["status"] != Status.COMPLETED]
    for arm, rows in stopped.groupby("arm"):
        look = looks[str(arm)]
        axes.scatter(
            rows[x],
            rows[y],
            s=rows["size"],
            marker=look.marker,
            facecolors="none",
            edgecolors=look.colour,
            linewidths=0.8,
            alpha=0.6,
            rasterized=len(rows) > MANY,
        )
    for is_on_front, rows in shown[shown["status"] == Status.COMPLETED].groupby("is_on_front"):
        sns.scatterplot(
            rows,
            x=x,
            y=y,
            hue="arm",
            style="arm",
            palette={arm: look.colour for arm, look in looks.items()},
            markers={arm: look.marker for arm, look in looks.items()},
            s=rows["size"].to_numpy(float),
            alpha=1.0 if is_on_front else 0.55,
            edgecolor=_style.INK if is_on_front else "white",
            linewidth=0.9 if is_on_front else 0.4,
            zorder=3 if is_on_front else 2,
            legend=False,
            rasterized=len(rows) > MANY,
            ax=axes,
        )
    # seaborn names an axis after its column.
    axes.set_xlabel(_quantities.label(x))
    axes.set_ylabel(_quantities.label(y))


def _draw_at_edges(
    axes: Axes, outside: pd.DataFrame, x: str, y: str, limits: tuple[float, float], y_goal: str, looks: dict[str, _style.Look]
) -> npt.NDArray[np.float64]:
    """Draw arrows for the trials beyond the limits of y, set the limits of the axis, and give the places of the arrows."""
    low, high = limits
    is_below = (outside[y] < low).to_numpy(dtype=bool)
    margin = _quantities.MARGIN * (high - low) or 0.05 * abs(high) or 1.0
    # The good side gets room too: that is where the labels of the front go.
    is_wide_below, is_wide_above = is_below.any() or y_goal == "min", (~is_below).any() or y_goal == "max"
    axes.set_ylim(low - margin * (2.0 if is_wide_below else 1.0), high + margin * (2.0 if is_wide_above else 1.0))
    bottom, top = axes.get_ylim()
    heights = np.where(is_below, bottom + 0.25 * margin, top - 0.25 * margin)
    is_completed = outside["status"] == Status.COMPLETED
    arrows = outside.assign(height=heights, marker=np.where(is_below, "v", "^"), is_completed=is_completed)
    for (arm, marker, is_filled), rows in arrows.groupby(["arm", "marker", "is_completed"]):
        colour = looks[str(arm)].colour
        face = colour if is_filled else "none"
        look: dict[str, Any] = {"s": 16, "linewidths": 0.8, "alpha": 0.6}
        axes.scatter(rows[x], rows["height"], marker=str(marker), facecolors=face, edgecolors=colour, **look)
    return np.stack([outside[x].to_numpy(dtype=float), heights], axis=1)


def _handles(shown: pd.DataFrame, looks: dict[str, _style.Look], stairs: dict[str, Any], *, has_knee: bool) -> list[Line2D]:
    present = set(shown["arm"])
    arms = [
        _style.handle(look.label, marker=look.marker, color=look.colour, markeredgecolor="white", markeredgewidth=0.4)
        for arm, look in looks.items()
        if arm in present
    ]
    codes = []
    if shown["is_on_front"].any():
        codes.append(
            _style.handle("on the front", marker="o", markerfacecolor="#bbbbbb", markersize=7, **(stairs | {"linestyle": "-"}))
        )
    if has_knee:
        codes.append(_style.handle("knee of the front", **RING))
    if (shown["status"] == Status.COMPLETED).any() and not shown["is_on_front"].all():
        codes.append(_style.handle("completed", marker="o", color="#bbbbbb", markersize=5))
    if (shown["status"] == Status.STOPPED).any():
        codes.append(
            _style.handle("stopped early", marker="o", markerfacecolor="none", markeredgecolor=_style.FAINT, markersize=5)
        )
    return [*arms, _style.handle(" "), *codes]


def _title(results: Results, shown: pd.DataFrame, x: str, y: str) -> str:
    names = f"{_quantities.NAMES[y]} and {_quantities.NAMES[x]}"
    num_completed = int((shown["status"] == Status.COMPLETED).sum())
    if not num_completed:
        return f"{results.study}: no completed trial yet, so no front of {names}"
    num_front = int(shown["is_on_front"].sum())
    verb = "is" if num_front == 1 else "are"
    return f"{results.study}: {num_front} of {_quantities.count(num_completed, 'trial')} {verb} unbeaten in {names}"


def _caption(results: Results, stage: str, shown: pd.DataFrame, x: str, y: str, num_outside: int) -> str:
    trials = at_stage(results, stage).trials
    line = _quantities.counts_line(
        status_counts(trials),
        stopped="hollow: what they had when they were stopped, never on the front",
        failed="not shown",
        unfinished="not shown",
    )
    if shown.attrs["num_excluded"]:
        line += f" {_quantities.count(shown.attrs['num_excluded'], 'trial')} without {x} or {y} left out."
    if num_outside:
        line += f" {_quantities.count(num_outside, 'trial')} beyond the vertical axis, drawn as arrows at its edge."
    if told := [f"{column} <= {results.limits[column]:,}" for column in (x, y) if column in results.limits]:
        line += f" Constraint: {' and '.join(told)}."
    epochs = trials.loc[trials["status"] == Status.COMPLETED, "epoch"].dropna()
    if epochs.nunique() > 1:
        line += f" Completed means {epochs.min():.0f} to {epochs.max():.0f} epochs, because the study was extended."
    return line
