"""Seed strip: what each repeated configuration reached with every seed, its mean, and how sure the mean is."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweeper.analysis.results import Results, arm_labels, at_stage, goal, status_counts
from sweeper.analysis.seeds import paired_differences, repetitions, seeds_table
from sweeper.errors import NoDataError
from sweeper.ledger.records import Stage
from sweeper.plots import _quantities, _seeds, _style

MOST_JOINED = 6
"""Configurations up to which the dots of a seed are joined by a line; more lines than that hide the dots."""

MOST_BY_CHANCE = 0.05
"""Largest p value at which two configurations count as different, as for an interval of 95 %."""

LANES = (-0.34, 0.12)
"""From the first to the last seed of a row, as shares of the row; below zero is up."""

INTERVAL = 0.32
"""Where in its row the interval is drawn."""

REACH = 1.0
"""How far the axis extends beyond the dots to show intervals, in ranges of the dots: an interval over two seeds is huge."""


def frame(results: Results, *, stage: str | None = None, column: str | None = None) -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.seeds.repetitions`.

    Args:
        results: The results of a study.
        stage: ``ablation`` or ``confirm``; None for the one whose seeds say most.
        column: One of `sweeper.analysis.results.DIRECTIONS`; None means the first objective, or what confirmed trials are judged
            by.

    Raises:
        UnknownNameError: No such stage or column.
        NoDataError: No repetition is completed with a value.
    """
    stage, column = _seeds.asked(results, stage, column)
    rows = repetitions(results, stage=stage, column=column)
    if rows["value"].notna().any():
        return rows
    chosen = column or results.objective
    counts = ", ".join(f"{count} {status}" for status, count in status_counts(rows).items() if count) or "none"
    advice = "Choose another column or stage, or let more repetitions finish."
    if rows.empty and stage == Stage.ABLATION:
        advice = f"Repeat trials with: sweeper ablate {results.named} --seeds 3"
    raise NoDataError(
        f"study '{results.study}' has no values of {chosen} over seeds to show (repetitions at this stage: {counts}). {advice}"
    )


def seed_strip(results: Results, *, stage: str | None = None, column: str | None = None) -> Figure:
    """A figure with a row per repeated configuration, best mean first: a dot per seed, the mean and its interval below them.

    A seed has the same marker and the same height in every row, and up to `MOST_JOINED` rows a line joins its dots: lines
    that run side by side show that a seed is good or bad for all. Repetitions that failed or are unfinished are counted
    beside the row's name.

    Args:
        results: The results of a study.
        stage: See `frame`.
        column: See `frame`.

    Raises:
        UnknownNameError: No such stage or column.
        NoDataError: No repetition is completed with a value.
    """
    stage, column = _seeds.asked(results, stage, column)
    shown = frame(results, stage=stage, column=column).dropna(subset="value")
    rows = seeds_table(results, stage=stage, column=column)
    looks = _style.looks(arm_labels(results))
    lanes = _lanes(shown)
    heights = shown["parent"].map({parent: place for place, parent in enumerate(rows["parent"])}) + shown["seed"].map(lanes)
    shown = shown.assign(height=heights)
    with _style.applied():
        picture = _style.figure(width=10.0, height=1.9 + 0.8 * len(rows))
        axes = picture.add_subplot()
        limits = _limits(rows, shown["value"])
        _quantities.scale(axes, "x", column, list(limits))
        if len(rows) <= MOST_JOINED:
            for _, joined in shown.sort_values("height").groupby("seed"):
                axes.plot(joined["value"], joined["height"], color=_style.FAINT, linewidth=0.7, alpha=0.6, zorder=1.5)
        for dot in shown.to_dict("records"):
            look = looks[dot["arm"]]
            axes.plot(
                dot["value"],
                dot["height"],
                marker=_marker(lanes, dot["seed"]),
                markersize=6.5,
                color=look.colour,
                markeredgecolor="white",
                markeredgewidth=0.5,
                zorder=3,
            )
        for place, row in enumerate(rows.to_dict("records")):
            _draw_interval(axes, place, row["mean"], row["low"], row["high"])
        _name_rows(axes, rows, looks, column)
        caption = _caption(results, stage, column, rows, lanes, axes)
        _style.finish(picture, title=_title(results, column, rows), caption=caption, handles=_handles(rows, lanes))
    return picture


def _lanes(shown: pd.DataFrame) -> dict[int, float]:
    """The height of each seed within a row: equal values of two seeds never cover each other."""
    seeds = sorted(int(seed) for seed in shown["seed"].unique())
    if len(seeds) == 1:
        return {seeds[0]: sum(LANES) / 2}
    return dict(zip(seeds, np.linspace(*LANES, len(seeds)).tolist(), strict=True))


def _marker(lanes: dict[int, float], seed: int) -> str:
    """The seed's own marker; with more seeds than markers all are dots, told apart by their height."""
    return _style.MARKERS[list(lanes).index(seed)] if len(lanes) <= len(_style.MARKERS) else "o"


def _limits(rows: pd.DataFrame, values: pd.Series) -> tuple[float, float]:
    """The range of the axis: all dots, and the intervals as far as they reach no further than the dots do already."""
    low, high = float(values.min()), float(values.max())
    reach = REACH * (high - low)
    ends = rows[["low", "high"]].dropna()
    return min([low, *ends["low"].clip(lower=low - reach)]), max([high, *ends["high"].clip(upper=high + reach)])


