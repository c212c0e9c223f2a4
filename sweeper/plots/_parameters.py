"""Where the parameters of a network sit: a bar for each block, its parts coloured by kind of layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sweeper.plots import _quantities, _style

KINDS = ("convolution", "dense", "attention", "normalisation", "other")
COLOURS = dict(
    zip(KINDS, (_style.COLOURS[0], _style.COLOURS[1], _style.COLOURS[2], _style.COLOURS[4], _style.FAINT), strict=True)
)

WRITTEN: Any = {"va": "center", "fontsize": 8.5}
"""How numbers stand on and beside the bars."""

SMALLEST_WORDED = 0.12
"""Fraction from which a part is wide enough to be written on."""


def frame(shares: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Parameters by block, in order, and kind of layer, in the order of `KINDS`; 0 where a block has none of a kind.

    Args:
        shares: What `sweeper.training.shares.parameter_shares` gives.
    """
    rows = pd.DataFrame(shares, columns=["block", "kind", "parameters"])
    table = rows.pivot_table(index="block", columns="kind", values="parameters", aggfunc="sum", sort=False, fill_value=0)
    order = list(dict.fromkeys(rows["block"]))
    return table.reindex(index=order, columns=[kind for kind in KINDS if kind in table.columns]).astype(int)


def parameters(name: str, shares: Sequence[Mapping[str, Any]]) -> Figure:
    """A figure with a row per block, input on top: its share of the parameters, by kind of layer.

    Args:
        name: What the network is called in the title.
        shares: What `sweeper.training.shares.parameter_shares` gives.
    """
    table = frame(shares)
    total = int(table.to_numpy().sum())
    largest = table.sum().idxmax()
    with _style.applied():
        picture = _style.figure(width=9.5, height=1.9 + 0.4 * len(table))
        axes = picture.subplots()
        widest = float(table.sum(axis=1).max()) / total
        for place, (_, row) in enumerate(table.iterrows()):
            left = 0.0
            for kind, count in row.items():
                share = count / total
                axes.barh(place, share, left=left, color=COLOURS[str(kind)], height=0.62)
                if share > SMALLEST_WORDED * widest:
                    axes.annotate(
                        f"{share:.1%}", (left + share / 2, place), ha="center", va="center", color="white", fontsize=8.5
                    )
                left += share
            text = f"{_quantities.short(int(row.sum()))} ({left:.1%})"
            axes.annotate(text, (left, place), xytext=(5, 0), textcoords="offset points", **WRITTEN)
        axes.set_yticks(range(len(table)), list(table.index))
        axes.invert_yaxis()
        axes.set_xlim(0, widest * 1.2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_xlabel("share of the trainable parameters")
        axes.grid(visible=False, axis="y")
        sums = ", ".join(f"{kind} {count / total:.1%}" for kind, count in table.sum().sort_values(ascending=False).items())
        part = f"{table[largest].sum() / total:.0%} of {_quantities.short(total)} parameters"
        _style.finish(
            picture,
            title=f"{name}: {part} sit in {_worded(str(largest))}",
            caption=f"Trainable parameters of each block, input on top. Over all blocks: {sums}.",
            handles=[Patch(color=COLOURS[str(kind)], label=str(kind)) for kind in table.columns],
        )
    return picture


def _worded(kind: str) -> str:
    return {"dense": "dense layers", "convolution": "convolutions", "other": "other layers"}.get(kind, kind)
