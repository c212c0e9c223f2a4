"""What confirmed networks answered, image by image: right or wrong, how sure, and whether they err on the same images.

Every configuration has several seeds. Counts are **pooled**: an image counts once per seed. What compares two configurations is
computed for each pair of the same seed and **averaged** over the seeds they share. Images of the test split are the same for all
seeds; a validation split may be carved by the seed, so there only trainings with the same seed are compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sweeper.analysis.results import Results, arms
from sweeper.errors import NoDataError, UnknownNameError

SPLITS = ("test", "validation")
"""Where predictions come from; the first one that has any is looked at unless another one is asked for."""

BINS = 10
"""Bins of equal width in which confidence is compared with accuracy."""

Table = npt.NDArray[np.float64]


class Answers(NamedTuple):
    """What one trained network answered.

    Args:
        arm: Its arm.
        parent: The trial of the search whose configuration it has.
        seed: Its seed.
        rows: Numbers of the images, (images,), sorted.
        labels: Their classes, (images,).
        probabilities: (images, classes).
    """

    arm: str
    parent: str
    seed: int
    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    probabilities: Table

    @property
    def guesses(self) -> npt.NDArray[np.int64]:
        """The most probable class of each image."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def is_wrong(self) -> npt.NDArray[np.bool_]:
        """Whether that is not the image's class."""
        return np.asarray(self.guesses != self.labels)


def split_of(results: Results, split: str | None = None) -> str:
    """The split whose predictions are looked at.

    Raises:
        UnknownNameError: No such split.
        NoDataError: There are no predictions of it.
    """
    if split is not None and split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    there = set(results.predictions["split"])
    for name in SPLITS if split is None else (split,):
        if name in there:
            return name
    raise NoDataError(
        f"study '{results.study}' has no predictions{f' of the {split} split' if split else ''}. "
        f"Confirmed trials keep them: sweeper confirm {results.named}"
    )


def answers(results: Results, split: str | None = None) -> list[Answers]:
    """What each trained network answered, by arm, configuration and seed.

    Args:
        results: The results of a study.
        split: ``test`` or ``validation``; None means the test split where there are predictions of it.

    Raises:
        UnknownNameError: No such split.
        NoDataError: There are no predictions of it.
    """
    split = split_of(results, split)
    is_told = results.predictions["trial"].isin(results.trials["trial"])
    trials = results.trials[results.trials["trial"].isin(results.predictions["trial"])].set_index("trial").to_dict("index")
    # A results folder may have lost rows of its ledger: what is not known to be a trial is no answer.
    chosen = results.predictions[(results.predictions["split"] == split) & is_told]
    found = []
    for trial, rows in chosen.sort_values("row").groupby("trial"):
        about = trials[trial]
        found.append(
            Answers(
                arm=str(about["arm"]),
                parent=str(about["parent"] if pd.notna(about["parent"]) else trial),
                seed=int(about["seed"]),
                rows=rows["row"].to_numpy(np.int64),
                labels=rows["label"].to_numpy(np.int64),
                probabilities=np.stack(rows["probabilities"].to_list()).astype(float),
            )
        )
    if not found:
        raise NoDataError(
            f"study '{results.study}' has predictions of trials that its ledger does not know. See: sweeper audit {results.named}"
        )
    return sorted(found, key=lambda one: (one.arm, one.parent, one.seed))


def names(results: Results, found: list[Answers]) -> dict[str, str]:
    """What to call each configuration, by parent: its arm, and the trial instead where an arm has several."""
    pairs = dict.fromkeys((one.arm, one.parent) for one in found)
    by_arm = {arm: [parent for own, parent in pairs if own == arm] for arm in arms(results)}
    return {parent: arm if len(by_arm[arm]) == 1 else parent for arm, parent in pairs}


def classes(results: Results, found: list[Answers]) -> list[str]:
    """The names of the classes, or their numbers where they have no names."""
    count = found[0].probabilities.shape[1]
    return list(results.class_names) if len(results.class_names) == count else [str(number) for number in range(count)]


def confusion(results: Results, split: str | None = None) -> pd.DataFrame:
    """One row per configuration, class and guess: how often images of the class were taken for that, pooled over seeds.

    Returns:
        Columns ``arm parent label guess images share``; ``images`` counts each image once per seed, ``share`` is their part of
        all images of the class, NaN where there is none. Labels and guesses are numbers of classes.

    Raises:
        UnknownNameError: No such split.
        NoDataError: There are no predictions of it.
    """
    found = []
    for (arm, parent), own in _by_configuration(answers(results, split)):
        count = own[0].probabilities.shape[1]
        matrix = np.zeros((count, count), dtype=int)
        for one in own:
            np.add.at(matrix, (one.labels, one.guesses), 1)
        totals = matrix.sum(axis=1, keepdims=True)
        shares = np.divide(matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)
        for (label, guess), images in np.ndenumerate(matrix):
            found.append((arm, parent, label, guess, int(images), float(shares[label, guess])))
    return pd.DataFrame(found, columns=["arm", "parent", "label", "guess", "images", "share"])


