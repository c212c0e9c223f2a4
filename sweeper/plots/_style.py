"""What all figures share: colours and markers of arms, axes with units, title, legend, caption, and how a figure is saved."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import AutoLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from sweeper.records import describe

DPI = 150
INK, FAINT = "#222222", "#8a8a8a"

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7a4b1e", "#332288")
"""Okabe and Ito's colours (Color Universal Design, 2008) without yellow and black, which are hard to see on white or read as
text; brown and indigo take their places, dark enough to differ from the others for colour-blind eyes."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
"""The second code of an arm, for eyes that cannot tell two colours apart and for arms beyond the eighth."""

LOG_COLUMNS = ("parameters", "macs")
MARGIN = 0.07
"""Free room at both ends of an axis, as a share of the range of the values."""

NAMES = {
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
    "train_accuracy": "training accuracy",
    "train_loss": "training loss",
    "parameters": "trainable parameters",
    "macs": "multiply-accumulates per image",
    "train_s": "training time",
    "latency_ms": "latency of one image",
    "latency_ms_batch32": "latency of 32 images",
    "epoch": "training length",
    "peak_memory_mb": "peak memory of the worker",
}

# Which keys exist, and so the exact type, differs between versions of matplotlib.
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": "#b0b0b0",
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.7,
    "xtick.color": "#b0b0b0",
    "ytick.color": "#b0b0b0",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # Without a fixed salt the ids inside an SVG file, and so the file, differ at every save.
    "svg.hashsalt": "sweeper",
    "svg.fonttype": "path",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """How one arm is drawn: its colour, its marker, and its name in legends."""

    colour: str
    marker: str
    label: str


