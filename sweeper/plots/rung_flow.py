"""Rung flow: how far the trials of each arm came, and who was stopped, paused or failed where."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from sweeper.analysis.progress import rungs
from sweeper.analysis.results import Results, arm_labels, at_stage, status_counts
from sweeper.errors import NoDataError
from sweeper.plots import _quantities, _style

GREY = "#6f6f6f"
"""Stands for every arm's colour in the legend."""

PALEST, DARKEST = 0.18, 0.6
"""How much colour the trials have that ended at the first and at the last rung; completed ones have all of it."""

ELSEWHERE: dict[str, dict[str, Any]] = {
    "failed": {"facecolor": "white", "edgecolor": _style.INK, "hatch": "xxxx"},
    "unfinished": {"facecolor": "white", "edgecolor": _style.FAINT, "hatch": "...."},
}
"""How trials are drawn that did not end at a rung."""


def frame(results: Results, *, stage: str = "search") -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.progress.rungs`.

    Args:
        results: The results of a study.
        stage: ``search``, ``confirm``, ``ablation`` or ``all``.

    Raises:
        UnknownNameError: No such stage.
        NoDataError: No trial has begun.
    """
    table = rungs(at_stage(results, stage))
    if table.empty:
        raise NoDataError(f"study '{results.study}' has no trial that trained an epoch yet. Let a trial finish its first epoch.")
    return table


def rung_flow(results: Results, *, stage: str = "search") -> Figure:
    """A figure with a bar per arm, as long as the number of its trials, those that came furthest at its left end.

    Completed trials have the arm's full colour. Those that were stopped at a rung, or wait there, are the paler the earlier
    it was; waiting ones are hatched. The columns at the right say how many trials reached each rung.

    Args:
        results: The results of a study.
        stage: ``search``, ``confirm``, ``ablation`` or ``all``.

    Raises:
        UnknownNameError: No such stage.
        NoDataError: No trial has begun.
    """
    shown = frame(results, stage=stage)
    levels = sorted(int(epoch) for epoch in shown["epoch"].unique())
    looks = {arm: look for arm, look in _style.looks(arm_labels(results)).items() if (shown["arm"] == arm).any()}
    with _style.applied():
        picture = _style.figure(width=10.5, height=2.2 + 0.46 * len(looks))
        axes = picture.add_subplot()
        for place, (arm, look) in enumerate(looks.items()):
            _draw(axes, place, shown[shown["arm"] == arm], levels, look.colour)
        totals = shown.groupby("arm")[["stopped", "paused", "failed", "unfinished", "completed"]].sum()
        axes.set_xlim(0, float(totals.sum(axis=1).max()))
        axes.set_xlabel("trials")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _style.name_rows(axes, [look.label for look in looks.values()])
        _write_reached(axes, shown, list(looks), levels)
        waiting = f"{int(totals['paused'].sum()):,} wait at a rung" if totals["paused"].any() else ""
        caption = _quantities.counts_line(status_counts(at_stage(results, stage).trials), unfinished=waiting)
        caption += " Rungs are the numbers of epochs after which trials were stopped or made to wait."
        _style.finish(picture, title=_title(results, totals), caption=caption, handles=_handles(shown, levels))
    return picture


def _draw(axes: Axes, place: int, rows: pd.DataFrame, levels: list[int], colour: str) -> None:
    """The bar of one arm, its parts from the left to the right."""
    parts: list[tuple[int, dict[str, Any]]] = [(int(rows["completed"].sum()), {"facecolor": colour, "edgecolor": "white"})]
    for row in reversed(rows.to_dict("records")):
        parts += [(row[status], _look(colour, row["epoch"], levels, status)) for status in ("stopped", "paused")]
    parts += [(int(rows[status].sum()), look) for status, look in ELSEWHERE.items()]
    left = 0
    for count, look in parts:
        if count:
            axes.barh(place, count, left=left, height=0.68, linewidth=0.6, **look)
            _write_count(axes, left + count / 2, place, count, look)
        left += count


def _write_count(axes: Axes, across: float, place: int, count: int, look: dict[str, Any]) -> None:
    is_dark = sum(weight * part for weight, part in zip((0.3, 0.59, 0.11), to_rgb(look["facecolor"]), strict=True)) < 0.55
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8} if look.get("hatch") else None
    axes.text(
        across,
        place,
        str(count),
        ha="center",
        va="center",
        fontsize=7.5,
        color="white" if is_dark else _style.INK,
        bbox=box,
    )


def _look(colour: str, level: int, levels: list[int], status: str) -> dict[str, Any]:
    """How the trials are drawn that were stopped at a rung, or wait there."""
    share = PALEST + (DARKEST - PALEST) * (levels.index(level) / max(len(levels) - 2, 1))
    pale = tuple(1 - min(share, DARKEST) * (1 - part) for part in to_rgb(colour))
    return {"facecolor": pale, "edgecolor": _style.INK if status == "paused" else "white"} | (
        {"hatch": "////"} if status == "paused" else {}
    )


def _write_reached(axes: Axes, shown: pd.DataFrame, arms: list[str], levels: list[int]) -> None:
    """Beside each bar, how many of its trials reached each rung, in a column per rung."""
    reached = {(row["arm"], row["epoch"]): f"{row['reached']:,}" for row in shown.to_dict("records")}
    across = axes.get_yaxis_transform()
    last = 1.045 + 0.048 * (len(levels) - 1)
    above: dict[str, Any] = {"xycoords": axes.transAxes, "textcoords": "offset points", "va": "bottom", "fontsize": 8}
    axes.annotate("reached epoch", (1.02, 1.0), xytext=(0, 14), color="#555555", **above)
    for column, level in enumerate(levels):
        right = last - 0.048 * (len(levels) - 1 - column)
        axes.annotate(f"{level:,}", (right, 1.0), xytext=(0, 2), ha="right", fontweight="bold", **above)
        for place, arm in enumerate(arms):
            words = reached.get((arm, level), "–")
            axes.text(right, place, words, transform=across, ha="right", va="center", fontsize=8)


def _handles(shown: pd.DataFrame, levels: list[int]) -> list[Patch]:
    handles = [Patch(facecolor=GREY, label="completed")] if shown["completed"].any() else []
    for level in reversed(levels):
        rows = shown[shown["epoch"] == level]
        for status, words in (("stopped", "stopped at"), ("paused", "waits at")):
            if rows[status].any():
                handles.append(Patch(label=f"{words} {level:,}", linewidth=0.6, **_look(GREY, level, levels, status)))
    for status, look in ELSEWHERE.items():
        if shown[status].any():
            handles.append(Patch(label=status, linewidth=0.6, **look))
    return handles


def _title(results: Results, totals: pd.DataFrame) -> str:
    whole = totals.sum()
    trials = _quantities.count(int(whole.sum()), "trial")
    parts = [f"{int(whole['completed']):,} of {trials} were trained to the end"]
    if whole["stopped"]:
        parts.append(f"{int(whole['stopped']):,} stopped early")
    if whole["paused"]:
        parts.append(f"{int(whole['paused']):,} waiting")
    return f"{results.study}: " + ", ".join(parts)
