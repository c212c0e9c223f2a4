"""Knob importance: which knobs explain how good the trials of each arm were, and how much is left unexplained."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from sweeper.analysis import importance
from sweeper.analysis.results import Results, arm_labels, arms, at_stage, goal, status_counts
from sweeper.plots import _quantities, _style

MOST_KNOBS = 8
"""Knobs shown of each arm."""

LEAST_EXPLAINED = 0.1
"""Below it, bars are hollow: the knobs explain hardly anything of the scores."""


def frame(results: Results, *, column: str | None = None, stage: str = "search") -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.importance.knob_importance`.

    Args:
        results: The results of a study.
        column: What decides how good a trial is; None means the first objective.
        stage: ``search``, or another stage.

    Raises:
        UnknownNameError: No such column or stage.
        NoDataError: No arm has enough trials.
    """
    return importance.knob_importance(at_stage(results, stage), column=column)


def knob_importance(results: Results, *, column: str | None = None, stage: str = "search") -> Figure:
    """A figure with a panel per arm and a bar per knob: by how much shuffling the knob spoils a forest's guesses.

    Lines go from the lowest to the highest of the folds. Bars of an arm whose scores the forest cannot explain are hollow.

    Its arguments are those of `frame`, which raises what this does.
    """
    column = column or results.objective
    goal(results, column)
    shown = frame(results, column=column, stage=stage)
    shown = shown[shown.groupby("arm").cumcount() < MOST_KNOBS]
    looks = {arm: look for arm, look in _style.looks(arm_labels(results)).items() if (shown["arm"] == arm).any()}
    num_rows = math.ceil(len(looks) / 2)
    tallest = int(shown.groupby("arm").size().max())
    with _style.applied():
        picture = _style.figure(width=10.5 if len(looks) > 1 else 7.5, height=1.6 + num_rows * (0.75 + 0.25 * tallest))
        panels = picture.subplots(num_rows, min(len(looks), 2), squeeze=False, sharex=True).reshape(-1)
        for axes, (arm, look) in zip(panels, looks.items(), strict=False):
            _draw(axes, shown[shown["arm"] == arm], look, tallest)
        for axes in panels[len(looks) :]:
            axes.set_visible(False)
        # The panel above an empty place is the last one of its column.
        for axes in panels[max(len(looks) - 2, 0) : len(looks)]:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("error added by shuffling the knob (% of the variance of scores)")
        _style.finish(picture, title=_title(results, shown, column), caption=_caption(results, stage, shown))
    return picture


def _draw(axes: Axes, rows: pd.DataFrame, look: _style.Look, tallest: int) -> None:
    explained = float(rows["explained"].iloc[0])
    is_trusted = explained >= LEAST_EXPLAINED
    bars: dict[str, Any] = {"color": look.colour} if is_trusted else {"facecolor": "none", "edgecolor": look.colour}
    for place, row in enumerate(rows.to_dict("records")):
        axes.barh(place, row["importance"], height=0.62, **bars)
        axes.plot([row["low"], row["high"]], [place, place], color=_style.INK, linewidth=1.0, zorder=3)
    axes.axvline(0.0, color=_style.FAINT, linewidth=0.8)
    _style.name_rows(axes, rows["knob"].to_list())
    axes.set_ylim(tallest - 0.5, -0.5)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_title(look.label, loc="left", pad=18, fontsize=9.5, fontweight="bold")
    words = (
        f"{100 * max(explained, 0.0):.0f} % of the variance explained, {_quantities.count(int(rows['trials'].iloc[0]), 'trial')}"
    )
    axes.annotate(words, (0, 1), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points", fontsize=8, color="#555555")


def _title(results: Results, shown: pd.DataFrame, column: str) -> str:
    first = shown.drop_duplicates("arm")
    trusted = first[first["explained"] >= LEAST_EXPLAINED]
    name = _quantities.NAMES.get(column, column)
    if trusted.empty:
        return f"{results.study}: the knobs explain hardly anything of the {name}"
    counts = trusted["knob"].value_counts()
    best = sorted(counts.index, key=lambda knob: (-counts[knob], knob))[0]
    if len(shown["arm"].unique()) == 1:
        return f"{results.study}: {best} matters most for the {name}"
    among = _quantities.count(int(first["arm"].nunique()), "arm")
    return f"{results.study}: {best} matters most for the {name} in {counts[best]} of {among}"


def _caption(results: Results, stage: str, shown: pd.DataFrame) -> str:
    selected = at_stage(results, stage)
    line = _quantities.counts_line(status_counts(selected.trials))
    line += " A random forest learns how an arm's trials rank from their knobs; a bar is the error that shuffling a knob adds on"
    line += f" trials left out of the learning, a line goes from the lowest to the highest of {importance.MOST_FOLDS} parts."
    line += " Trials rank by how far they came, then by what they had there; diverged ones are last, other failed ones left out."
    if (shown["explained"] < LEAST_EXPLAINED).any():
        line += " Hollow: hardly anything is explained, so the bars mean nothing."
    if missing := [arm for arm in arms(selected) if arm not in set(shown["arm"])]:
        line += f" Too few trials, or nothing that differs: {', '.join(missing)}."
    if (shown.groupby("arm").size() == MOST_KNOBS).any():
        line += f" At most {MOST_KNOBS} knobs are shown."
    return line
