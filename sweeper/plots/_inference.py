"""Inference time and throughput of architectures side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from sweeper.plots import _quantities, _style

BESIDE: Any = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "fontsize": 8.5}
"""How a number is placed beside its bar."""


def inference(measured: Sequence[Mapping[str, Any]]) -> Figure:
    """A figure of two panels, fastest architecture on top: time of a batch with its spread, and images a second.

    Args:
        measured: One mapping per architecture with the fields of `sweeper.training.measuring.inference.Inference`.
    """
    rows = pd.DataFrame(measured).sort_values("median_ms", ascending=False).reset_index(drop=True)
    first = rows.iloc[-1]
    batch = _quantities.count(int(first["batch"]), "image")
    looks = _style.looks({name: name for name in sorted(rows["architecture"])})
    with _style.applied():
        picture = _style.figure(width=9.5, height=1.9 + 0.42 * len(rows))
        times, rates = picture.subplots(1, 2, sharey=True)
        for place, row in enumerate(rows.to_dict("records")):
            colour = looks[row["architecture"]].colour
            times.barh(place, row["median_ms"], color=colour, height=0.6)
            times.plot([row["low_ms"], row["high_ms"]], [place, place], color=_style.INK, linewidth=1.2)
            rates.barh(place, row["images_per_s"], color=colour, height=0.6)
            times.annotate(f"{row['median_ms']:.3g} ms", (max(row["high_ms"], row["median_ms"]), place), **BESIDE)
            rates.annotate(f"{_quantities.short(row['images_per_s'])}/s", (row["images_per_s"], place), **BESIDE)
        names = [
            f"{name}\n{_quantities.short(size)}" for name, size in zip(rows["architecture"], rows["parameters"], strict=True)
        ]
        times.set_yticks(range(len(rows)), names)
        times.set_xlabel(f"forward pass of {batch} (ms)")
        rates.set_xlabel("throughput (images/s)")
        for axes in (times, rates):
            axes.set_xlim(0, axes.get_xlim()[1] * 1.16)
            axes.grid(visible=False, axis="y")
        _style.finish(
            picture,
            title=f"{first['architecture']} answers fastest: {first['median_ms']:.3g} ms for {batch}",
            caption=f"Median of {first['runs']} passes after warming up, line: 10th to 90th percentile; {first['device']}. "
            "Under each name: its trainable parameters.",
        )
    return picture
