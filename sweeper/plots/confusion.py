"""Confusion: what images of each class were taken for, a matrix per confirmed configuration."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweeper.analysis import predictions
from sweeper.analysis.results import Results
from sweeper.plots import _heat, _predictions, _quantities, _style

MOST_WITH_NUMBERS = 20
"""Classes up to which every cell has its number and every class its name."""

LONGEST = 14
"""Characters of the name of a class."""


def frame(results: Results, *, split: str | None = None) -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.predictions.confusion`.

    Args:
        results: The results of a study.
        split: ``test`` or ``validation``; None means the test split where there are predictions of it.

    Raises:
        UnknownNameError: No such split.
        NoDataError: There are no predictions of it.
    """
    return predictions.confusion(results, split)


def confusion(results: Results, *, split: str | None = None) -> Figure:
    """A figure with a heat map per confirmed configuration: a row per class, and in it the shares of what it was taken for.

    Args:
        results: The results of a study.
        split: See `frame`, which raises what this does.
    """
    shown = frame(results, split=split)
    given, names, _ = _predictions.found(results, split)
    classes = [_predictions.short(name, LONGEST) for name in predictions.classes(results, given)]
    is_small = len(classes) <= MOST_WITH_NUMBERS
    across = min(len(names), 2)
    size = 1.3 + 0.34 * len(classes) if is_small else 5.0
    with _style.applied():
        picture = _style.figure(
            width=max(across * (size + 0.6), 6.5), height=1.3 + math.ceil(len(names) / across) * (0.85 * size + 0.5)
        )
        panels = picture.subplots(math.ceil(len(names) / across), across, squeeze=False).reshape(-1)
        for axes, (parent, name) in zip(panels, names.items(), strict=False):
            own = shown[shown["parent"] == parent]
            shares = own.pivot(index="label", columns="guess", values="share").to_numpy(float)
            texts = [["" if np.isnan(value) or value < 0.005 else f"{100 * value:.0f}" for value in row] for row in shares]
            _heat.draw(axes, shares, rows=classes, columns=classes, texts=texts if is_small else None, font_size=7.0)
            if not is_small:
                _thin_out(axes, classes)
            right = own.loc[own["label"] == own["guess"], "images"].sum() / own["images"].sum()
            axes.set_title(f"{_predictions.short(name, 26)}: {100 * right:.1f} %", loc="left", fontsize=9.5, fontweight="bold")
            axes.set_xlabel("taken for", fontsize=8.5)
            axes.set_ylabel("is", fontsize=8.5)
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        caption = _predictions.caption(results, given, split, "pooled")
        caption += " Beside each name: % right. Numbers: % of the images of the row's class; shares that round to 0 are left out."
        _style.finish(picture, title=_title(results, shown, classes), caption=caption)
    return picture


def _thin_out(axes: Axes, classes: list[str]) -> None:
    """Name every n-th class only, so that names do not overlap."""
    step = math.ceil(len(classes) / 25)
    places = range(0, len(classes), step)
    axes.set_xticks(places, classes[::step], fontsize=7, rotation=90, ha="center")
    axes.set_yticks(places, classes[::step], fontsize=7)
    axes.grid(visible=False, which="minor")


def _title(results: Results, shown: pd.DataFrame, classes: list[str]) -> str:
    wrong = shown[shown["label"] != shown["guess"]].groupby(["label", "guess"])["images"].sum()
    if not wrong.sum():
        return f"{results.study}: no image was taken for another class"
    worst = wrong.reset_index().nlargest(1, "images").to_dict("records")[0]
    label, guess = worst["label"], worst["guess"]
    share = _quantities.percent(float(wrong.max() / wrong.sum()))
    return f"{results.study}: the commonest error takes {classes[label]} for {classes[guess]}, {share} of all errors"
