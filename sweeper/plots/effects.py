"""Effect of each change of a component ablation: how much better than the baseline, with intervals over fresh seeds."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from sweeper.analysis.effects import effects as table_of
from sweeper.analysis.results import Results
from sweeper.analysis.verdicts import headline_column
from sweeper.plots import _quantities, _style

LOOKS = {
    "better": ("#009e73", "^", "better"),
    "worse": ("#d55e00", "v", "worse"),
    "equivalent": ("#0072b2", "s", "equivalent"),
    "undecided": ("#8a8a8a", "o", "cannot be told apart"),
}
"""Colour, marker and name of each verdict."""


def frame(results: Results, *, column: str | None = None) -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.effects.effects`; raises as that does."""
    return table_of(results, column=column)


def effects(results: Results, *, column: str | None = None) -> Figure:
    """A figure with a row per change, the most helpful first: its difference to the baseline, with the interval.

    Args:
        results: The results of a study.
        column: See `frame`.

    Raises:
        NoDataError: See `frame`.
    """
    rows = frame(results, column=column)
    column = column or headline_column(results)
    base, *changes = rows.to_dict("records")
    is_share = column.endswith("accuracy")
    scale, unit = (100.0, "percentage points") if is_share else (1.0, "")
    with _style.applied():
        picture = _style.figure(width=7.6, height=1.9 + 0.42 * max(len(changes), 1))
        axes = picture.add_subplot()
        axes.axvline(0, color=_style.INK, linewidth=1)
        for place, row in enumerate(changes):
            colour, marker, _ = LOOKS[row["verdict"]]
            ends = [scale * row["low"], scale * row["high"]]
            axes.plot(ends, [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
            axes.plot(scale * row["difference"], place, marker=marker, color=colour, markersize=7, linestyle="none")
        _style.name_rows(axes, [f"{row['arm']}  ({row['parameters']:,.0f})" for row in changes])
        axes.set_xlabel(f"{_quantities.NAMES.get(column, column)}: difference to the baseline{f' ({unit})' if unit else ''}")
        seen = [verdict for verdict in LOOKS if any(row["verdict"] == verdict for row in changes)]
        mean = f"{100 * base['mean']:.1f} %" if is_share else f"{base['mean']:.4g}"
        _style.finish(
            picture,
            title=f"What each change does to the baseline: {_title(changes)}",
            caption=f"{results.study}: {base['arm']} has {mean} over {base['n']:.0f} seeds and {base['parameters']:,.0f} "
            "parameters; parameters of each change in brackets. Intervals are of paired differences over seeds, at the error "
            "rate at which Holm's procedure decides each, 95 % for all together.",
            handles=[_style.handle(LOOKS[name][2], color=LOOKS[name][0], marker=LOOKS[name][1]) for name in seen],
        )
    return picture


def _title(changes: list[dict[Hashable, Any]]) -> str:
    named = {name: [row["arm"] for row in changes if row["verdict"] == name] for name in ("better", "worse")}
    return "; ".join(f"{name} with {', '.join(arms)}" for name, arms in named.items() if arms) or "nothing beyond chance"
