"""Learning curves: how each trial of each arm learned, one small panel per arm."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from sweeper.analysis import progress
from sweeper.analysis.results import Results, arm_labels, at_stage, metric_or_objective, ranked, status_counts
from sweeper.ledger.records import Status
from sweeper.plots import _quantities, _style

MOST_COLUMNS = 4


def frame(results: Results, *, metric: str | None = None, stage: str = "search") -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.progress.learning_curves`.

    Args:
        results: The results of a study.
        metric: One of `sweeper.ledger.records.METRICS`; None means the first objective.
        stage: ``search``, ``confirm``, ``ablation`` or ``all``.

    Raises:
        UnknownNameError: No such metric or stage.
        NoDataError: No epoch has a value of the metric.
    """
    return progress.learning_curves(at_stage(results, stage), metric)


def learning_curves(results: Results, *, metric: str | None = None, stage: str = "search") -> Figure:
    """A figure with a panel per arm: every trial a faint line, the arm's best completed trial a strong one.

    A stopped trial ends with a hollow marker where it was stopped, a failed one with a cross at its last value; a trial
    that failed without any value is counted in the caption. Without any completed trial the curves are drawn and the
    title says so.

    Args:
        results: The results of a study.
        metric: One of `sweeper.ledger.records.METRICS`; None means the first objective.
        stage: ``search``, ``confirm``, ``ablation`` or ``all``.

    Raises:
        UnknownNameError: No such metric or stage.
        NoDataError: No epoch has a value of the metric.
    """
    column = metric_or_objective(results, metric)
    selected = at_stage(results, stage)
    shown = frame(results, metric=metric, stage=stage)
    looks = {arm: look for arm, look in _style.looks(arm_labels(results)).items() if (selected.trials["arm"] == arm).any()}
    num_columns = min(len(looks), MOST_COLUMNS)
    num_rows = math.ceil(len(looks) / num_columns)
    with _style.applied():
        height = 1.6 + (2.2 * num_rows if num_rows > 1 else 3.2)
        picture = _style.figure(width=9.5 if num_columns < MOST_COLUMNS else 11.0, height=height)
        panels = picture.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False).ravel()
        _quantities.scale(panels[0], "y", column, shown["value"].to_list())
        _quantities.scale(panels[0], "x", "epoch", shown["epoch"].to_list())
        panels[0].xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        for place, (panel, (arm, look)) in enumerate(zip(panels, looks.items(), strict=False)):
            _draw(panel, shown[shown["arm"] == arm], look, column)
            panel.set_ylabel(_quantities.label(column) if place % num_columns == 0 else "")
            is_lowest = place + num_columns >= len(looks)
            # The whole label is wider than one of several panels.
            panel.set_xlabel("" if not is_lowest else _quantities.label("epoch") if num_columns < 3 else "epochs")
            panel.tick_params(labelbottom=is_lowest)
        for panel in panels[len(looks) :]:
            panel.remove()
        caption = _caption(selected, shown)
        _style.finish(picture, title=_title(selected, shown, column), caption=caption, handles=_handles(shown))
    return picture


def _draw(panel: Axes, rows: pd.DataFrame, look: _style.Look, column: str) -> None:
    alpha = float(np.clip(6.0 / max(rows["trial"].nunique(), 1), 0.18, 0.5))
    for style, group in rows[~rows["is_best"]].groupby(rows["status"].map(_line_style)):
        lines = [trial[["epoch", "value"]].to_numpy(dtype=float) for _, trial in group.groupby("trial")]
        panel.add_collection(LineCollection(lines, colors=look.colour, linewidths=0.9, alpha=alpha, linestyles=str(style)))
    # A trial of one epoch has no line: a dot shows that it is there.
    ends = rows[rows["is_last"]]
    dots = ends[(ends["epoch"] == 1) & ~ends["status"].isin([Status.STOPPED, Status.FAILED])]
    stopped, failed = ends[ends["status"] == Status.STOPPED], ends[ends["status"] == Status.FAILED]
    panel.scatter(dots["epoch"], dots["value"], s=9, color=look.colour, alpha=0.6, zorder=2.5)
    panel.scatter(
        stopped["epoch"],
        stopped["value"],
        s=13,
        facecolors="white",
        edgecolors=look.colour,
        linewidths=0.8,
        alpha=0.75,
        zorder=2.5,
    )
    panel.scatter(failed["epoch"], failed["value"], s=26, marker="x", color=_style.INK, linewidths=1.2, zorder=3)
    best = rows[rows["is_best"]]
    panel.plot(best["epoch"], best["value"], color=look.colour, linewidth=2.2, zorder=4)
    panel.plot(best["epoch"].tail(1), best["value"].tail(1), color=look.colour, marker=look.marker, markersize=5, zorder=4)
    title = panel.set_title(look.label, loc="left", fontsize=9.5, fontweight="bold", color=look.colour, pad=17)
    title.set_in_layout(False)  # a long name may reach over its panel's edge, and must not narrow all panels
    words = "no completed trial"
    if len(best):
        number = best["trial"].iloc[-1].removeprefix(f"{best['arm'].iloc[-1]}-")
        words = f"best: {number}, {_quantities.number(column, float(best['value'].iloc[-1]))}"
    text = panel.annotate(words, (0.0, 1.0), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points", fontsize=8)
    text.set_in_layout(False)


def _line_style(status: str) -> str:
    return "solid" if status in (Status.COMPLETED, Status.STOPPED, Status.FAILED) else "dotted"


def _handles(shown: pd.DataFrame) -> list[Line2D]:
    grey = "#9a9a9a"
    statuses = set(shown["status"])
    handles = []
    if shown["is_best"].any():
        handles.append(_style.handle("best of its arm", linestyle="-", color="#555555", linewidth=2.2))
    if Status.COMPLETED in statuses:
        handles.append(_style.handle("completed", linestyle="-", color=grey, linewidth=0.9))
    if Status.STOPPED in statuses:
        handles.append(
            _style.handle("stopped here", marker="o", markersize=4, markerfacecolor="white", color=grey, linestyle="-")
        )
    if Status.FAILED in statuses:
        handles.append(_style.handle("failed after this", marker="x", markersize=5, markeredgewidth=1.2))
    if statuses - {Status.COMPLETED, Status.STOPPED, Status.FAILED}:
        handles.append(_style.handle("unfinished", linestyle=":", color=grey))
    return handles


def _title(selected: Results, shown: pd.DataFrame, column: str) -> str:
    name = _quantities.NAMES[column]
    order = ranked(selected)
    if order.empty:
        return f"{selected.study}: {name} over epochs; no completed trial yet"
    best = order.iloc[0]
    value = shown.loc[(shown["trial"] == best["trial"]) & shown["is_last"], "value"]
    ending = f" ends at {_quantities.number(column, float(value.iloc[0]))}" if len(value) else ""
    return f"{selected.study}: {name} over epochs; the best trial, {best['trial']},{ending or ' has no value of it'}"


def _caption(selected: Results, shown: pd.DataFrame) -> str:
    line = _quantities.counts_line(status_counts(selected.trials))
    if absent := progress.trials_without_rows(selected, shown):
        line += " Without any value, so not shown: " + ", ".join(f"{count} {status}" for status, count in absent.items()) + "."
    if not shown["is_best"].any():
        return line
    extreme = "highest" if selected.objectives[0][0] == "max" else "lowest"
    return line + f" Best: the completed trial with the {extreme} {_quantities.NAMES[selected.objective]} at its last epoch."