def looks(labels: Mapping[str, str]) -> dict[str, Look]:
    """Colour and marker of each arm, by its place in the order given; the first 64 differ from each other.

    Args:
        labels: What to call each arm, by arm, in order: `sweeper.analysis.results.arm_labels`.
    """
    return {
        arm: Look(
            colour=COLOURS[place % len(COLOURS)],
            marker=MARKERS[(place + place // len(COLOURS)) % len(MARKERS)],
            label=label,
        )
        for place, (arm, label) in enumerate(labels.items())
    }


@contextlib.contextmanager
def applied() -> Iterator[None]:
    """Within it, new figures and artists get the shared style, and nothing outside changes."""
    with matplotlib.rc_context(STYLE):
        yield


def figure(*, width: float, height: float) -> Figure:
    """An empty figure that belongs to no window and to no global state.

    Args:
        width: Inches.
        height: Inches.
    """
    empty = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(empty)
    return empty


def label(column: str) -> str:
    """What a column is called on an axis, with its unit: ``validation accuracy (%)``."""
    units = {field["name"]: field["unit"] for field in describe()}
    unit = "%" if units[column] == "fraction" else units[column] or ("count" if column in LOG_COLUMNS else "")
    return NAMES.get(column, column.replace("_", " ")) + (f" ({unit})" if unit else "")


def number(column: str, value: float) -> str:
    """A value of a column as text for titles and labels: ``97.8 %``, ``1.25M``, ``0.0312``; a dash for a missing one."""
    if not np.isfinite(value):
        return "–"
    if column.endswith("_accuracy"):
        return f"{100 * value:.1f} %"
    return short(value) if column in LOG_COLUMNS else f"{value:.3g}"


def short(value: float) -> str:
    """A count in at most three digits and a letter: ``950``, ``12.5k``, ``3.2M``, ``1.1G``."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 999,600 is 1M in three digits, not 1000k.
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def scale(axes: Axes, which: str, column: str, values: Sequence[float]) -> None:
    """Give one axis its label, its scale (logarithmic for counts) and ticks that read well.

    Args:
        axes: Where to.
        which: ``x`` or ``y``.
        column: The column shown on it.
        values: The values shown on it; all of them finite, at least one.
    """
    axis: Axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_label_text(label(column))
    low, high = min(values), max(values)
    is_log = column in LOG_COLUMNS and low > 0
    if is_log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        # Within half a decade, powers of ten and their multiples would leave one tick or none.
        is_wide = high / low > 5
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12) if is_wide else AutoLocator())
        axis.set_minor_locator(NullLocator())
    if column in LOG_COLUMNS:
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    elif column.endswith("_accuracy"):
        axis.set_major_locator(_ShareLocator(nbins=8, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}"))
    # A single value has no range of its own to take a margin from.
    factor = max((high / low) ** MARGIN, 1.08) if is_log else 1.0
    margin = MARGIN * (high - low) or 0.05 * abs(high) or 1.0
    limits = (low / factor, high * factor) if is_log else (low - margin, high + margin)
    (axes.set_xlim if which == "x" else axes.set_ylim)(*limits)


class _ShareLocator(MaxNLocator):
    """Ticks between nothing and all: an axis may reach beyond 100 % to make room, but no value can be there."""

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        return [tick for tick in super().tick_values(vmin, vmax) if -1e-9 <= tick <= 1 + 1e-9]


def window(values: pd.Series, main: pd.Series, must_show: pd.Series, goal: str) -> tuple[float, float]:
    """The range of values worth the space: everything on the good side, on the bad side what is not far from the main values.

    Args:
        values: All values that have a place in the picture; at least one.
        main: Those that set the range, usually of completed trials; empty gives the range of `values`.
        must_show: Those that must lie inside.
        goal: ``max`` or ``min``: the good side.
    """
    low, high = float(values.min()), float(values.max())
    if main.empty:
        return low, high
    first, third = float(main.quantile(0.25)), float(main.quantile(0.75))
    reach = 2.0 * max(third - first, 0.02 * abs(third))
    if goal == "max":
        fence = min([first - reach, *must_show])
        return float(values[values >= fence].min()), high
    fence = max([third + reach, *must_show])
    return low, float(values[values <= fence].max())


def handle(name: str, **look: object) -> Line2D:
    """One legend entry without a line unless ``linestyle`` is given; `look` goes to `Line2D`."""
    return Line2D([], [], **({"linestyle": "none", "color": INK, "markersize": 6, "label": name} | look))  # type: ignore[arg-type]


def finish(picture: Figure, *, title: str, caption: str, handles: Sequence[Artist] = ()) -> None:
    """Write title and caption, put the legend outside the data, and lay everything out for good.

    Args:
        picture: The figure; afterwards its axes do not move any more, so text can be measured and placed.
        title: What is seen, in a sentence.
        caption: Counts and caveats.
        handles: Entries of the legend; none gives no legend.
    """
    width = picture.get_size_inches()[0]
    picture.suptitle(_balanced(title, int(width * 9.3)), x=0.012, ha="left", fontsize=11.5, fontweight="bold")
    picture.supxlabel(
        textwrap.fill(caption, int(width * 15.5)), x=0.012, ha="left", fontsize=8, color="#555555", linespacing=1.35
    )
    legend = None
    if handles:
        legend = picture.legend(handles=list(handles), loc="outside right upper", labelspacing=0.55, handletextpad=0.6)
    picture.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # type: ignore[union-attr, call-arg]
    # Constrained layout settles at the second pass when a legend changes the size of tick labels.
    picture.draw_without_rendering()
    picture.draw_without_rendering()
    picture.set_layout_engine("none")
    if legend is not None:
        # The layout keeps the legend's width free but puts it beside the title; it belongs beside the data.
        legend.set_loc("upper right")
        legend.set_bbox_to_anchor((0.995, max(axes.get_position().y1 for axes in picture.axes) + 0.015))


def _balanced(text: str, width: int) -> str:
    """Text in as few lines as the width allows, all about equally long."""
    num_lines = len(textwrap.wrap(text, width))
    while width > 1 and len(textwrap.wrap(text, width - 1)) == num_lines > 1:
        width -= 1
    return textwrap.fill(text, width)


def count(number_of: int, noun: str) -> str:
    """``1 trial``, ``3,000 trials``."""
    return f"{number_of:,} {noun}" + ("" if number_of == 1 else "s")


def bound(goal: str) -> str:
    """What the last value of a trial that was stopped early is for its configuration.

    Args:
        goal: ``max`` or ``min``: which way the value is better.
    """
    return "a lower bound" if goal == "max" else "an upper bound"


def counts_line(counts: Mapping[str, int], **notes: str) -> str:
    """The counts for a caption, for example ``18 completed, 5 stopped early (hollow), 1 failed (not shown)``.

    Args:
        counts: Number of trials by status: `sweeper.analysis.results.status_counts`.
        notes: By status, how the picture shows it. The first three statuses are always listed, others only when they
            occur.
    """
    words = {"stopped": "stopped early"}
    parts = [
        f"{number_of:,} {words.get(status, status)}" + (f" ({notes[status]})" if notes.get(status) and number_of else "")
        for status, number_of in counts.items()
        if number_of or status in ("completed", "stopped", "failed")
    ]
    return ", ".join(parts) + "."


def save(picture: Figure, folder: Path | str, name: str) -> list[Path]:
    """Write a figure as PNG and as SVG; equal figures give equal files, and a reader never sees half a file.

    Args:
        picture: The figure.
        folder: Where to; it is made when missing.
        name: Name of the files, without an ending.

    Returns:
        The two paths.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        path = target / f"{name}.{ending}"
        unfinished = target / f".{name}.{ending}.{os.getpid()}"
        try:
            with applied():
                picture.savefig(unfinished, format=ending, dpi=DPI, metadata=metadata)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        paths.append(path)
    return paths
