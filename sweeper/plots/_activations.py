"""What a network makes of one image, drawn: feature maps, where attention goes, how open the gates over channels are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sweeper.plots import _quantities, _style
from sweeper.plots._heat import SHADES

if TYPE_CHECKING:
    from sweeper.training.activations import AttentionMap, FeatureMap, Gate

CHANNELS = 8
"""Channels of a block that are shown."""

ACROSS = 6
"""Panels of attention in a row."""

MOST = 8
"""Shares of attention at the dark end of the scale; its pale end is 1 divided by it."""

NEAR = 0.1
"""Gates that differ from 0 or 1 by less are nearly closed, or nearly open."""

OF_MAPS = (
    "The channels of the greatest mean absolute value, as they leave each block. All of a block share one scale, from its "
    "smallest value, white, to its largest, dark: both stand beside it. Tokens are drawn in the places of their patches."
)

OF_ATTENTION = (
    "What each place gets, the mean over heads, in multiples of what it would get if all got the same. Class token: what that "
    "token attends to; what it keeps for itself is not drawn. All tokens: the sum over all that attend. Pooling: weights of the "
    "mean over tokens. All layers share one logarithmic scale. Attention says what a layer reads, not why it decides."
)

OF_GATES = (
    "Each channel of a block is multiplied with a number from 0 to 1 that the network computes from the image, as in "
    "squeeze-and-excitation. Another image opens other gates; one that is the same for all images only rescales its channel."
)

Image = npt.NDArray[Any]


def numbered(stages: Sequence[str], noun: str) -> list[str]:
    """Names for things of these blocks: ``encoder, layer 1``, ``encoder, layer 2``; the title alone where a block has one."""
    counts, seen = Counter(stages), Counter[str]()
    names = []
    for stage in stages:
        seen[stage] += 1
        names.append(stage if counts[stage] == 1 else f"{stage}, {noun} {seen[stage]}")
    return names


def channel_frame(maps: Sequence[FeatureMap]) -> pd.DataFrame:
    """One row per channel of each map: its mean absolute value over all places, strongest first, then by number.

    Returns:
        Columns ``stage height width channel strength low high``; `low` and `high` are those of the whole map.
    """
    rows = []
    for one in maps:
        height, width, _ = one.values.shape
        strengths = np.abs(one.values).mean(axis=(0, 1))
        about = (one.stage, height, width)
        ends = (float(one.values.min()), float(one.values.max()))
        rows += [(*about, int(channel), float(strengths[channel]), *ends) for channel in np.argsort(-strengths, kind="stable")]
    return pd.DataFrame(rows, columns=["stage", "height", "width", "channel", "strength", "low", "high"])


def attention_frame(maps: Sequence[AttentionMap]) -> pd.DataFrame:
    """One row per layer of attention, its heads averaged.

    Returns:
        Columns ``layer by heads places half largest``: `half` is the smallest number of places that get half of the attention,
        `largest` what the place gets that gets most, in multiples of an equal share.
    """
    rows = []
    for name, one in zip(numbered([one.stage for one in maps], "layer"), maps, strict=True):
        mean = one.values.mean(axis=2)
        shares = np.sort(mean.ravel())[::-1].cumsum()
        half = int(np.searchsorted(shares, shares[-1] / 2)) + 1
        rows.append((name, one.by, one.values.shape[2], mean.size, half, float(mean.max())))
    return pd.DataFrame(rows, columns=["layer", "by", "heads", "places", "half", "largest"])


def gate_frame(gates: Sequence[Gate]) -> pd.DataFrame:
    """One row per channel of each gate: ``gate channel weight``."""
    rows = [
        (name, channel, float(weight))
        for name, one in zip(numbered([one.stage for one in gates], "gate"), gates, strict=True)
        for channel, weight in enumerate(one.weights)
    ]
    return pd.DataFrame(rows, columns=["gate", "channel", "weight"])


def feature_maps(name: str, image: Image, maps: Sequence[FeatureMap]) -> Figure:
    """A figure with a row per block: its strongest channels, all of a block on one scale.

    Args:
        name: Begins the title.
        image: (height, width, channels), uint8 or from 0 to 1.
        maps: One at least.
    """
    table = channel_frame(maps)
    across = min(CHANNELS, max(one.values.shape[2] for one in maps))
    with _style.applied():
        picture = _style.figure(width=max(2.6 + 1.0 * across, 6.5), height=1.5 + 1.15 * (1 + len(maps)))
        grid = picture.add_gridspec(1 + len(maps), 1 + across, width_ratios=[1.6, *[1.0] * across])
        _write(picture.add_subplot(grid[0, 0]), "the image", _size(image.shape), "")
        _style.draw_image(picture.add_subplot(grid[0, 1]), image)
        for line, one in enumerate(maps, start=1):
            own = table[table["stage"] == one.stage].to_dict("records")
            low, high = own[0]["low"], own[0]["high"]
            _write(picture.add_subplot(grid[line, 0]), one.stage, _size(one.values.shape), f"{low:.3g} to {high:.3g}")
            for column, row in enumerate(own[:across], start=1):
                axes = picture.add_subplot(grid[line, column])
                axes.imshow(one.values[..., row["channel"]], cmap=SHADES, vmin=low, vmax=high, interpolation="nearest")
                axes.set_title(f"channel {row['channel']}", fontsize=7, pad=2)
                axes.set_axis_off()
        _style.finish(
            picture,
            title=f"{name}: the strongest channels of each block",
            caption=OF_MAPS,
        )
    return picture


def attention(name: str, image: Image, maps: Sequence[AttentionMap]) -> Figure:
    """A figure with a panel per layer: how much attention each place of the image gets, heads averaged, all on one scale.

    Args:
        name: Begins the title.
        image: (height, width, channels), uint8 or from 0 to 1.
        maps: One at least.
    """
    table = attention_frame(maps).to_dict("records")
    scale = LogNorm(1 / MOST, MOST)
    across = min(ACROSS, 1 + len(maps))
    down = math.ceil((1 + len(maps)) / across)
    with _style.applied():
        picture = _style.figure(width=max(1.7 * across + 1.6, 6.5), height=1.6 + 1.95 * down)
        panels = picture.subplots(down, across, squeeze=False).reshape(-1)
        _style.draw_image(panels[0], image)
        panels[0].set_title("the image", fontsize=8, loc="left")
        for axes, one, row in zip(panels[1:], maps, table, strict=False):
            values = one.values.mean(axis=2).clip(1 / MOST, MOST)
            axes.imshow(values, cmap=SHADES, norm=scale, interpolation="nearest")
            axes.set_title(f"{row['layer']}\n{row['by']}", fontsize=8, loc="left")
            axes.set_xlabel(f"half of it at {row['half']} of {row['places']}", fontsize=7)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(True)
        for axes in panels[1 + len(maps) :]:
            axes.set_visible(False)
        last = table[-1]
        _style.finish(
            picture,
            title=f"{name}: {last['layer']} gives half of its attention to {last['half']} of {last['places']} places",
            caption=OF_ATTENTION,
            handles=[
                Patch(facecolor=SHADES(float(scale(value))), edgecolor=_style.FAINT, linewidth=0.5, label=words)
                for value, words in (
                    (1 / MOST, f"1/{MOST} of a share, or less"),
                    (1, "an equal share"),
                    (MOST, f"{MOST} shares, or more"),
                )
            ],
        )
    return picture


def gates(name: str, found: Sequence[Gate]) -> Figure:
    """A figure with a strip per gate: the numbers its channels are multiplied with, sorted.

    Args:
        name: Begins the title.
        found: One at least.
    """
    names = numbered([one.stage for one in found], "gate")
    with _style.applied():
        picture = _style.figure(width=9.5, height=2.2 + 0.34 * len(names))
        axes = picture.add_subplot()
        for place, one in enumerate(found):
            extent = (0.0, 100.0, place + 0.38, place - 0.38)
            axes.imshow(
                np.sort(one.weights)[None], cmap=SHADES, vmin=0, vmax=1, aspect="auto", extent=extent, interpolation="nearest"
            )
        axes.set_xlim(0, 100)
        axes.set_xlabel("channels, from the most closed to the most open (%)")
        axes.grid(visible=False)
        _style.name_rows(axes, names)
        own = [one.weights for one in found]
        _write_column(axes, "channels", [f"{len(weights):,}" for weights in own], 0)
        _write_column(axes, "mean", [f"{weights.mean():.2f}" for weights in own], 1)
        _write_column(axes, f"< {NEAR:g}", [f"{closed(weights):,}" for weights in own], 2)
        _write_column(axes, f"> {1 - NEAR:g}", [f"{opened(weights):,}" for weights in own], 3)
        whole = np.concatenate(own)
        count = _quantities.count(len(whole), "gated channel")
        _style.finish(
            picture,
            title=f"{name}: of {count}, {closed(whole):,} nearly closed, {opened(whole):,} nearly open",
            caption=OF_GATES,
            handles=[
                Patch(facecolor=SHADES(value), edgecolor=_style.FAINT, linewidth=0.5, label=f"{value:g}{words}")
                for value, words in ((0.0, ": closed"), (0.5, ""), (1.0, ": open"))
            ],
        )
    return picture


def closed(weights: npt.NDArray[Any]) -> int:
    """How many channels are nearly closed."""
    return int((weights < NEAR).sum())


def opened(weights: npt.NDArray[Any]) -> int:
    """How many channels are nearly open."""
    return int((weights > 1 - NEAR).sum())


def _size(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def _write(axes: Axes, title: str, size: str, scale: str) -> None:
    axes.set_axis_off()
    axes.text(0, 0.66, title, fontsize=8, va="center", transform=axes.transAxes, fontweight="bold")
    axes.text(0, 0.44, size, fontsize=8, va="center", transform=axes.transAxes)
    axes.text(0, 0.24, scale, fontsize=8, va="center", transform=axes.transAxes, color="#555555")


def _write_column(axes: Axes, title: str, values: Sequence[str], column: int) -> None:
    """Numbers beside the rows, right of the axes."""
    right = 1.09 + 0.085 * column
    axes.annotate(
        title, (right, 1.0), xycoords="axes fraction", xytext=(0, 3), textcoords="offset points", ha="right", fontsize=7.5
    )
    for place, value in enumerate(values):
        axes.text(right, place, value, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=8)
