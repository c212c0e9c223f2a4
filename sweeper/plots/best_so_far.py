"""Best so far: the best value reached against the epochs spent, over all arms and in each arm."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweeper.analysis import progress
from sweeper.analysis.results import Results, arm_labels, at_stage, goal, metric_or_objective, status_counts
from sweeper.plots import _quantities, _style

EARLY_SHARE = 0.1
"""Share of an arm's epochs that may lie beyond the vertical axis, so that the climb from chance does not flatten the rest."""


def frame(results: Results, *, metric: str | None = None, stage: str = "search") -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.progress.best_so_far`.

    Args:
        results: The results of a study.
        metric: One of `sweeper.ledger.records.METRICS`; None means the first objective.
        stage: ``search``, ``confirm``, ``ablation`` or ``all``.

    Raises:
        UnknownNameError: No such metric or stage.
        NoDataError: No epoch has a value of the metric.
    """
    return progress.best_so_far(at_stage(results, stage), metric)


def best_so_far(results: Results, *, metric: str | None = None, stage: str = "search") -> Figure:
    """A figure of two panels: the best value against the epochs of the whole study, and of each arm against the arm's own epochs.

    Every epoch of every trial counts with its value, even if the trial was stopped or failed later: it was the best known
    value at that moment. So this figure needs no completed trial.

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
    looks = {arm: look for arm, look in _style.looks(arm_labels(results)).items() if (shown["arm"] == arm).any()}
    with _style.applied():
        picture = _style.figure(width=11.0, height=5.0)
        whole, own = picture.subplots(1, 2, sharey=True)
        for axes, count in ((whole, "epochs_spent"), (own, "arm_epochs_spent")):
            for arm, look in looks.items():
                _draw_arm(axes, shown[shown["arm"] == arm].dropna(subset="arm_best"), count, look)
        whole.plot(shown["epochs_spent"], shown["best"], drawstyle="steps-post", color=_style.INK, linewidth=2.6, zorder=1.5)
        hidden = _zoom(whole, shown, column, goal(results, column))
        whole.set_xlabel("spent on the whole study (epochs)")
        own.set_xlabel("spent on the arm (epochs)")
        whole.set_title("all arms", loc="left", fontsize=9.5, fontweight="bold")
        own.set_title("each arm by its own epochs", loc="left", fontsize=9.5, fontweight="bold")
        own.tick_params(labelleft=False)
        handles = [_style.handle("best of all arms", linestyle="-", color=_style.INK, linewidth=2.6)]
        handles += [
            _style.handle(look.label, linestyle="-", marker=look.marker, markersize=5, color=look.colour)
            for look in looks.values()
        ]
        caption = _quantities.counts_line(status_counts(selected.trials))
        caption += " A trial counts with its value after each of its epochs; markers: the arm's best value, where it was reached."
        caption += f" {_quantities.count(hidden, 'early epoch')} beyond the vertical axis." if hidden else ""
        _style.finish(picture, title=_title(selected, shown, column), caption=caption, handles=handles)
    return picture


def _draw_arm(axes: Axes, rows: pd.DataFrame, count: str, look: _style.Look) -> None:
    if rows.empty:
        return
    axes.plot(rows[count], rows["arm_best"], drawstyle="steps-post", color=look.colour, linewidth=1.4, alpha=0.9, zorder=2)
    reached = rows[rows["arm_best"] == rows["arm_best"].iloc[-1]].iloc[0]
    axes.plot(
        [reached[count]],
        [reached["arm_best"]],
        marker=look.marker,
        markersize=7,
        color=look.colour,
        markeredgecolor="white",
        markeredgewidth=0.5,
        zorder=3,
    )


def _zoom(axes: Axes, shown: pd.DataFrame, column: str, direction: str) -> int:
    """Set the vertical axis so that the first climb may leave it; gives the number of epochs whose best lies beyond."""
    arm_total = shown.groupby("arm")["arm_epochs_spent"].transform("max")
    later = shown.loc[shown["arm_epochs_spent"] > EARLY_SHARE * arm_total, "arm_best"].dropna()
    values = shown["arm_best"].dropna() if later.empty else later
    _quantities.scale(axes, "y", column, values.to_list())
    low, high = axes.get_ylim()
    beyond = shown["arm_best"] < low if direction == "max" else shown["arm_best"] > high
    return int(beyond.sum())


def _title(selected: Results, shown: pd.DataFrame, column: str) -> str:
    best = shown["best"].iloc[-1]
    first = shown[shown["value"] == best].iloc[0]
    reached, total = int(first["epochs_spent"]), len(shown)
    return (
        f"{selected.study}: best {_quantities.NAMES[column]} so far {_quantities.number(column, float(best))}, "
        f"reached by {first['trial']} after {reached:,} of {_quantities.count(total, 'epoch')}"
    )
