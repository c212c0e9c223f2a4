"""A matrix of numbers as a heat map: one hue from pale to dark, so that it reads in print, and every number written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from sweeper.plots import _style

SHADES = LinearSegmentedColormap.from_list("sweeper", ["#ffffff", "#cfe3f1", "#5fa5d1", "#0072b2", "#00294d"])
"""From 0 to 1; its lightness falls all the way."""

MISSING = "#ececec"
"""Colour of a cell without a value."""


def draw(
    axes: Axes,
    values: npt.NDArray[np.float64],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    texts: Sequence[Sequence[str]] | None = None,
    limits: tuple[float, float] = (0.0, 1.0),
    font_size: float = 8.0,
) -> None:
    """Draw a matrix.

    Args:
        axes: Where to.
        values: Shape (rows, columns); NaN is a cell without a value.
        rows: Names beside the rows, the first one on top.
        columns: Names above the columns; they are slanted where they are long.
        texts: What is written into each cell; None writes nothing.
        limits: The values of the palest and of the darkest shade.
        font_size: Of the texts in the cells, in typographic points.
    """
    axes.imshow(
        np.ma.masked_invalid(values), cmap=SHADES.with_extremes(bad=MISSING), vmin=limits[0], vmax=limits[1], aspect="auto"
    )
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    is_long = max(map(len, columns)) > 5
    axes.set_xticks(range(len(columns)), columns, fontsize=8, rotation=35 if is_long else 0, ha="left" if is_long else "center")
    if is_long:
        for label in axes.get_xticklabels():
            label.set_rotation_mode("anchor")
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    # White lines between cells.
    axes.set_xticks(np.arange(1, len(columns)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(rows)) - 0.5, minor=True)
    axes.grid(visible=True, which="minor", color="white", linewidth=1.0)
    axes.tick_params(which="minor", length=0)
    for (row, column), value in np.ndenumerate(values):
        if texts is not None and texts[row][column]:
            is_dark = np.isfinite(value) and (value - limits[0]) / (limits[1] - limits[0]) > 0.55
            colour = "white" if is_dark else _style.INK
            axes.text(column, row, texts[row][column], ha="center", va="center", fontsize=font_size, color=colour)
