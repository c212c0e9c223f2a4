"""Class accuracy: how many images of each class every confirmed configuration gets right, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from sweeper.analysis import predictions
from sweeper.analysis.results import Results
from sweeper.plots import _predictions, _quantities, _style

MOST_CLASSES = 30
"""Rows of a figure: the hardest classes."""

HEIGHT = 0.11
"""Inches for each configuration in a row."""


DOT: Any = {"markersize": 5.5, "markeredgecolor": "white", "markeredgewidth": 0.4, "zorder": 3}


def frame(results: Results, *, split: str | None = None) -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.predictions.class_accuracy`.

    Args:
        results: The results of a study.
        split: ``test`` or ``validation``; None means the test split where there are predictions of it.

    Raises:
        UnknownNameError: No such split.
        NoDataError: There are no predictions of it.
    """
    return predictions.class_accuracy(results, split)


def class_accuracy(results: Results, *, split: str | None = None) -> Figure:
    """A figure with a row per class, the hardest one on top: a marker per configuration on its 95 % interval.

    Args:
        results: The results of a study.
        split: See `frame`, which raises what this does.
    """
    table = frame(results, split=split)
    given, names, looks = _predictions.found(results, split)
    classes = predictions.classes(results, given)
    order = table.groupby("label")["accuracy"].mean().sort_values(kind="stable").index.to_list()
    shown = table[table["label"].isin(order[:MOST_CLASSES])]
    rows = order[:MOST_CLASSES]
    lanes = dict(zip(names, np.linspace(-0.32, 0.32, len(names)) if len(names) > 1 else [0.0], strict=True))
    with _style.applied():
        picture = _style.figure(width=9.5, height=1.9 + len(rows) * (0.16 + HEIGHT * max(len(names), 2)))
        axes = picture.add_subplot()
        for dot in shown.to_dict("records"):
            look, height = looks[dot["parent"]], rows.index(dot["label"]) + lanes[dot["parent"]]
            axes.plot([dot["low"], dot["high"]], [height, height], color=look.colour, linewidth=1.1, alpha=0.7, zorder=2)
            axes.plot(dot["accuracy"], height, marker=look.marker, color=look.colour, **DOT)
        images = table.groupby("label")["images"].max()
        _style.name_rows(axes, [f"{classes[label]}\n{_quantities.count(int(images[label]), 'image')}" for label in rows])
        for place in range(1, len(rows)):
            axes.axhline(place - 0.5, color="#e8e8e8", linewidth=0.7, zorder=0.5)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}"))
        axes.set_xlabel("accuracy on the images of the class (%)")
        handles = [
            _style.handle(names[parent], marker=looks[parent].marker, color=looks[parent].colour, linestyle="-", linewidth=1.1)
            for parent in names
        ]
        caption = _predictions.caption(results, given, split, "their mean")
        caption += " Lines: Wilson's 95 % intervals of one training on so many images; more seeds make them no shorter."
        if len(rows) < len(order):
            caption += f" The {len(rows)} hardest of {len(order)} classes."
        hardest = table[table["label"] == order[0]]["accuracy"].mean()
        title = f"{results.study}: {classes[order[0]]} is the hardest class, {100 * hardest:.1f} % right on average"
        _style.finish(picture, title=title, caption=caption, handles=handles)
    return picture
