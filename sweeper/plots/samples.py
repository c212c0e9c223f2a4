"""Samples: images on which confirmed models are right, divided or wrong, and what each takes them for, side by side."""

from __future__ import annotations

import itertools
from typing import Any

import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sweeper.analysis import samples as chosen
from sweeper.analysis.predictions import answers, classes, names, split_of
from sweeper.analysis.results import Results
from sweeper.errors import NoDataError
from sweeper.plots import _predictions, _quantities, _style

LONGEST = 13
"""Characters of the name of a class."""

RIGHT: dict[str, Any] = {"facecolor": _style.COLOURS[0], "linewidth": 0}
WRONG: dict[str, Any] = {"facecolor": _style.COLOURS[1], "linewidth": 0, "edgecolor": "white", "hatch": "////"}
"""Bars of the class of an image, and of another one."""

WORDS = {
    "right": ("all are right", "the surest of them"),
    "divided": ("they are divided", "those where two models differ most"),
    "wrong": ("all are wrong", "the surest errors"),
}
"""What is said of each kind of image, and of those that are shown."""


def frame(results: Results, *, split: str | None = None) -> pd.DataFrame:
    """What the picture shows, as numbers: see `sweeper.analysis.samples.samples`.

    Args:
        results: The results of a study.
        split: ``test`` or ``validation``; None means the test split where there are predictions of it.

    Raises:
        UnknownNameError: No such split.
        NoDataError: There are no predictions of it.
    """
    return chosen.samples(results, split)


def samples(results: Results, *, split: str | None = None) -> Figure:
    """A figure with a row per image and a column per model: its guess with its probability, and that of the class if it errs.

    Args:
        results: The results of a study, which can read images.
        split: See `frame`, which raises what this does.

    Raises:
        NoDataError: Also where the images cannot be read, or are not those that the models predicted.
    """
    shown = frame(results, split=split)
    which = split_of(results, split)
    images = _images(results, shown, which)
    found = answers(results, split)
    called = names(results, found)
    labels = [_predictions.short(name, LONGEST) for name in classes(results, found)]
    models = list(dict.fromkeys(shown["parent"]))
    kinds = [own for _, own in shown.groupby("kind", sort=False)]
    heights = [0.3, *itertools.chain(*([0.42, *[1.0] * own["row"].nunique()] for own in kinds))]
    with _style.applied():
        picture = _style.figure(width=max(3.7 + 1.9 * len(models), 6.5), height=1.6 + 0.72 * sum(heights))
        widths = [1.1, 0.8, *[1.75] * len(models)]
        grid = picture.add_gridspec(len(heights), len(widths), height_ratios=heights, width_ratios=widths)
        for column, parent in enumerate(models, start=2):
            _write(picture.add_subplot(grid[0, column]), _predictions.short(called[parent], 18), height=0.5)
        lines = itertools.count(1)
        for own in kinds:
            _write(picture.add_subplot(grid[next(lines), :]), _heading(own, _total(shown), len(models)), height=0.3)
            for _, about in own.groupby("row", sort=False):
                line, given = next(lines), about.to_dict("records")
                row, label = given[0]["row"], given[0]["label"]
                _write_image(picture.add_subplot(grid[line, 0]), labels[label], f"{which} image {row}")
                _style.draw_image(picture.add_subplot(grid[line, 1]), images[row])
                for column, answer in enumerate(given, start=2):
                    _draw_answer(picture.add_subplot(grid[line, column]), answer, labels)
        handles = [Patch(label="its class", **RIGHT), Patch(label="another class", **WRONG)]
        caption = _caption(results, shown, which, len(called) - len(models))
        _style.finish(picture, title=_title(results, shown, which), caption=caption, handles=handles)
    return picture


