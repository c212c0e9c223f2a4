"""Hypervolume: how the Pareto front grew with every completed trial, of the whole study and of each arm alone."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from sweeper.analysis.doubt import hypervolumes
from sweeper.analysis.results import Results, arm_labels, at_stage, status_counts
from sweeper.plots import _quantities, _style

NEARLY = 0.99
"""Share of the last value that counts as nearly all of it."""


def frame(results: Results, *, x: str = "parameters", y: str = "val_accuracy", stage: str = "search") -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.doubt.hypervolumes`.

    Args:
        results: The results of a study.
        x: One of `sweeper.analysis.results.DIRECTIONS`.
        y: Another one.
        stage: ``search``, or another stage.

    Raises:
        UnknownNameError: No such column or stage.
        NoDataError: No completed trial has both values.
    """
    return hypervolumes(at_stage(results, stage), x=x, y=y)


def hypervolume(results: Results, *, x: str = "parameters", y: str = "val_accuracy", stage: str = "search") -> Figure:
    """A figure with the share of the square that the front dominates against the completed trials, and a thin line per arm.

    Its arguments are those of `frame`, which raises what this does.
    """
    shown = frame(results, x=x, y=y, stage=stage)
    looks = {arm: look for arm, look in _style.looks(arm_labels(results)).items() if (shown["arm"] == arm).any()}
    last = len(shown)
    with _style.applied():
        picture = _style.figure(width=9.5, height=4.8)
        axes = picture.add_subplot()
        axes.step(shown["completed"], shown["hypervolume"], where="post", color=_style.INK, linewidth=2.4, zorder=2)
        for arm, look in looks.items():
            own = shown[shown["arm"] == arm]
            ends = [*own["completed"], last]
            heights = [*own["arm_hypervolume"], own["arm_hypervolume"].iloc[-1]]
            axes.step(ends, heights, where="post", color=look.colour, linewidth=1.2, zorder=3)
            axes.plot(last, heights[-1], marker=look.marker, color=look.colour, markersize=6, clip_on=False, zorder=4)
        axes.set_xlim(0, last * 1.01)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("completed trials, in the order in which they ended")
        axes.set_ylabel("hypervolume (share of the square)")
        handles = [_style.handle("all arms", linestyle="-", linewidth=2.4)]
        line: dict[str, Any] = {"linestyle": "-", "linewidth": 1.2}
        handles += [_style.handle(look.label, marker=look.marker, color=look.colour, **line) for look in looks.values()]
        caption = _quantities.counts_line(status_counts(at_stage(results, stage).trials))
        caption += " The square goes from the worst to the best value of any completed trial, counts by their logarithms;"
        caption += " an arm's line is that of its own trials. Numbers of two studies cannot be compared."
        _style.finish(picture, title=_title(results, shown, x, y), caption=caption, handles=handles)
    return picture


def _title(results: Results, shown: pd.DataFrame, x: str, y: str) -> str:
    volumes = shown["hypervolume"]
    place = int(shown.loc[volumes >= NEARLY * volumes.iloc[-1], "completed"].iloc[0])
    of = _quantities.count(len(shown), "completed trial")
    names = f"{_quantities.NAMES.get(y, y)} and {_quantities.NAMES.get(x, x)}"
    return f"{results.study}: the front of {names} was nearly there after {place:,} of {of}"
