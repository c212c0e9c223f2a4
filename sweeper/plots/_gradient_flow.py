"""The gradient at each layer of an untrained network by depth, with and without skip connections side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from sweeper.plots import _quantities, _style
from sweeper.plots._parameters import COLOURS, KINDS

END = 0.25
"""Part of the depth that counts as the first layers of a network, and as the last ones."""

SAME = 3.0
"""Factor below which gradients count as keeping their size: another seed can double or halve the factor."""

REACH = 1 / 16
"""How far the running median reaches to each side, as a share of the depth: alternating 1x1 and 3x3 kernels are no slope."""


def frame(panels: Mapping[str, Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    """A row for each layer of each panel: the fields of `gradient_norms`, `panel`, and `is_shown`: whether it has a logarithm.

    Args:
        panels: What `sweeper.training.measuring.gradients.gradient_norms` gives, by the title of its panel.
    """
    columns = ["panel", "layer", "kind", "depth", "gradient_norm", "weight_norm", "relative_norm"]
    rows = [{"panel": panel, **layer} for panel, layers in panels.items() for layer in layers]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(is_shown=np.isfinite(table["relative_norm"]) & (table["relative_norm"] > 0))


def growth(rows: pd.DataFrame) -> float:
    """The median relative norm of the first quarter of the depth, as a multiple of that of the last quarter.

    Args:
        rows: Those of one panel of `frame`; NaN where an end shows no layer.
    """
    seen = rows[rows["is_shown"]]
    room = END * (rows["depth"].max() - 1)
    first, last = seen["depth"] <= 1 + room, seen["depth"] >= rows["depth"].max() - room
    return float(seen.loc[first, "relative_norm"].median() / seen.loc[last, "relative_norm"].median())


def trend(rows: pd.DataFrame) -> pd.Series:
    """By depth, the running geometric median of the relative norms, which a single outlying layer does not move.

    Layers at the edge of the window count half. So two alternating kinds of layers count the same and the line runs between
    them, where a plain median would jump from one to the other. It ends where one side has fewer layers.

    Args:
        rows: Those of one panel of `frame`.
    """
    seen = rows[rows["is_shown"]]
    deepest = rows["depth"].max()
    reach = max(1, round(REACH * deepest))
    medians = {}
    for depth in sorted(set(seen["depth"])):
        away = (seen["depth"] - depth).abs()
        if reach < depth <= deepest - reach:
            near = pd.concat([seen[away <= reach], seen[away < reach]])  # all but the edge twice
            medians[depth] = np.exp(np.log(near["relative_norm"]).median())
    return pd.Series(medians, dtype=float)


def gradient_flow(name: str, panels: Mapping[str, Sequence[Mapping[str, Any]]], *, batch: int, caption: str = "") -> Figure:
    """A figure with a panel for each network, all on the same axes: relative norm of the gradient of each layer by depth.

    Args:
        name: What the network is called in the title.
        panels: What `sweeper.training.measuring.gradients.gradient_norms` gives, by the title of its panel; one or two.
        batch: Images the gradient is of.
        caption: What else to say below.
    """
    table = frame(panels)
    kinds = [kind for kind in KINDS if kind in set(table["kind"])]
    hidden = _quantities.count(int((~table["is_shown"]).sum()), "layer")
    with _style.applied():
        picture = _style.figure(width=10.8 if len(panels) > 1 else 8.6, height=4.6)
        row = picture.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for axes, panel in zip(row, panels, strict=True):
            _draw(axes, table[table["panel"] == panel])
            axes.set_title(panel if len(panels) > 1 else "", fontsize=9.5, loc="left")
            axes.set_xlabel("depth: layers with kernels since the image")
        row[0].set_ylabel("gradient norm / weight norm")
        _scale(row[0], table)
        _style.finish(
            picture,
            title=f"{name}: {_in_words({panel: growth(table[table['panel'] == panel]) for panel in panels})}",
            caption="Each point: norm of the gradient at the kernels of a layer, as a multiple of the norm of these kernels: how "
            "far one step of gradient descent with learning rate 1 would move them. Line: median of the layers about as deep; "
            "where it falls from left to right, gradients grow on their way back to the image, where it rises, they vanish. "
            f"Title: median of the first quarter of the depth against that of the last; below {SAME:.0f}-fold counts as none, "
            "for another seed changes as much. Before training, "
            f"{_quantities.count(batch, 'image')} of random pixels. {caption}"
            + ("" if table["is_shown"].all() else f" Not shown: {hidden} whose gradient or weights are 0 or not finite."),
            handles=[_style.handle(kind, marker="o", color=COLOURS[kind]) for kind in kinds],
        )
    return picture


def _draw(axes: Axes, rows: pd.DataFrame) -> None:
    seen = rows[rows["is_shown"]]
    line = trend(rows)
    axes.plot(line.index, line, color=_style.FAINT, linewidth=1.4, zorder=1)
    for kind, group in seen.groupby("kind"):
        axes.scatter(group["depth"], group["relative_norm"], s=20, color=COLOURS[str(kind)], linewidth=0, zorder=2)


def _scale(axes: Axes, table: pd.DataFrame) -> None:
    """One logarithmic axis for all panels, at least two powers of ten long, so that noise does not look like a slope."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.set_yscale("log")
    values = table.loc[table["is_shown"], "relative_norm"]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.1, 1.0)
    room = max(high / low, 100.0) / (high / low)
    axes.set_ylim(low / room**0.5 / 1.6, high * room**0.5 * 1.6)
    axes.yaxis.set_major_locator(LogLocator(numticks=9))
    axes.yaxis.set_minor_locator(NullLocator())


def _in_words(growths: Mapping[str, float]) -> str:
    """What the figure shows: ``towards the image, gradients grow 12-fold with skip connections; without, they grow 7k-fold``."""
    first, *others = growths
    text = f"towards the image, gradients {_change(growths[first])}" + (f" {first}" if others else "")
    # What both panels are called, such as "skip connections", is said once.
    shorter = {panel: " ".join(word for word in panel.split() if word not in first.split()) for panel in others}
    return text + "".join(f"; {shorter[panel] or panel}, they {_change(growths[panel])}" for panel in others)


def _change(growth: float) -> str:
    if not np.isfinite(growth):
        return "cannot be compared"
    factor = max(growth, 1 / growth)
    if factor < SAME:
        return "keep their size"
    return f"{'grow' if growth > 1 else 'shrink'} {_quantities.short(float(f'{factor:.2g}'))}-fold"
