"""Chance matrix: how often each repeated configuration is better than each other one with the same seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sweeper.analysis.chances import chances
from sweeper.analysis.results import Results
from sweeper.plots import _heat, _quantities, _seeds, _style

MOST_SHOWN = 16
"""Configurations of a figure, the best ones."""


def frame(results: Results, *, stage: str | None = None, column: str | None = None) -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.chances.chances`.

    Args:
        results: The results of a study.
        stage: ``confirm`` or ``ablation``; None means the first of them that has a completed trial.
        column: One of `sweeper.analysis.results.DIRECTIONS`; None means what `sweeper.analysis.verdicts` judges by.

    Raises:
        UnknownNameError: No such stage or column.
        NoDataError: Fewer than two configurations have a value.
    """
    stage, column = _seeds.asked(results, stage, column)
    rows = _seeds.several(results, stage=stage, column=column)
    table = chances(results, stage=stage, column=column)
    return table[table["first"].isin(rows["parent"]) & table["second"].isin(rows["parent"])].reset_index(drop=True)


def chance_matrix(results: Results, *, stage: str | None = None, column: str | None = None) -> Figure:
    """A heat map, the best mean on top: the share of shared seeds with which the row is better than the column, ties as halves.

    Args:
        results: The results of a study.
        stage: See `frame`, which raises what this does.
        column: See there.
    """
    stage, column = _seeds.asked(results, stage, column)
    shown = frame(results, stage=stage, column=column)
    rows = _seeds.several(results, stage=stage, column=column).head(MOST_SHOWN)
    names = _seeds.names(results, rows)
    table = shown.pivot(index="first", columns="second", values="chance").reindex(index=list(names), columns=list(names))
    values = table.to_numpy(float)
    texts = [["" if np.isnan(value) else f"{100 * value:.0f}" for value in row] for row in values]
    with _style.applied():
        picture = _style.figure(width=4.2 + 0.62 * len(names), height=2.6 + 0.4 * len(names))
        axes = picture.add_subplot()
        _heat.draw(axes, values, rows=list(names.values()), columns=list(names.values()), texts=texts)
        axes.set_xlabel("how often the row is better than the column (% of seeds)", fontsize=8.5)
        seeds = sorted(shown.loc[shown["n"] > 0, "n"].unique())
        over = " to ".join(str(number) for number in dict.fromkeys([*seeds[:1], *seeds[-1:]])) or "0"
        caption = _seeds.caption(results, stage)
        caption += f" Shares of the {over} seeds that both completed, ties as halves: shown, but no test; see forest."
        if len(rows) < shown["first"].nunique():
            caption += f" The best {len(rows)} configurations are shown."
        _style.finish(picture, title=_title(results, shown, names, column), caption=caption)
    return picture


def _title(results: Results, shown: pd.DataFrame, names: dict[str, str], column: str) -> str:
    best, second = list(names)[:2]
    pair = shown[(shown["first"] == best) & (shown["second"] == second)].iloc[0]
    quantity = _quantities.NAMES.get(column, column)
    if not pair["n"]:
        return f"{results.study}: how often one is better than another in {quantity}"
    return f"{results.study}: {names[best]} beats {names[second]} in {quantity} with {100 * pair['chance']:.0f} % of the seeds"