def class_accuracy(results: Results, split: str | None = None) -> pd.DataFrame:
    """One row per configuration and class: how many of its images are right, with Wilson's 95 % interval.

    The accuracy is the mean over seeds. The interval is that of one training on the number of images of the class: the seeds
    share these images, so more seeds make it no narrower. It tells how much the choice of the images matters, not the seed.

    Returns:
        Columns ``arm parent label images seeds accuracy low high``, in the order of classes.

    Raises:
        UnknownNameError: No such split.
        NoDataError: There are no predictions of it.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    found = []
    for (arm, parent), own in _by_configuration(answers(results, split)):
        for label in range(own[0].probabilities.shape[1]):
            rights = [float((~one.is_wrong[one.labels == label]).mean()) for one in own if (one.labels == label).any()]
            images = max(int((one.labels == label).sum()) for one in own)
            if images:
                low, high = wilson(float(np.mean(rights)), images)
                found.append((arm, parent, label, images, len(rights), float(np.mean(rights)), low, high))
    return pd.DataFrame(found, columns=["arm", "parent", "label", "images", "seeds", "accuracy", "low", "high"])


def wilson(share: float, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share of `count`, which need not be a whole number of them: both ends, from 0 to 1."""
    z = float(stats.norm.ppf((1.0 + confidence) / 2.0))
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * (share * (1 - share) / count + z**2 / (4 * count**2)) ** 0.5
    return max(middle - half, 0.0), min(middle + half, 1.0)


def calibration(results: Results, split: str | None = None) -> pd.DataFrame:
    """One row per configuration and bin of confidence: how sure its networks were there, and how often right, pooled over seeds.

    Confidence is the probability of the most probable class. Bins have equal width: ten from 0 to 1; empty ones have no row.

    Returns:
        Columns ``arm parent bin images confidence accuracy ece``; ``ece`` is the expected calibration error: the mean over
        images of the distance between confidence and accuracy of their bin, computed for each seed and averaged over them.

    Raises:
        UnknownNameError: No such split.
        NoDataError: There are no predictions of it.

    Source: Guo et al., On calibration of modern neural networks (2017).
    """
    found = []
    for (arm, parent), own in _by_configuration(answers(results, split)):
        error = float(np.mean([_calibration_error(one) for one in own]))
        sure = np.concatenate([one.probabilities.max(axis=1) for one in own])
        right = np.concatenate([~one.is_wrong for one in own])
        bins = _bins(sure)
        for place in np.unique(bins):
            chosen = bins == place
            row = (int(place), int(chosen.sum()), float(sure[chosen].mean()), float(right[chosen].mean()))
            found.append((arm, parent, *row, error))
    return pd.DataFrame(found, columns=["arm", "parent", "bin", "images", "confidence", "accuracy", "ece"])


def _bins(sure: Table) -> npt.NDArray[np.int64]:
    return np.minimum((sure * BINS).astype(np.int64), BINS - 1)


def _calibration_error(one: Answers) -> float:
    sure, right = one.probabilities.max(axis=1), ~one.is_wrong
    gaps = np.bincount(_bins(sure), weights=sure - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(sure))


def error_overlap(results: Results, split: str | None = None) -> pd.DataFrame:
    """One row per ordered pair of configurations: whether they err on the same images, averaged over the seeds they share.

    On the test split a configuration is also compared with itself, over every two of its seeds: so much do two trainings of one
    network agree.

    Returns:
        Columns ``first second pairs both either jaccard kappa``. ``both`` and ``either`` are the shares of images on which both
        or at least one of them errs; ``jaccard`` is the first divided by the second; ``kappa`` is Cohen's: how much more they
        agree on what is hard than two with the same accuracies that err independently, 0 for such ones, 1 for the same
        errors. NaN without a pair of seeds, and where one of them never errs. ``pairs`` counts the pairs of trainings.

    Raises:
        UnknownNameError: No such split.
        NoDataError: There are no predictions of it.

    Source: Cohen, A coefficient of agreement for nominal scales (1960); Geirhos et al., Beyond accuracy (2020).
    """
    is_same_for_seeds = split_of(results, split) == "test"
    groups = [(parent, own) for (_, parent), own in _by_configuration(answers(results, split))]
    found = []
    for (first, ones), (second, others) in itertools.product(groups, repeat=2):
        if first == second:
            pairs = list(itertools.combinations(ones, 2)) if is_same_for_seeds else []
        else:
            pairs = [(one, other) for one in ones for other in others if one.seed == other.seed]
        measured = [_overlap(one, other) for one, other in pairs]
        means = np.mean(measured, axis=0) if measured else np.full(4, np.nan)
        found.append((first, second, len(pairs), *map(float, means)))
    return pd.DataFrame(found, columns=["first", "second", "pairs", "both", "either", "jaccard", "kappa"])


def _overlap(one: Answers, other: Answers) -> tuple[float, float, float, float]:
    _, left, right = np.intersect1d(one.rows, other.rows, assume_unique=True, return_indices=True)
    first, second = one.is_wrong[left], other.is_wrong[right]
    both, either = float((first & second).mean()), float((first | second).mean())
    agreed = float((first == second).mean())
    expected = float(first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean()))
    kappa = (agreed - expected) / (1 - expected) if expected < 1 else np.nan
    return both, either, both / either if either else np.nan, kappa


def _by_configuration(found: list[Answers]) -> Iterator[tuple[tuple[str, str], list[Answers]]]:
    for key, own in itertools.groupby(found, key=lambda one: (one.arm, one.parent)):
        yield key, list(own)
