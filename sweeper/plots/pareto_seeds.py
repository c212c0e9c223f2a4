"""Pareto front with doubt: means over seeds with their intervals, and how surely each configuration is on the front."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sweeper.analysis.doubt import seeds_front
from sweeper.analysis.results import Results, goal
from sweeper.plots import _labels, _quantities, _seeds, _style

REACH = 1.5
"""How far the axis extends to show intervals, in ranges of the means: an interval over two seeds is huge."""


OFTEN = 0.95
"""Share of draws from which on a configuration stays on the front."""


def frame(results: Results, *, x: str = "parameters", y: str | None = None, stage: str | None = None) -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.doubt.seeds_front`.

    Args:
        results: The results of a study.
        x: One of `sweeper.analysis.results.DIRECTIONS`.
        y: Another one; None means what `sweeper.analysis.verdicts` judges by.
        stage: ``confirm`` or ``ablation``; None means the first of them that has a completed trial.

    Raises:
        UnknownNameError: No such column or stage.
        NoDataError: Fewer than two configurations have both values.
    """
    stage, y = _seeds.asked(results, stage, y)
    for column in (y, x):
        _seeds.several(results, stage=stage, column=column)
    return seeds_front(results, x=x, y=y, stage=stage)


def pareto_seeds(results: Results, *, x: str = "parameters", y: str | None = None, stage: str | None = None) -> Figure:
    """A figure of the repeated configurations: the mean over seeds in a box of 95 % intervals, and the chance to be on the front.

    The larger and the fuller a marker, the surer its configuration is on the front; the chance stands beside its name.

    Args:
        results: The results of a study.
        x: See `frame`, which raises what this does.
        y: See there.
        stage: See there.
    """
    stage, y = _seeds.asked(results, stage, y)
    shown = frame(results, x=x, y=y, stage=stage)
    names = _seeds.names(results, shown)
    looks = _seeds.looks(results, shown)
    on_front = shown[shown["is_on_front"]]
    with _style.applied():
        picture = _style.figure(width=9.5, height=5.6)
        axes = picture.add_subplot()
        for which, column in (("x", x), ("y", y)):
            _quantities.scale(axes, which, column, _ends(shown, which))
        is_level = goal(results, x) == "min"
        drawstyle = "steps-post" if is_level else "steps-pre"
        axes.plot(on_front["x"], on_front["y"], drawstyle=drawstyle, color=_style.INK, linewidth=1.0, alpha=0.7, zorder=1.5)
        for row in shown.to_dict("records"):
            look = looks[row["parent"]]
            _box(axes, row, look.colour)
            sure = row["chance"] if pd.notna(row["chance"]) else 0.5
            size, alpha = 45 + 110 * sure, 0.25 + 0.75 * sure
            axes.scatter(row["x"], row["y"], s=size, marker=look.marker, color=look.colour, alpha=alpha, linewidths=0, zorder=3)
            axes.scatter(row["x"], row["y"], s=size, marker=look.marker, facecolors="none", edgecolors=look.colour, zorder=3)
        handles = [
            _style.handle(
                f"{names[parent]}, n = {n}", marker=looks[parent].marker, color=looks[parent].colour, markeredgecolor="white"
            )
            for parent, n in zip(shown["parent"], shown["n"], strict=True)
        ]
        caption = _seeds.caption(results, stage)
        caption += " Boxes: 95 % intervals of the means over seeds."
        if shown["chance"].notna().any():
            caption += (
                " Percentages: how often a configuration is on the front when the seeds are drawn again; the fuller and larger"
            )
            caption += " its marker. Few seeds make them too sure."
        lengths = _seeds.several(results, stage=stage, column=y)["max_epochs"]
        if lengths.nunique() > 1:
            caption += f" They were trained for {lengths.min():.0f} to {lengths.max():.0f} epochs, which is no fair comparison."
        _style.finish(picture, title=_title(results, shown, names, x, y), caption=caption, handles=handles)
        texts = [
            names[row["parent"]] + (f"\n{100 * row['chance']:.0f} %" if pd.notna(row["chance"]) else "")
            for row in shown.to_dict("records")
        ]
        line = _labels.stairs(on_front["x"].to_numpy(float), on_front["y"].to_numpy(float), is_first_level=is_level)
        _labels.place(axes, shown[["x", "y"]].to_numpy(float), texts, line=line)
    return picture


def _ends(shown: pd.DataFrame, which: str) -> list[float]:
    """What the axis has to show: all means, and the intervals as far as they do not squeeze them."""
    means = shown[which]
    reach = REACH * float(means.max() - means.min()) or float("inf")
    lows, highs = shown[f"{which}_low"].dropna(), shown[f"{which}_high"].dropna()
    floor = 0.0 if means.min() >= 0 else -float("inf")
    return [
        *means,
        *lows.clip(lower=max(float(means.min()) - reach, floor)),
        *highs.clip(upper=float(means.max()) + reach),
    ]


def _box(axes: Axes, row: Mapping[Hashable, Any], colour: str) -> None:
    """The box of both intervals, or a line where only one of them has any width."""
    sides = {which: (row[f"{which}_low"], row[f"{which}_high"]) for which in ("x", "y") if pd.notna(row[f"{which}_low"])}
    if len(sides) == 2:
        (left, right), (low, high) = sides["x"], sides["y"]
        axes.add_patch(
            Rectangle(
                (left, low), right - left, high - low, facecolor=colour, alpha=0.14, edgecolor=colour, linewidth=0.8, zorder=1
            )
        )
    elif "y" in sides:
        axes.plot([row["x"]] * 2, sides["y"], color=colour, linewidth=6, alpha=0.22, solid_capstyle="butt", zorder=1)
    elif "x" in sides:
        axes.plot(sides["x"], [row["y"]] * 2, color=colour, linewidth=6, alpha=0.22, solid_capstyle="butt", zorder=1)


def _title(results: Results, shown: pd.DataFrame, names: dict[str, str], x: str, y: str) -> str:
    if shown["chance"].isna().all():
        on_front = _quantities.count(int(shown["is_on_front"].sum()), "configuration")
        return f"{results.study}: {on_front} on the front, but too few seeds ({shown['n'].max()}) to say how surely"
    stay = int((shown["chance"] >= OFTEN).sum())
    quantities = f"{_quantities.NAMES.get(y, y)} and {_quantities.NAMES.get(x, x)}"
    verb = "stays" if stay == 1 else "stay"
    among = f"{stay} of {len(shown)} configurations {verb} unbeaten"
    return f"{results.study}: {among} in mean {quantities} when seeds are drawn again"
