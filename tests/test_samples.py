"""Images chosen to show how confirmed models differ: which ones, by hand; the drawing; and where images come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sweeper import catalog
from sweeper.analysis import samples
from sweeper.analysis.results import Results
from sweeper.driver.images import images_of
from sweeper.errors import NoDataError, UnknownNameError
from sweeper.study.spec import parse
from tests import synthetic
from tests.test_plots import check_text, words
from tests.test_predictions import GUESSES, answered, made_up

STUDY = """\
name: made
dataset: {name: arrays, path: PATH}
arms: {cnn: {}}
budget: {trials: 1, max_epochs: 1}
"""


def confirmed(cats: dict[str, list[float]], labels: Sequence[int], *, split: str = "test", seed: int = 1000) -> Results:
    """Two classes; by arm, the probability of the first one for each image."""
    results = synthetic.build(num_arms=len(cats), trials_per_arm=3, max_epochs=1, confirm_seeds=2)
    trials = results.trials[(results.trials["stage"] == "confirm") & (results.trials["seed"] == seed)].set_index("arm")["trial"]
    rows = [
        (trials[arm], split, row, label, np.array([share, 1 - share]))
        for arm, shares in cats.items()
        for row, (label, share) in enumerate(zip(labels, shares, strict=True))
    ]
    table = pd.DataFrame(rows, columns=["trial", "split", "row", "label", "probabilities"])
    return dataclasses.replace(results, predictions=table, class_names=("cat", "dog"))


def with_images(results: Results, labels: Sequence[int], *, channels: int = 1) -> Results:
    """The same results, whose images are at hand."""

    def read(split: str, rows: Sequence[int]) -> list[tuple[Any, int]]:
        return [(np.full((8, 8, channels), 10 * row % 256, np.uint8), int(labels[row])) for row in rows]

    return dataclasses.replace(results, images=read)


def test_the_clearest_images_of_each_kind_by_hand() -> None:
    """Image 0 to 2: both right; 3 and 4: only one; 5 and 6: none."""
    labels = [0, 0, 1, 0, 0, 1, 1]
    cats = {"cnn": [0.9, 0.8, 0.4, 0.6, 0.9, 0.9, 0.6], "resnet": [0.7, 0.95, 0.3, 0.4, 0.2, 0.8, 0.7]}
    table = samples.samples(confirmed(cats, labels), each=2)
    rows = table.groupby(["kind", "row"], sort=False).size()
    assert rows.index.tolist() == [("right", 1), ("right", 2), ("divided", 4), ("divided", 3), ("wrong", 5), ("wrong", 6)], (
        "of those both are right on, 1 is the surest cat, and 2 a dog, though image 0 is surer"
    )
    assert table.drop_duplicates("kind")["images"].tolist() == [3, 2, 2]
    assert table["arm"].tolist()[:2] == ["cnn", "resnet"], "the better one first"
    row = table[(table["row"] == 4) & (table["arm"] == "resnet")].iloc[0]
    assert (row["label"], row["guess"], row["seed"]) == (0, 1, 1000)
    assert (row["probability"], row["probability_of_label"]) == pytest.approx((0.8, 0.2))


def test_equal_images_are_taken_in_their_order() -> None:
    table = samples.samples(confirmed({"cnn": [1.0] * 9}, [0] * 9))
    assert table["row"].tolist() == [0, 1, 2]
    assert set(table["kind"]) == {"right"}


def test_the_model_of_a_configuration_is_that_of_its_first_seed() -> None:
    table = samples.samples(answered(GUESSES))
    assert set(table["seed"]) == {1000}
    late = answered(GUESSES)
    trials = late.trials.set_index("trial")
    hidden = late.predictions["trial"].map(trials["arm"]).eq("cnn") & late.predictions["trial"].map(trials["seed"]).eq(1000)
    table = samples.samples(dataclasses.replace(late, predictions=late.predictions[~hidden]))
    assert table.groupby("arm")["seed"].first().to_dict() == {"cnn": 1001, "resnet": 1000}


def test_only_images_that_every_model_predicted() -> None:
    results = confirmed({"cnn": [0.9, 0.9], "resnet": [0.9, 0.9]}, [0, 0])
    is_of_cnn = results.predictions["trial"].str.startswith("cnn")
    apart = results.predictions[is_of_cnn == (results.predictions["row"] == 0)]
    with pytest.raises(NoDataError, match="no image that all its models predicted"):
        samples.samples(dataclasses.replace(results, predictions=apart))
    less = results.predictions[is_of_cnn | (results.predictions["row"] == 1)]
    table = samples.samples(dataclasses.replace(results, predictions=less))
    assert set(table["row"]) == {1} and set(table["images"]) == {1}


@pytest.mark.long
@pytest.mark.parametrize(("arms", "classes", "channels"), [(1, 3, 1), (2, 10, 3), (8, 45, 1)])
def test_the_drawing(arms: int, classes: int, channels: int) -> None:
    results = made_up(arms, classes, images=300)
    labels = results.predictions.drop_duplicates("row").set_index("row")["label"]
    figure = catalog.load("plot", "samples")(with_images(results, labels.tolist(), channels=channels))
    check_text(figure)
    text = words(figure)
    assert "Stage confirm, validation split: 300 images. Each model is the training of its configuration with seed" in text
    assert ("Not shown: 2 configurations of lower accuracy." in text) == (arms == 8)
    assert len([axes for axes in figure.axes if axes.images]) == samples.samples(results)["row"].nunique()


def test_an_image_is_drawn_from_black_to_white() -> None:
    results = confirmed({"cnn": [0.9, 0.1]}, [0, 0])
    images = [np.array([[[0], [51]]], np.uint8), np.array([[[0.0], [0.5]]], np.float32)]
    figure = catalog.load("plot", "samples")(
        dataclasses.replace(results, images=lambda split, rows: [(images[row], 0) for row in rows])
    )
    drawn = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert np.allclose(np.stack(drawn)[:, 0], [[0, 0.2], [0, 0.5]])


def test_without_images_or_with_others_it_says_so() -> None:
    draw = catalog.load("plot", "samples")
    results = confirmed({"cnn": [0.9, 0.8]}, [0, 0])
    with pytest.raises(NoDataError, match=r"are not at hand\. Draw them with: sweeper plot digits samples"):
        draw(results)
    with pytest.raises(NoDataError, match="are not those that its models predicted: their classes differ"):
        draw(with_images(results, [1, 1]))
    with pytest.raises(NoDataError, match="has no predictions"):
        draw(synthetic.build(confirm_seeds=2))
    with pytest.raises(UnknownNameError, match="unknown split 'tst'"):
        draw(results, split="tst")


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """Two images of each of ten classes for each split, each of one grey: its number."""
    path = tmp_path / "made.npz"
    labels = np.repeat(np.arange(10), 2)
    grey = {split: np.full((20, 4, 4, 1), 0, np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None, None] for split in "abc"}
    splits = {"train": grey["a"], "validation": grey["b"] + 20, "test": grey["c"] + 40}
    np.savez(path, **{f"x_{name}": own for name, own in splits.items()}, **{f"y_{name}": labels for name in splits})
    return path


def test_images_are_those_that_predictions_number(arrays: Path) -> None:
    read = images_of(parse(STUDY.replace("PATH", str(arrays))))
    assert [(int(image[0, 0, 0]), label) for image, label in read("test", [3, 0])] == [(43, 1), (40, 0)]
    found = [(int(image[0, 0, 0]), label) for image, label in read("validation", [5, 20, 39])]
    assert found == [(5, 2), (20, 0), (39, 9)], "numbered on from the training images"


def test_images_that_are_gone_are_told(arrays: Path) -> None:
    read = images_of(parse(STUDY.replace("PATH", str(arrays))))
    with pytest.raises(NoDataError, match="the dataset arrays has fewer images now than when study 'made' was confirmed"):
        read("test", [20])
    arrays.unlink()
    with pytest.raises(NoDataError, match=r"the images of study 'made' cannot be read here: .*made\.npz"):
        read("test", [0])