def _images(results: Results, shown: pd.DataFrame, which: str) -> dict[int, npt.NDArray[Any]]:
    """The images by their numbers.

    Raises:
        NoDataError: They cannot be read, or have other classes than when they were predicted.
    """
    if results.images is None:
        raise NoDataError(
            f"the images of study '{results.study}' are not at hand. Draw them with: sweeper plot {results.named} samples"
        )
    label_of = {int(row): int(label) for row, label in zip(shown["row"], shown["label"], strict=True)}
    found = dict(zip(label_of, results.images(which, list(label_of)), strict=True))
    if any(label != label_of[row] for row, (_, label) in found.items()):
        raise NoDataError(f"the images of study '{results.study}' are not those that its models predicted: their classes differ.")
    return {row: image for row, (image, _) in found.items()}


def _bare(axes: Axes) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def _write(axes: Axes, text: str, *, height: float) -> None:
    _bare(axes)
    axes.text(0, height, text, fontsize=9, fontweight="bold", va="center")


def _heading(own: pd.DataFrame, total: int, num_models: int) -> str:
    """What is said above the images of one kind."""
    count = int(own["images"].iloc[0])
    happened, clearest = WORDS[own["kind"].iloc[0]]
    words = happened if num_models > 1 else happened.removeprefix("all are ")
    share = _quantities.percent(count / total)
    is_whole = own["row"].nunique() == count
    return f"{words[0].upper()}{words[1:]}: {_quantities.count(count, 'image')}, {share}" + ("" if is_whole else f"; {clearest}")


def _write_image(axes: Axes, label: str, number: str) -> None:
    _bare(axes)
    axes.text(0, 0.62, label, fontsize=9, va="center")
    axes.text(0, 0.3, number, fontsize=7, color="#555555", va="center")


def _draw_answer(axes: Axes, answer: dict[Any, Any], labels: list[str]) -> None:
    """The guess, marked as right or wrong, over its bar; below a wrong one, the class of the image with its own."""
    _bare(axes)
    is_right = answer["guess"] == answer["label"]
    bars = [(f"{'✓' if is_right else '✗'} {labels[answer['guess']]}", answer["probability"], is_right)]
    if not is_right:
        bars.append((labels[answer["label"]], answer["probability_of_label"], True))
    for place, (name, share, is_its_class) in enumerate(bars):
        bottom = 0.54 - 0.46 * place
        axes.barh(bottom, 1, height=0.13, align="edge", color="#ececec", linewidth=0)
        axes.barh(bottom, share, height=0.13, align="edge", **(RIGHT if is_its_class else WRONG))
        axes.text(0, bottom + 0.17, name, fontsize=7.5, va="bottom", fontweight="bold" if place == 0 else "normal")
        axes.text(1, bottom + 0.17, f"{100 * share:.0f} %", fontsize=7.5, va="bottom", ha="right")


def _total(shown: pd.DataFrame) -> int:
    """Images that every model predicted; of each kind that there is, one is shown at least."""
    return int(shown.drop_duplicates("kind")["images"].sum())


def _title(results: Results, shown: pd.DataFrame, which: str) -> str:
    counts = shown.drop_duplicates("kind").set_index("kind")["images"]
    share = {kind: _quantities.percent(counts.get(kind, 0) / _total(shown)) for kind in chosen.KINDS}
    num_models = shown["parent"].nunique()
    whole = "both" if num_models == 2 else f"all {num_models}"
    if num_models == 1:
        return f"{results.study}: the model is right on {share['right']} of the {which} images"
    return (
        f"{results.study}: of the {which} images, {whole} models are right on {share['right']}, none on {share['wrong']}; "
        f"they are divided over {share['divided']}"
    )


def _caption(results: Results, shown: pd.DataFrame, which: str, hidden: int) -> str:
    seeds = sorted(shown["seed"].unique())
    with_seeds = f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
    return (
        f"Stage confirm, {which} split: {_quantities.count(_total(shown), 'image')}. Each model is the training of its "
        f"configuration with {with_seeds}, the best configuration at the left. Chosen by the probability that the models give to "
        "the class of the image: highest mean where all are right, lowest mean where all are wrong, largest difference where "
        "they are divided; each of another class as long as there is one."
        + (f" Not shown: {_quantities.count(hidden, 'configuration')} of lower accuracy." if hidden else "")
    )
