"""Timeline: what each worker did when, a bar per attempt at a trial, so that idle time shows."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sweeper.analysis.results import Results, arm_labels, at_stage, status_counts
from sweeper.analysis.time_use import run_starts, spans, utilisation
from sweeper.errors import NoDataError
from sweeper.plots import _quantities, _style

PALE = 0.35
"""Opacity of the part of a bar that is not training."""


def frame(results: Results, *, stage: str = "all") -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.time_use.spans`.

    Args:
        results: The results of a study.
        stage: ``search``, ``confirm``, ``ablation`` or ``all``.

    Raises:
        UnknownNameError: No such stage.
        NoDataError: No epoch is recorded with its time.
    """
    table = spans(results, stage=stage)
    if table.empty:
        raise NoDataError(f"study '{results.study}' has no epoch to draw. Let a trial finish its first epoch.")
    return table


def timeline(results: Results, *, stage: str = "all") -> Figure:
    """A figure with a row per worker: a bar per attempt at a trial in its arm's colour, full where it trained.

    Args:
        results: The results of a study.
        stage: ``search``, ``confirm``, ``ablation`` or ``all``.

    Raises:
        UnknownNameError: No such stage.
        NoDataError: No epoch is recorded with its time.
    """
    shown = frame(results, stage=stage)
    looks = {arm: look for arm, look in _style.looks(arm_labels(results)).items() if (shown["arm"] == arm).any()}
    num_lanes = int(shown["lane"].max()) + 1
    with _style.applied():
        picture = _style.figure(width=11.0, height=2.4 + 0.35 * num_lanes)
        axes = picture.add_subplot()
        for arm, look in looks.items():
            _draw(axes, shown[shown["arm"] == arm], look.colour)
        for start in _starts(results, shown):
            axes.axvline(start, color=_style.FAINT, linestyle="--", linewidth=0.9, zorder=1)
        _style.name_rows(axes, [f"worker {lane + 1}" for lane in range(num_lanes)])
        axes.set_xlim(0, float(shown["end"].max()) * 1.01)
        axes.set_xlabel("time since the driver began (s)")
        handles: list[Patch] = [Patch(color=look.colour, label=look.label) for look in looks.values()]
        handles += [Patch(color=_style.INK, label="training"), Patch(color=_style.INK, alpha=PALE, label="other work")]
        _style.finish(picture, title=_title(results, shown), caption=_caption(results, shown, stage), handles=handles)
    return picture


def _draw(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    """The bars of one arm: attempts pale, training in them full."""
    for lane, own in rows.groupby("lane"):
        attempts = own.groupby(["worker", "trial", "attempt"]).agg(start=("start", "min"), end=("end", "max"))
        pale = [(start, end - start) for start, end in attempts.itertuples(index=False)]
        full = list(zip(own["train_start"], own["train_end"] - own["train_start"], strict=True))
        axes.broken_barh(pale, (int(str(lane)) - 0.36, 0.72), color=colour, alpha=PALE, linewidth=0, zorder=2)
        axes.broken_barh(full, (int(str(lane)) - 0.36, 0.72), color=colour, linewidth=0, zorder=3)


def _starts(results: Results, shown: pd.DataFrame) -> list[float]:
    """When each driver but the first one began; none where not every driver is known."""
    return [] if shown["run"].isna().any() else sorted(run_starts(results).values())[1:]


def _title(results: Results, shown: pd.DataFrame) -> str:
    share = utilisation(results)
    what = f"{share:.0%} of the workers' time was training" if not math.isnan(share) else "what each worker did when"
    return f"{results.study}: {what}, {_quantities.count(shown['trial'].nunique(), 'trial')}"


def _caption(results: Results, shown: pd.DataFrame, stage: str) -> str:
    caption = _quantities.counts_line(status_counts(at_stage(results, stage).trials))
    caption += " White is idle time. Other work is importing, building, validating and writing checkpoints."
    return caption + (" A dashed line: another driver began." if _starts(results, shown) else "")
