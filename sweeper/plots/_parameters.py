"""Where the parameters of a network sit: a bar for each block, its parts coloured by kind of layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sweeper.plots import _quantities, _style

KINDS = ("convolution", "dense", "attention", "normalisation", "other")
COLOURS = dict(
    zip(KINDS, (_style.COLOURS[0], _style.COLOURS[1], _style.COLOURS[2], _style.COLOURS[4], _style.FAINT), strict=True)
)

WORDS = {
    "convolution": "convolutions",
    "dense": "dense layers",
    "attention": "attention",
    "normalisation": "normalisation",
    "other": "other layers",
}
"""The kinds in a sentence."""

WHOLE = "whole network"

ROOM_INCHES = 5.6
"""Approximate length of the longest bar; a text is written on a bar only where it fits."""

LETTER_INCHES = 0.085


def frame(shares: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Parameters by block, in order, and kind of layer, in the order of `KINDS`; 0 where a block has none of a kind.

    Args:
        shares: What `sweeper.training.measuring.shares.parameter_shares` gives.
    """
    rows = pd.DataFrame(shares, columns=["block", "kind", "parameters"])
    table = rows.pivot_table(index="block", columns="kind", values="parameters", aggfunc="sum", sort=False, fill_value=0)
    order = list(dict.fromkeys(rows["block"]))
    return table.reindex(index=order, columns=[kind for kind in KINDS if kind in table.columns]).astype(int)


def parameters(name: str, shares: Sequence[Mapping[str, Any]]) -> Figure:
    """A figure with a row for the whole network and one per block, input on top: shares of the parameters by kind of layer.

    Args:
        name: What the network is called in the title.
        shares: What `sweeper.training.measuring.shares.parameter_shares` gives.
    """
    table = frame(shares)
    total = int(table.to_numpy().sum())
    largest = str(table.sum().idxmax())
    rows = [(WHOLE, table.sum()), *((str(block), row) for block, row in table.iterrows())]
    with _style.applied():
        picture = _style.figure(width=9.5, height=1.9 + 0.36 * len(rows))
        axes = picture.subplots()
        for place, (_, row) in enumerate(rows):
            _bar(axes, place - 0.35 if place == 0 else place, row / total, int(row.sum()))
        axes.axhline(0.35, color=_style.FAINT, linewidth=0.7)
        axes.set_yticks([-0.35, *range(1, len(rows))], [block for block, _ in rows])
        axes.set_ylim(len(rows) - 0.45, -0.85)
        axes.set_xlim(0, 1.17)
        axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0], [f"{tick} %" for tick in range(0, 101, 20)])
        axes.set_xlabel("share of the trainable parameters")
        axes.grid(visible=False, axis="y")
        sums = ", ".join(
            f"{kind} {_quantities.percent(count / total)}" for kind, count in table.sum().sort_values(ascending=False).items()
        )
        sums = sums.replace(" %", "\u00a0%").replace("< ", "<\u00a0")  # no line ends between a number and its sign
        part = f"{100 * table[largest].sum() / total:.0f} % of {_quantities.short(total)} parameters"
        _style.finish(
            picture,
            title=f"{name}: {part} are in {WORDS[largest]}",
            caption=f"Trainable parameters of the whole network and of each block, input on top. By kind of layer: {sums}.",
            handles=[Patch(color=COLOURS[str(kind)], label=str(kind)) for kind in table.columns],
        )
    return picture


def _bar(axes: Axes, place: float, parts: pd.Series, count: int) -> None:
    """One row: its parts with their names where they are long enough, and what they sum to beside them."""
    left = 0.0
    for kind, share in parts.items():
        axes.barh(place, share, left=left, color=COLOURS[str(kind)], height=0.62)
        text = f"{kind} {_quantities.percent(share)}"
        if share * ROOM_INCHES > LETTER_INCHES * len(text):
            colour = _style.INK if kind == "dense" else "white"
            axes.text(left + share / 2, place, text, ha="center", va="center", color=colour, fontsize=8.5)
        left += share
    beside = _quantities.short(count) + ("" if left > 0.9999 else f" ({_quantities.percent(left)})")
    axes.annotate(beside, (left, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8.5)