def _draw_interval(axes: Axes, place: int, mean: float, low: float, high: float) -> None:
    """The mean as a diamond on its interval, whose ends are bars, or arrows where the interval leaves the axis."""
    if np.isnan(mean):
        return
    height, (left, right) = place + INTERVAL, axes.get_xlim()
    axes.plot(mean, height, marker="D", markersize=5.5, color=_style.INK, zorder=4)
    if np.isnan(low):
        return
    ends = [max(low, left), min(high, right)]
    axes.plot(ends, [height, height], color=_style.INK, linewidth=1.3, zorder=3.5)
    for end, is_inside, arrow in ((ends[0], low >= left, "<"), (ends[1], high <= right, ">")):
        marker, size = ("|", 7) if is_inside else (arrow, 5)
        axes.plot(end, height, marker=marker, markersize=size, color=_style.INK, zorder=3.5, clip_on=False)


def _name_rows(axes: Axes, rows: pd.DataFrame, looks: dict[str, _style.Look], column: str) -> None:
    names = []
    for place, row in enumerate(rows.to_dict("records")):
        counts = [f"n = {row['n']}"]
        counts += [f"{row[key]} {word}" for key, word in (("failures", "failed"), ("unfinished", "unfinished")) if row[key]]
        names.append(f"{looks[row['arm']].label}\n{row['parent']}\n" + ", ".join(counts))
        words = f"{_quantities.number(column, row['mean'])}\nsd {_quantities.difference(column, row['sd'])}"
        axes.text(1.012, place, words, transform=axes.get_yaxis_transform(), va="center", fontsize=8, linespacing=1.4)
    _style.name_rows(axes, names)
    for place in range(1, len(rows)):
        axes.axhline(place - 0.5, color="#e8e8e8", linewidth=0.7, zorder=0.5)


def _handles(rows: pd.DataFrame, lanes: dict[int, float]) -> list[Line2D]:
    grey = "#8f8f8f"
    is_joined = 1 < len(rows) <= MOST_JOINED
    line = {"linestyle": "-", "linewidth": 0.7} if is_joined else {}
    if len(lanes) > len(_style.MARKERS):
        handles = [_style.handle("a seed", marker="o", color=grey, **line)]
    else:
        handles = [_style.handle(f"seed {seed}", marker=_marker(lanes, seed), color=grey, **line) for seed in lanes]
    style = {"linestyle": "-", "linewidth": 1.3} if rows["low"].notna().any() else {}
    name = "mean, 95 % interval" if style else "mean"
    return [*handles, _style.handle(name, marker="D", markersize=5.5, **style)]


def _title(results: Results, column: str, rows: pd.DataFrame) -> str:
    best = rows.iloc[0]
    value = _quantities.number(column, best["mean"])
    over = _quantities.count(int(best["n"]), "seed")
    if len(rows) == 1:
        return f"{results.study}: {best['parent']} has a mean {_quantities.NAMES[column]} of {value} over {over}"
    return f"{results.study}: {best['parent']} has the best mean {_quantities.NAMES[column]}, {value} over {over}"


def _caption(results: Results, stage: str, column: str, rows: pd.DataFrame, lanes: dict[int, float], axes: Axes) -> str:
    line = _quantities.counts_line(status_counts(at_stage(results, stage).trials), failed="not shown", unfinished="not shown")
    if len(lanes) > 1:
        line += f" The seeds of a row stand in order, from {min(lanes)} at the top to {max(lanes)}."
    line += " Right: mean and standard deviation over seeds"
    line += " (percentage points)." if column.endswith("_accuracy") else "."
    if (rows["n"] < 2).any():
        line += " An interval needs two seeds."
    left, right = axes.get_xlim()
    if ((rows["low"] < left) | (rows["high"] > right)).any():
        line += " Intervals that leave the axis end in arrows: too few seeds for what they vary."
    return line + _lead(results, stage, column, rows)


def _lead(results: Results, stage: str, column: str, rows: pd.DataFrame) -> str:
    """What the seeds shared by the first two rows say about the difference between them."""
    if len(rows) < 2:
        return ""
    pair = paired_differences(results, stage=stage, column=column).iloc[0]
    if rows["max_epochs"].iloc[0] != rows["max_epochs"].iloc[1]:
        lengths = " and ".join(f"{length:.0f}" for length in rows["max_epochs"].iloc[:2])
        return f" {pair['first']} and {pair['second']} were trained for {lengths} epochs, so they are not compared."
    if np.isnan(pair["p"]):
        return ""
    # Over the seeds both completed the order may be the other way round.
    is_first = (pair["difference"] > 0) == (goal(results, column) == "max")
    ahead, behind = ("first", "second") if is_first else ("second", "first")
    sign = 1.0 if pair["difference"] > 0 else -1.0
    low, high = sorted((sign * pair["low"], sign * pair["high"]))
    by, low, high = (_quantities.difference(column, value) for value in (abs(pair["difference"]), low, high))
    verdict = "" if pair["p_holm"] <= MOST_BY_CHANCE else ", so these seeds do not tell them apart"
    return (
        f" Over the {_quantities.count(int(pair['n']), 'seed')} both completed, {pair[ahead]} is ahead of {pair[behind]} by {by} "
        f"on average (95 % interval {low} to {high}; paired t test, Holm-adjusted p\u00a0=\u00a0{pair['p_holm']:.2g}){verdict}."
    )
