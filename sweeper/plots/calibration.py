"""Calibration: whether the confirmed networks are as often right as they are sure, a reliability diagram each."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from sweeper.analysis import predictions
from sweeper.analysis.results import Results
from sweeper.plots import _predictions, _style

ACROSS = 4
"""Most diagrams side by side."""


def frame(results: Results, *, split: str | None = None) -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.predictions.calibration`.

    Args:
        results: The results of a study.
        split: ``test`` or ``validation``; None means the test split where there are predictions of it.

    Raises:
        UnknownNameError: No such split.
        NoDataError: There are no predictions of it.
    """
    return predictions.calibration(results, split)


def calibration(results: Results, *, split: str | None = None) -> Figure:
    """A figure with a panel per configuration: accuracy against confidence in ten bins, bars as long as they differ.

    Args:
        results: The results of a study.
        split: See `frame`, which raises what this does.
    """
    shown = frame(results, split=split)
    given, names, looks = _predictions.found(results, split)
    across = min(len(names), ACROSS)
    down = math.ceil(len(names) / across)
    with _style.applied():
        picture = _style.figure(width=max(2.75 * across + 0.8, 6.5), height=1.5 + 2.75 * down)
        panels = picture.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        for axes, (parent, name) in zip(panels.reshape(-1), names.items(), strict=False):
            _draw(axes, shown[shown["parent"] == parent], looks[parent], name)
        for axes in panels.reshape(-1)[len(names) :]:
            axes.set_visible(False)
        for axes in panels.reshape(-1)[max(len(names) - across, 0) : len(names)]:
            axes.set_xlabel("confidence (%)")
            axes.tick_params(labelbottom=True)
        for axes in panels[:, 0]:
            axes.set_ylabel("accuracy (%)")
        caption = _predictions.caption(results, given, split, "pooled")
        caption += f" {predictions.BINS} bins of equal width; a marker is as large as its bin's share of images. Below the line:"
        caption += " surer than right. ECE: mean distance of both over images, of each seed, averaged."
        _style.finish(picture, title=_title(results, shown, names), caption=caption)
    return picture


def _draw(axes: Axes, rows: pd.DataFrame, look: _style.Look, name: str) -> None:
    axes.plot([0, 1], [0, 1], color=_style.FAINT, linestyle="--", linewidth=0.9, zorder=1)
    for row in rows.to_dict("records"):
        ends = [row["confidence"], row["accuracy"]]
        axes.plot([row["confidence"]] * 2, ends, color=look.colour, linewidth=1.4, alpha=0.5, zorder=2)
    axes.plot(rows["confidence"], rows["accuracy"], color=look.colour, linewidth=1.0, zorder=2)
    sizes = 14 + 150 * rows["images"] / rows["images"].sum()
    axes.scatter(
        rows["confidence"],
        rows["accuracy"],
        s=sizes,
        marker=look.marker,
        color=look.colour,
        edgecolors="white",
        linewidths=0.5,
        zorder=3,
    )
    axes.set(xlim=(0, 1.03), ylim=(0, 1.03))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}"))
    axes.set_box_aspect(1)
    axes.set_title(_predictions.short(name, 26), loc="left", fontsize=9.5, fontweight="bold", pad=18)
    words = f"ECE {100 * rows['ece'].iloc[0]:.1f} points"
    axes.annotate(words, (0, 1), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points", fontsize=8, color="#555555")


def _title(results: Results, shown: pd.DataFrame, names: dict[str, str]) -> str:
    errors = shown.drop_duplicates("parent").set_index("parent")["ece"].sort_values(kind="stable")
    best = f"{names[str(errors.index[0])]} is best calibrated, {100 * errors.iloc[0]:.1f} points off on average"
    if len(errors) == 1:
        return f"{results.study}: the confidence of {best.replace('is best calibrated, ', 'is ')}"
    return f"{results.study}: {best}"
