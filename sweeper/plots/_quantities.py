"""How columns are named, numbered and put on an axis, and how trials are counted in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import AutoLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from sweeper.ledger.records import describe

LOG_COLUMNS = ("parameters", "macs")
"""Counts that span powers of ten, on a logarithmic axis."""

MARGIN = 0.07
"""Free room at both ends of an axis, as a share of the range of the values."""

NAMES = {
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
    "test_accuracy": "test accuracy",
    "test_loss": "test loss",
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
"""What people call a column; its unit is in `sweeper.ledger.records`."""


def label(column: str) -> str:
    """What a column is called on an axis, with its unit: ``validation accuracy (%)``."""
    units = {field["name"]: field["unit"] for field in describe()}
    unit = "%" if units[column] == "fraction" else units[column] or ("count" if column in LOG_COLUMNS else "")
    return NAMES.get(column, column.replace("_", " ")) + (f" ({unit})" if unit else "")


def number(column: str, value: float) -> str:
    """A value of a column as text: ``97.8 %``, ``1.25M``, ``0.0312``; a dash for a missing one."""
    if not np.isfinite(value):
        return "–"
    if column.endswith("_accuracy"):
        return f"{100 * value:.1f} %"
    return short(value) if column in LOG_COLUMNS else f"{value:.3g}"


def difference(column: str, value: float) -> str:
    """A small difference of two values of a column as text; of accuracies in percentage points: ``0.42``."""
    return "–" if not np.isfinite(value) else f"{100 * value:.2f}" if column.endswith("_accuracy") else f"{value:.3g}"


def percent(share: float) -> str:
    """A share in percent: ``12.5 %``, or ``< 0.1 %`` for a tiny one that is not 0."""
    return "< 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


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
    """Ticks from 0 to 100 % only: an axis may reach beyond to make room, but no value can be there."""

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        return [tick for tick in super().tick_values(vmin, vmax) if -1e-9 <= tick <= 1 + 1e-9]


def window(values: pd.Series, main: pd.Series, must_show: pd.Series, goal: str) -> tuple[float, float]:
    """The range of values to show: everything on the good side; on the bad side, what is not far from the main values.

    Args:
        values: All values the picture could show; at least one.
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


def count(number_of: int, noun: str) -> str:
    """``1 trial``, ``3,000 trials``."""
    return f"{number_of:,} {noun}" + ("" if number_of == 1 else "s")


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
