"""Single images that show how confirmed models differ: where all are right, where they are divided, where all are wrong."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from sweeper.analysis.predictions import Answers, answers
from sweeper.analysis.results import Results
from sweeper.errors import NoDataError

KINDS = ("right", "divided", "wrong")
"""Kinds of images: all models are right, some are, none is."""

EACH = 3
"""Images of each kind."""

MOST = 6
"""Models shown side by side."""

COLUMNS = ["kind", "images", "row", "label", "arm", "parent", "seed", "guess", "probability", "probability_of_label"]


def samples(results: Results, split: str | None = None, *, each: int = EACH, most: int = MOST) -> pd.DataFrame:
    """One row per image chosen and model: what the model took the image for, and how sure it was.

    A model is the training of a configuration with its smallest seed. The best configurations are shown, by their mean accuracy
    over seeds. Of each kind of image, the clearest are chosen: for ``right``, those whose class all models together find most
    probable; for ``wrong``, least probable; for ``divided``, those where two models differ most in that probability. Each is of
    another class as long as there is one; of equal ones the first counts.

    Args:
        results: The results of a study.
        split: ``test`` or ``validation``; None means the test split where there are predictions of it.
        each: Images of each kind, at most.
        most: Models, at most.

    Returns:
        Columns ``kind images row label arm parent seed guess probability probability_of_label``. ``images`` counts those of this
        kind among all that every model predicted; ``row`` is the number of the image, ``probability`` that of the guess. Kinds
        in the order of `KINDS`, images in the order of choice, the best model first.

    Raises:
        UnknownNameError: No such split.
        NoDataError: There are no predictions of it, or no image that every model predicted.
    """
    models = _models(results, split, most)
    rows = functools.reduce(np.intersect1d, [one.rows for one in models])
    if not len(rows):
        raise NoDataError(
            f"study '{results.study}' has no image that all its models predicted. Confirm every arm with the same seeds: "
            f"sweeper confirm {results.named}"
        )
    places = [np.searchsorted(one.rows, rows) for one in models]
    labels = models[0].labels[places[0]]
    truth = np.stack([one.probabilities[place, labels] for one, place in zip(models, places, strict=True)])
    is_right = np.stack([~one.is_wrong[place] for one, place in zip(models, places, strict=True)])
    scores = {
        "right": (is_right.all(axis=0), truth.mean(axis=0)),
        "divided": (is_right.any(axis=0) & ~is_right.all(axis=0), truth.max(axis=0) - truth.min(axis=0)),
        "wrong": (~is_right.any(axis=0), -truth.mean(axis=0)),
    }
    found = []
    for kind, (belongs, score) in scores.items():
        own = pd.DataFrame({"label": labels[belongs], "score": score[belongs]}, index=np.flatnonzero(belongs))
        for image in _clearest(own, each):
            for one, place in zip(models, places, strict=True):
                shares = one.probabilities[place[image]]
                guess = int(shares.argmax())
                about = (kind, int(belongs.sum()), int(rows[image]), int(labels[image]), one.arm, one.parent, one.seed)
                found.append((*about, guess, float(shares[guess]), float(shares[labels[image]])))
    return pd.DataFrame(found, columns=COLUMNS)


def _models(results: Results, split: str | None, most: int) -> list[Answers]:
    """The answers of each configuration's first training, the best configurations first."""
    found = answers(results, split)
    by_parent = {one.parent: [other for other in found if other.parent == one.parent] for one in found}
    accuracies = {parent: np.mean([1 - other.is_wrong.mean() for other in own]) for parent, own in by_parent.items()}
    ranking = sorted(by_parent, key=lambda parent: (-accuracies[parent], parent))
    return [by_parent[parent][0] for parent in ranking[:most]]


def _clearest(images: pd.DataFrame, each: int) -> list[int]:
    """The places of the images of highest score, those of classes not yet taken first."""
    ranked = images.sort_values("score", ascending=False, kind="stable")
    ranked = ranked.assign(turn=ranked.groupby("label").cumcount())
    return [int(place) for place in ranked.sort_values(["turn", "score"], ascending=[True, False], kind="stable").index[:each]]
