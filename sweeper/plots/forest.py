"""Forest: the paired difference of every two repeated configurations, with its interval and what it shows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from sweeper.analysis.results import Results
from sweeper.analysis.verdicts import MARGIN, verdicts
from sweeper.plots import _quantities, _seeds, _style
from sweeper.plots.effects import LOOKS

MOST_PAIRS = 28
"""Rows of a figure: all pairs of eight configurations; of more, the first ones, which hold the best configurations."""

REACH = 3.0
"""How far the axis extends to show intervals, in multiples of the largest difference: an interval over two seeds is huge."""


def frame(results: Results, *, stage: str | None = None, column: str | None = None) -> pd.DataFrame:
    """What the picture shows: one row per pair, see `sweeper.analysis.verdicts.verdicts`.

    Args:
        results: The results of a study.
        stage: ``confirm`` or ``ablation``; None means the first of them that has a completed trial.
        column: One of `sweeper.analysis.results.DIRECTIONS`; None means what `sweeper.analysis.verdicts` judges by.

    Raises:
        UnknownNameError: No such stage or column.
        NoDataError: Fewer than two configurations have a value.
    """
    stage, column = _seeds.asked(results, stage, column)
    rows = _seeds.several(results, stage=stage, column=column)
    pairs = verdicts(results, stage=stage, column=column, margin=_margin(column))
    return pairs[pairs["first"].isin(rows["parent"]) & pairs["second"].isin(rows["parent"])].reset_index(drop=True)


def forest(results: Results, *, stage: str | None = None, column: str | None = None) -> Figure:
    """A figure with a row per pair: the mean difference over the seeds both completed, its interval, and a line at 0.

    Args:
        results: The results of a study.
        stage: See `frame`, which raises what this does.
        column: See there.
    """
    stage, column = _seeds.asked(results, stage, column)
    pairs = frame(results, stage=stage, column=column)
    shown = pairs.head(MOST_PAIRS)
    names = _seeds.names(results, _seeds.several(results, stage=stage, column=column))
    with _style.applied():
        picture = _style.figure(width=10.5, height=1.9 + 0.42 * len(shown))
        axes = picture.add_subplot()
        _limit(axes, shown, column)
        for place, pair in enumerate(shown.to_dict("records")):
            _draw(axes, place, pair["difference"], (pair["low"], pair["high"]), pair["verdict"])
            axes.text(1.012, place, _words(pair, column), transform=axes.get_yaxis_transform(), va="center", fontsize=8)
        axes.axvline(0.0, color=_style.INK, linewidth=1.0, zorder=1.5)
        _style.name_rows(axes, [f"{names[pair['first']]}\nover {names[pair['second']]}" for pair in shown.to_dict("records")])
        if margin := _margin(column):
            axes.axvspan(-margin, margin, facecolor=_style.FAINT, alpha=0.12, zorder=0.5)
        handles = [
            _style.handle(name, marker=marker, linestyle="-", color=colour, markerfacecolor=_face(verdict))
            for verdict, (colour, marker, name) in LOOKS.items()
            if (shown["verdict"] == verdict).any()
        ]
        caption = _seeds.caption(results, stage)
        caption += " Lines: intervals of the paired differences at the error rate at which Holm's procedure decides each,"
        caption += f" 95 % for all {len(pairs)} pairs together." if len(pairs) > 1 else " here 95 %."
        if margin:
            caption += f" Shaded: differences up to {100 * margin:.2g} points, which do not matter."
        left, right = axes.get_xlim()
        if ((shown["low"] < left) | (shown["high"] > right)).any():
            caption += " Intervals that leave the axis end in arrows."
        if len(shown) < len(pairs):
            caption += f" The first {len(shown)} pairs are shown."
        _style.finish(picture, title=_title(results, pairs, names, column), caption=caption, handles=handles)
    return picture


def _limit(axes: Axes, shown: pd.DataFrame, column: str) -> None:
    """Set the axis: 0, all differences, and the intervals as far as they reach no further than is worth showing."""
    reach = REACH * float(shown["difference"].abs().fillna(0.0).max()) or 1e-3
    ends = shown[["difference", "low", "high"]].to_numpy(float)
    ends = ends[np.isfinite(ends)].clip(-reach, reach)
    low, high = ends.min(initial=0.0), ends.max(initial=0.0)
    margin = _quantities.MARGIN * (high - low) or reach
    axes.set_xlim(low - margin, high + margin)
    unit = "percentage points" if column.endswith("_accuracy") else _quantities.label(column).rpartition("(")[2].strip(")")
    axes.set_xlabel(f"how much better the first is in {_quantities.NAMES.get(column, column)} ({unit})")
    if column.endswith("_accuracy"):
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}"))


def _draw(axes: Axes, place: int, difference: float, interval: tuple[float, float], verdict: str) -> None:
    if np.isnan(difference):
        return
    colour, marker, _ = LOOKS[verdict]
    axes.plot(difference, place, marker=marker, markersize=6.5, color=colour, markerfacecolor=_face(verdict), zorder=4)
    if np.isnan(interval[0]):
        return
    left, right = axes.get_xlim()
    low, high = max(interval[0], left), min(interval[1], right)
    axes.plot([low, high], [place, place], color=colour, linewidth=1.5, zorder=3)
    for end, is_inside, arrow in ((low, interval[0] >= left, "<"), (high, interval[1] <= right, ">")):
        mark, size = ("|", 7) if is_inside else (arrow, 5)
        axes.plot(end, place, marker=mark, markersize=size, color=colour, zorder=3, clip_on=False)


def _face(verdict: str) -> str:
    return "white" if verdict == "undecided" else LOOKS[verdict][0]


def _words(pair: Mapping[Hashable, Any], column: str) -> str:
    """The difference, its interval and how sure it is."""
    if not pair["n"]:
        return "no shared seed of equal length"
    difference, low, high = (_quantities.difference(column, pair[name]) for name in ("difference", "low", "high"))
    if np.isnan(pair["low"]):
        return f"{difference}  n = {pair['n']:.0f}, no interval"
    chance = "< 0.001" if pair["p_holm"] < 0.001 else f"= {pair['p_holm']:.2g}"
    needed = f", {pair['seeds_needed']:.0f} seeds would settle it" if pd.notna(pair["seeds_needed"]) else ""
    return f"{difference}  [{low}, {high}]  n = {pair['n']:.0f}\np {chance}{needed}"


def _title(results: Results, pairs: pd.DataFrame, names: dict[str, str], column: str) -> str:
    quantity = _quantities.NAMES.get(column, column)
    if len(pairs) > 1:
        better, same = (int((pairs["verdict"] == verdict).sum()) for verdict in ("better", "equivalent"))
        told = f", {same} {'is' if same == 1 else 'are'} equivalent" if same else ""
        return f"{results.study}: {better} of {len(pairs)} pairs of configurations differ in {quantity} beyond chance{told}"
    pair = pairs.to_dict("records")[0]
    first, second = names[pair["first"]], names[pair["second"]]
    words = {
        "better": f"{first} is better than {second} in {quantity}, beyond chance",
        "equivalent": f"{first} and {second} are equivalent in {quantity}",
        "undecided": f"{first} and {second} cannot be told apart in {quantity}",
    }
    return f"{results.study}: {words[pair['verdict']]}"


def _margin(column: str) -> float:
    """The difference that does not matter: it is known of accuracies only."""
    return MARGIN if column.endswith("_accuracy") else 0.0
