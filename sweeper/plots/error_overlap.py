"""Error overlap: whether confirmed configurations err on the same images, which tells what an ensemble could gain."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sweeper.analysis import predictions
from sweeper.analysis.results import Results
from sweeper.errors import NoDataError
from sweeper.plots import _heat, _predictions, _style


def frame(results: Results, *, split: str | None = None) -> pd.DataFrame:
    """What the picture shows: see `sweeper.analysis.predictions.error_overlap`.

    Args:
        results: The results of a study.
        split: ``test`` or ``validation``; None means the test split where there are predictions of it.

    Raises:
        UnknownNameError: No such split.
        NoDataError: There are no predictions of two configurations.
    """
    table = predictions.error_overlap(results, split)
    if len(table) < 2:
        raise NoDataError(
            f"study '{results.study}' has predictions of one configuration only, so there is nothing to compare. "
            f"Confirm a second one with: sweeper confirm {results.named} --per-arm 2"
        )
    return table


def error_overlap(results: Results, *, split: str | None = None) -> Figure:
    """A heat map of Cohen's kappa between the errors of every two configurations; below it the share of images both err on.

    The diagonal compares two seeds of the same configuration.

    Args:
        results: The results of a study.
        split: See `frame`, which raises what this does.
    """
    shown = frame(results, split=split)
    given, names, _ = _predictions.found(results, split)
    order = list(names)
    kappa, both = (
        shown.pivot(index="first", columns="second", values=column).reindex(index=order, columns=order).to_numpy(float)
        for column in ("kappa", "both")
    )
    texts = [
        ["" if np.isnan(k) else f"{k:.2f}\n{100 * b:.1f} %" for k, b in zip(*rows, strict=True)]
        for rows in zip(kappa, both, strict=True)
    ]
    with _style.applied():
        picture = _style.figure(width=4.4 + 0.72 * len(names), height=2.7 + 0.5 * len(names))
        axes = picture.add_subplot()
        labels = list(names.values())
        _heat.draw(axes, kappa.clip(0.0, 1.0), rows=labels, columns=labels, texts=texts)
        axes.set_xlabel("kappa of their errors, and the share of images both err on", fontsize=8.5)
        caption = _predictions.caption(results, given, split, "compared seed by seed and averaged")
        caption += " Kappa: 0 for errors that have nothing to do with each other, 1 for the same ones. Diagonal: two seeds of one"
        caption += " configuration, on the test split. Pairs that err on different images gain most from voting together."
        _style.finish(picture, title=_title(results, shown, names), caption=caption)
    return picture


def _title(results: Results, shown: pd.DataFrame, names: dict[str, str]) -> str:
    pairs = shown[(shown["first"] < shown["second"]) & shown["kappa"].notna()].sort_values("kappa", kind="stable")
    if pairs.empty:
        return f"{results.study}: whether configurations err on the same images"
    pair = pairs.iloc[0]
    first, second = names[pair["first"]], names[pair["second"]]
    if len(pairs) == 1:
        return f"{results.study}: kappa of the errors of {first} and {second} is {pair['kappa']:.2f}"
    return f"{results.study}: {first} and {second} share fewest errors, kappa {pair['kappa']:.2f}"
