"""Slices: the score of each trial against the most important knobs of its arm."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from sweeper.analysis import importance
from sweeper.analysis.results import Results, arm_labels, at_stage, goal, status_counts
from sweeper.ledger.records import Status
from sweeper.plots import _quantities, _style

MOST_KNOBS = 4
"""Knobs shown of each arm."""

WIDE = 20.0
"""A knob is on a logarithmic axis when its largest value is so many times its smallest, and its values fill that axis."""

LONGEST = 14
"""Characters of a choice beneath the axis."""


def frame(results: Results, *, column: str | None = None, stage: str = "search", knobs: int = MOST_KNOBS) -> pd.DataFrame:
    """What the picture shows: one row per trial and knob.

    Args:
        results: The results of a study.
        column: What decides how good a trial is; None means the first objective.
        stage: ``search``, or another stage.
        knobs: Most knobs of each arm.

    Returns:
        Columns ``arm knob trial status value score``, by arm, then by the importance of the knob. ``value`` is the knob's,
        ``score`` is the column at the trial's last epoch. Trials without the knob, or without a score, have no row for it;
        neither have failed and unfinished ones.

    Raises:
        UnknownNameError: No such column or stage.
        NoDataError: No arm has enough trials.
    """
    column = column or results.objective
    selected = at_stage(results, stage)
    ranking = importance.knob_importance(selected, column=column)
    trials = selected.trials.set_index("trial")
    trials = trials[trials["status"].isin(importance.RANKED) & np.isfinite(trials[column].astype(float))]
    found = []
    for arm, rows in ranking.groupby("arm"):
        table = importance.knob_table(selected, str(arm))
        for knob in rows["knob"].iloc[:knobs]:
            values = table[knob].dropna()
            values = values[values.index.isin(trials.index)]
            own = trials.loc[values.index]
            found.append(
                pd.DataFrame(
                    {"arm": arm, "knob": knob, "status": own["status"], "value": values, "score": own[column].astype(float)}
                )
            )
    table = pd.concat(found).rename_axis("trial").reset_index()
    return table[["arm", "knob", "trial", "status", "value", "score"]]


def slices(results: Results, *, column: str | None = None, stage: str = "search", is_zoomed: bool = True) -> Figure:
    """A figure with a row of panels per arm, the most important knob first: a dot per trial, stopped ones hollow.

    Args:
        results: The results of a study.
        column: What decides how good a trial is; None means the first objective.
        stage: ``search``, or another stage.
        is_zoomed: Whether trials far worse than the completed ones become arrows at the edge instead of squeezing the rest.

    Raises:
        UnknownNameError: No such column or stage.
        NoDataError: No arm has enough trials.
    """
    column = column or results.objective
    shown = frame(results, column=column, stage=stage)
    looks = {arm: look for arm, look in _style.looks(arm_labels(results)).items() if (shown["arm"] == arm).any()}
    most = int(shown.groupby("arm")["knob"].nunique().max())
    num_outside = 0
    with _style.applied():
        picture = _style.figure(width=max(2.6 * most + 1.4, 6.5), height=1.5 + 2.05 * len(looks))
        grid = picture.subplots(len(looks), most, squeeze=False, sharey="row")
        for panels, (arm, look) in zip(grid, looks.items(), strict=True):
            rows = shown[shown["arm"] == arm]
            trials = rows.drop_duplicates("trial")
            main = trials.loc[trials["status"] == Status.COMPLETED, "score"] if is_zoomed else trials["score"].iloc[:0]
            limits = _quantities.window(trials["score"], main, main.iloc[:0], goal(results, column))
            num_outside += int((~trials["score"].between(*limits)).sum())
            _quantities.scale(panels[0], "y", column, list(limits))
            panels[0].set_ylabel(_quantities.label(column), fontsize=8)
            panels[0].set_title(look.label, loc="left", fontsize=9.5, fontweight="bold")
            for axes, (knob, dots) in zip(panels, rows.groupby("knob", sort=False), strict=False):
                _draw(axes, dots, look, limits)
                axes.set_xlabel(str(knob), fontsize=8.5)
            for axes in panels[rows["knob"].nunique() :]:
                axes.set_visible(False)
        caption = _quantities.counts_line(
            status_counts(at_stage(results, stage).trials),
            stopped="hollow: what they had when they were stopped",
            failed="not shown",
            unfinished="not shown",
        )
        caption += (
            " Knobs from the most important one on, see knob_importance; a knob may look good because others were good beside it."
        )
        if num_outside:
            caption += f" {_quantities.count(num_outside, 'trial')} beyond the vertical axis, drawn as arrows at its edge."
        _style.finish(picture, title=_title(results, shown, column), caption=caption)
    return picture


def _draw(axes: Axes, dots: pd.DataFrame, look: _style.Look, limits: tuple[float, float]) -> None:
    across = _across(axes, dots["value"])
    up, is_completed = dots["score"].to_numpy(float), (dots["status"] == Status.COMPLETED).to_numpy(bool)
    bottom, top = axes.get_ylim()
    is_inside = (up >= limits[0]) & (up <= limits[1])
    edge = np.where(up < limits[0], bottom + 0.03 * (top - bottom), top - 0.03 * (top - bottom))
    for is_full in (False, True):
        style: dict[str, Any] = {"facecolors": look.colour, "edgecolors": "white", "linewidths": 0.4}
        if not is_full:
            style = {"facecolors": "none", "edgecolors": look.colour, "linewidths": 0.8}
        chosen = is_inside & (is_completed == is_full)
        axes.scatter(across[chosen], up[chosen], s=22, marker=look.marker, alpha=0.75, **style)
        for is_low, marker in ((True, "v"), (False, "^")):
            chosen = ~is_inside & (is_completed == is_full) & ((up < limits[0]) == is_low)
            axes.scatter(across[chosen], edge[chosen], s=14, marker=marker, alpha=0.6, **style)


def _across(axes: Axes, values: pd.Series) -> npt.NDArray[np.float64]:
    """Where the trials stand, on an axis of numbers, or of choices in the order of the alphabet, side by side."""
    axes.tick_params(axis="x", labelsize=7.5)
    axes.tick_params(axis="y", labelsize=7.5)
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        numbers = values.astype(float).to_numpy()
        is_wide = numbers.min() > 0 and numbers.max() / numbers.min() >= WIDE
        if is_wide and (numbers**2 < numbers.min() * numbers.max()).mean() >= 0.2:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(numticks=6))
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            is_whole = bool((numbers == numbers.round()).all())
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=is_whole))
        return np.asarray(numbers, dtype=float)
    names = values.map(lambda value: str(value).lower() if isinstance(value, bool) else str(value))
    choices = sorted(names.unique())
    axes.set_xticks(range(len(choices)), [_short(name) for name in choices], rotation=30 if len(choices) > 3 else 0)
    axes.set_xlim(-0.5, len(choices) - 0.5)
    places = names.map(choices.index).to_numpy(float)
    # Side by side in the order in which they ran, so that equal pictures stay equal.
    rank = names.groupby(names).cumcount().to_numpy() / names.map(names.value_counts()).to_numpy()
    return np.asarray(places + 0.5 * (rank - 0.5), dtype=float)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _title(results: Results, shown: pd.DataFrame, column: str) -> str:
    name = _quantities.NAMES.get(column, column)
    num_arms = shown["arm"].nunique()
    if num_arms == 1:
        return f"{results.study}: {name} against the knobs of {shown['arm'].iloc[0]} that matter most"
    return f"{results.study}: {name} against the knobs that matter most in each of {num_arms} arms"
