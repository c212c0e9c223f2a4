"""What confirmed networks answered: confusion, accuracy per class, calibration and shared errors, by hand; and their drawings."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from sweeper import catalog
from sweeper.analysis import predictions
from sweeper.analysis.results import Results
from sweeper.errors import NoDataError, UnknownNameError
from tests import synthetic
from tests.test_plots import check_text, words

NAMES = ("confusion", "class_accuracy", "calibration", "error_overlap")

LABELS = [0, 0, 0, 1, 1, 1]

GUESSES = {
    "cnn": {1000: [0, 0, 1, 1, 1, 1], 1001: [0, 0, 0, 1, 1, 0]},
    "resnet": {1000: [0, 0, 1, 1, 1, 0], 1001: [0, 1, 0, 1, 1, 1]},
}
"""By arm and seed, what each of six images was taken for."""


def answered(guesses: dict[str, dict[int, list[int]]], *, sure: float = 0.9, labels: list[int] | None = None) -> Results:
    """Two arms confirmed with two seeds each, whose networks give what they take an image for the probability `sure`."""
    results = synthetic.build(num_arms=len(guesses), trials_per_arm=3, max_epochs=1, confirm_seeds=2)
    confirmed = results.trials[results.trials["stage"] == "confirm"].set_index(["arm", "seed"])["trial"]
    rows = []
    for arm, by_seed in guesses.items():
        for seed, given in by_seed.items():
            for row, (label, guess) in enumerate(zip(labels or LABELS, given, strict=True)):
                probabilities = np.full(2, 1 - sure)
                probabilities[guess] = sure
                rows.append((confirmed[arm, seed], "test", row, label, probabilities))
    # A reader may give rows in any order.
    table = pd.DataFrame(rows[::-1], columns=["trial", "split", "row", "label", "probabilities"])
    return dataclasses.replace(results, predictions=table, class_names=("cat", "dog"))


def test_confusion_by_hand() -> None:
    table = predictions.confusion(answered(GUESSES)).set_index(["arm", "label", "guess"])
    assert table.loc["cnn", "images"].tolist() == [5, 1, 1, 5]
    assert table.loc["resnet", "share"].tolist() == pytest.approx([4 / 6, 2 / 6, 1 / 6, 5 / 6])
    only_cats = answered({"cnn": {1000: [0, 1]}}, labels=[0, 0])
    assert predictions.confusion(only_cats)["share"].isna().tolist() == [False, False, True, True]
    assert predictions.class_accuracy(only_cats)["label"].tolist() == [0], "a class without an image has no row"


def test_class_accuracy_is_the_mean_over_seeds_with_the_interval_of_one() -> None:
    row = predictions.class_accuracy(answered(GUESSES)).iloc[0]
    assert (row["arm"], row["label"], row["images"], row["seeds"]) == ("cnn", 0, 3, 2)
    assert row["accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert (row["low"], row["high"]) == pytest.approx(predictions.wilson(5 / 6, 3))


@pytest.mark.parametrize(("right", "count"), [(0, 10), (3, 10), (10, 10), (9500, 10000)])
def test_wilson_is_that_of_scipy(right: int, count: int) -> None:
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert predictions.wilson(right / count, count) == pytest.approx((expected.low, expected.high))


def test_calibration_by_hand() -> None:
    """Both seeds of cnn are right on 5 of 6 images and sure by 0.9, those of resnet on 4 and 5."""
    table = predictions.calibration(answered(GUESSES)).set_index("arm")
    assert table[["bin", "images"]].to_numpy().tolist() == [[9, 12], [9, 12]]
    assert table["confidence"].tolist() == pytest.approx([0.9, 0.9])
    assert table["accuracy"].tolist() == pytest.approx([10 / 12, 9 / 12])
    assert table["ece"].tolist() == pytest.approx([0.9 - 5 / 6, ((0.9 - 4 / 6) + (0.9 - 5 / 6)) / 2])
    assert predictions.calibration(answered(GUESSES, sure=1.0))["bin"].tolist() == [9, 9], "the last bin holds 1"


def test_error_overlap_by_hand() -> None:
    """Seed 1000: both err on image 2, resnet also on 5. Seed 1001: cnn errs on image 5, resnet on 1."""
    table = predictions.error_overlap(answered(GUESSES)).set_index(["first", "second"])
    by_arm = {str(parent)[:3]: parent for parent in table.index.get_level_values(0)}
    pair = table.loc[(by_arm["cnn"], by_arm["res"])]
    assert pair["pairs"] == 2
    assert pair["both"] == pytest.approx((1 / 6 + 0) / 2) and pair["either"] == pytest.approx(2 / 6)
    assert pair["jaccard"] == pytest.approx((1 / 2 + 0) / 2)
    by_seed = [(5 / 6, 1 / 6 * 2 / 6 + 5 / 6 * 4 / 6), (4 / 6, 1 / 36 + 25 / 36)]
    assert pair["kappa"] == pytest.approx(np.mean([(agreed - chance) / (1 - chance) for agreed, chance in by_seed]))
    assert table.loc[(by_arm["res"], by_arm["cnn"])].to_dict() == pytest.approx(pair.to_dict())
    assert table.loc[(by_arm["cnn"], by_arm["cnn"]), "pairs"] == 1, "two seeds of one configuration"


def test_images_that_only_one_of_them_saw_are_not_compared() -> None:
    results = answered({"cnn": {1000: [1, 0, 0, 1, 1, 1]}, "resnet": {1000: [1, 0, 0, 1, 1, 0]}})
    is_hidden = results.predictions["trial"].str.startswith("resnet") & (results.predictions["row"] == 5)
    seen = dataclasses.replace(results, predictions=results.predictions[~is_hidden])
    pair = predictions.error_overlap(seen).iloc[1]
    assert (pair["both"], pair["kappa"]) == pytest.approx((1 / 5, 1.0))


def test_two_seeds_have_validation_images_of_their_own() -> None:
    results = answered(GUESSES)
    carved = dataclasses.replace(results, predictions=results.predictions.assign(split="validation"))
    table = predictions.error_overlap(carved)
    assert table["pairs"].tolist() == [0, 2, 2, 0] and table["kappa"].isna().tolist() == [True, False, False, True]


def test_trials_that_the_ledger_does_not_know_are_left_out() -> None:
    results = answered(GUESSES)
    lost = dataclasses.replace(results, trials=results.trials[results.trials["arm"] != "resnet"])
    assert set(predictions.confusion(lost)["arm"]) == {"cnn"}
    with pytest.raises(NoDataError, match=r"does not know\. See: sweeper audit digits$"):
        predictions.confusion(dataclasses.replace(results, trials=results.trials.iloc[:0]))


def made_up(arms: int, classes: int, images: int) -> Results:
    """Predictions that are right more often than not, on images that are hard for all."""
    results = synthetic.build(num_arms=arms, trials_per_arm=3, max_epochs=1, confirm_seeds=2)
    stream = np.random.default_rng(0)
    labels, hardness = stream.integers(0, classes, images), stream.random((images, classes))
    rows: list[Any] = []
    for trial in results.trials.query("stage == 'confirm'")["trial"]:
        weights = np.exp(4 * (hardness + 0.3 * stream.random((images, classes)) + 0.3 * (labels[:, None] == np.arange(classes))))
        shares = weights / weights.sum(axis=1, keepdims=True)
        rows += [(trial, "validation", row, labels[row], shares[row]) for row in range(images)]
    names = tuple(f"a rather long name of class {number}" for number in range(classes))
    table = pd.DataFrame(rows, columns=["trial", "split", "row", "label", "probabilities"])
    return dataclasses.replace(results, predictions=table, class_names=names)


@pytest.mark.long
@pytest.mark.parametrize(("arms", "classes"), [(2, 3), (5, 10), (2, 45)])
def test_the_drawings(arms: int, classes: int) -> None:
    results = made_up(arms, classes, images=300)
    for name in NAMES:
        figure = catalog.load("plot", name)(results)
        check_text(figure)
        assert "Stage confirm, validation split: 300 images, 2 seeds of each configuration" in words(figure)


def test_the_test_split_is_looked_at_where_there_is_one() -> None:
    results = answered(GUESSES)
    other = results.predictions.assign(split="validation", label=0)
    both = dataclasses.replace(results, predictions=pd.concat([results.predictions, other]))
    pd.testing.assert_frame_equal(predictions.confusion(both), predictions.confusion(results))
    assert predictions.confusion(both, split="validation").query("label == 1")["images"].sum() == 0


@pytest.mark.parametrize("name", NAMES)
def test_without_predictions_the_error_says_what_to_do(name: str) -> None:
    with pytest.raises(NoDataError, match=r"^study 'digits' has no predictions\. .* sweeper confirm digits$"):
        catalog.load("plot", name)(synthetic.build(confirm_seeds=2))
    with pytest.raises(UnknownNameError, match="unknown split 'tst'"):
        catalog.load("plot", name)(answered(GUESSES), split="tst")


def test_one_configuration_has_nothing_to_be_compared_with() -> None:
    with pytest.raises(NoDataError, match=r"one configuration only.* sweeper confirm digits --per-arm 2$"):
        catalog.load("plot", "error_overlap")(answered({"cnn": GUESSES["cnn"]}))
