"""Do the models err on the same images? And what their average would be worth."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeper.report.choices import Choices
from sweeper.report.parts import Number, Section, Sentence, Table, cells, name, said

Right = npt.NDArray[np.bool_]


def same_images(found: Choices) -> Section | None:
    """The answer, from the predictions of one training of each contender, the one with the lowest seed; None without any."""
    predictions = found.results.predictions
    if predictions.empty or not found.is_confirmed:
        return None
    split = "test" if (predictions["split"] == "test").any() else "validation"
    trials = _lowest_seeds(found, predictions[predictions["split"] == split])
    if len(trials) < 2:
        return None
    rows = predictions[(predictions["split"] == split) & predictions["trial"].isin(list(trials))]
    labels, probabilities = _aligned(rows, list(trials))
    if not len(labels):
        return None
    wrong = {trial: probabilities[trial].argmax(axis=1) != labels for trial in trials}
    sentences = [
        _all_or_any(wrong, split, len(labels)),
        *_pairs_apart(wrong, trials),
        _ensemble(probabilities, labels, wrong, trials, split),
    ]
    columns = ("pair", "both wrong, of either wrong", "if independent")
    table = Table(
        columns=columns,
        rows=cells([_pair(*pair), _overlap(wrong, *pair), _expected(wrong, *pair)] for pair in itertools.combinations(trials, 2)),
    )
    note = (
        f"One training of each configuration, that with the lowest seed, on the {split} images that all have predictions of. "
        "“If independent”: what two models with these error rates would share by chance."
    )
    return Section(key="same_images", title="Do they err on the same images?", sentences=tuple(sentences), note=note, table=table)


def _lowest_seeds(found: Choices, predictions: pd.DataFrame) -> dict[str, str]:
    """By trial: the arm. Of each contender the training with the lowest seed that has predictions, in the order of contenders."""
    trials = found.results.trials
    own = trials[(trials["stage"] == found.stage) & trials["trial"].isin(predictions["trial"].unique())]
    first = own.sort_values("seed").drop_duplicates("parent").set_index("parent")
    return {
        str(first.loc[parent, "trial"]): str(first.loc[parent, "arm"])
        for parent in found.contenders["trial"]
        if parent in first.index
    }


def _aligned(rows: pd.DataFrame, trials: list[str]) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.float64]]]:
    """Labels and probabilities (shape (images, classes)) of the images that every trial has predictions of, in one order."""
    by_trial = {trial: own.drop_duplicates("row").set_index("row") for trial, own in rows.groupby("trial")}
    shared = sorted(set.intersection(*(set(own.index) for own in by_trial.values())))
    if not shared:
        return np.empty(0, dtype=np.int64), {}
    labels = by_trial[trials[0]].loc[shared, "label"].to_numpy(dtype=np.int64)
    return labels, {trial: np.stack(by_trial[trial].loc[shared, "probabilities"].to_list()).astype(float) for trial in trials}


def _number(value: float, trials: tuple[str, ...], how: str) -> Number:
    return Number(
        text=f"{100 * value:.1f} %",
        value=value,
        rows="; ".join(trials),
        column="label, probabilities",
        how=how,
        table="predictions",
    )


def _all_or_any(wrong: dict[str, Right], split: str, images: int) -> Sentence:
    table = np.stack(list(wrong.values()))
    every = _number(float(table.all(axis=0).mean()), tuple(wrong), "share of images that all get wrong")
    some = _number(float(table.any(axis=0).mean()), tuple(wrong), "share of images that at least one gets wrong")
    whose = "both" if len(wrong) == 2 else f"all {len(wrong)}"
    return said("Of {} {} images {} are wrong for {} models, {} for at least one.", f"{images:,}", split, every, whose, some)


def _pair(one: str, other: str) -> str:
    return f"{one}, {other}"


def _shared(wrong: dict[str, Right], one: str, other: str) -> float:
    either = (wrong[one] | wrong[other]).sum()
    return float((wrong[one] & wrong[other]).sum() / either) if either else float("nan")


def _overlap(wrong: dict[str, Right], one: str, other: str) -> Number:
    value = _shared(wrong, one, other)
    text = f"{100 * value:.0f} %" if value == value else "–"
    how = "images both get wrong / images either gets wrong"
    return Number(text=text, value=value, rows=f"{one}; {other}", column="label, probabilities", how=how, table="predictions")


def _expected(wrong: dict[str, Right], one: str, other: str) -> Number:
    first, second = float(wrong[one].mean()), float(wrong[other].mean())
    either = first + second - first * second
    value = first * second / either if either else float("nan")
    text = f"{100 * value:.0f} %" if value == value else "–"
    how = "product of the error rates / rate of either error"
    return Number(text=text, value=value, rows=f"{one}; {other}", column="label, probabilities", how=how, table="predictions")


def _pairs_apart(wrong: dict[str, Right], trials: dict[str, str]) -> list[Sentence]:
    pairs = [pair for pair in itertools.combinations(trials, 2) if _shared(wrong, *pair) == _shared(wrong, *pair)]
    if not pairs:
        return []
    most = max(pairs, key=lambda pair: _shared(wrong, *pair))
    text = "Of the images that {} or {} gets wrong, {} are wrong for both; independent errors would share {}."
    told = [said(text, trials[most[0]], trials[most[1]], _overlap(wrong, *most), _expected(wrong, *most))]
    least = min(pairs, key=lambda pair: _shared(wrong, *pair))
    if least != most:
        told.append(said("{} and {} share least: {}.", trials[least[0]], trials[least[1]], _overlap(wrong, *least)))
    return told


def _ensemble(
    probabilities: dict[str, npt.NDArray[np.float64]],
    labels: npt.NDArray[np.int64],
    wrong: dict[str, Right],
    trials: dict[str, str],
    split: str,
) -> Sentence:
    voted = np.mean(list(probabilities.values()), axis=0).argmax(axis=1)
    together = _number(float((voted == labels).mean()), tuple(trials), "accuracy of the mean of the probabilities")
    best = min(wrong, key=lambda trial: float(wrong[trial].mean()))
    alone = _number(1.0 - float(wrong[best].mean()), (best,), "accuracy")
    return said(
        "Averaging their probabilities gives {} {}; the best of these models alone, {}, {}.",
        together,
        name(f"{split}_accuracy"),
        trials[best],
        alone,
    )
