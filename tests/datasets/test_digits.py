"""The embedded digits, and what the catalog says of the datasets that need no download."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from sweeper import catalog
from sweeper.datasets.digits import digits
from sweeper.errors import DatasetError
from tests.datasets.kit import three


@pytest.mark.parametrize("name", ["arrays", "digits"])
def test_catalog_reads_them_without_importing(name: str) -> None:
    assert name in catalog.names("dataset")
    assert catalog.summary("dataset", name)
    assert catalog.parameters("dataset", name)
    assert catalog.load("dataset", name).source
    assert catalog.load("dataset", name).licence


def test_digits() -> None:
    data = digits()
    assert data.name == "digits"
    assert data.class_names == tuple("0123456789")
    assert data.input_shape == (8, 8, 1)
    sizes = {name: len(split) for name, split in three(data).items()}
    assert sum(sizes.values()) == 1797
    assert sizes == {"train": 1079, "validation": 359, "test": 359}
    for split in three(data).values():
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert set(np.unique(split.images)) <= {round(level * 255 / 16) for level in range(17)}
        assert (split.images.min(), split.images.max()) == (0, 255)
        assert (np.bincount(split.labels, minlength=10) > 0.09 * len(split)).all()


def test_digits_splits_hold_every_image_once() -> None:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    original = sorted((label, *image) for image, label in zip(images.tolist(), labels.tolist(), strict=True))
    found = []
    for split in three(digits(split_seed=3)).values():
        levels = np.rint(split.images.reshape(len(split), 64) * (16 / 255))
        found += [(label, *image) for image, label in zip(levels.tolist(), split.labels.tolist(), strict=True)]
    assert sorted(found) == original


def test_digits_are_stratified_exactly() -> None:
    from sklearn.datasets import load_digits

    counts = np.bincount(load_digits().target)
    data = digits(validation_fraction=0.25, test_fraction=0.1)
    assert np.bincount(data.validation.labels).tolist() == [round(count * 0.25) for count in counts]
    assert np.bincount(data.read_test().labels).tolist() == [round(count * 0.1) for count in counts]


def test_digits_follow_the_seed() -> None:
    first, again, other = (three(digits(split_seed=seed)) for seed in (5, 5, 6))
    for name, split in first.items():
        assert np.array_equal(split.images, again[name].images)
        assert np.array_equal(split.labels, again[name].labels)
        assert not np.array_equal(split.images, other[name].images)


def test_digits_split_is_the_same_in_every_release() -> None:
    """These labels are those of the first release; a study resumed with others would validate on what it trained on."""
    assert digits().validation.labels[:20].tolist() == EXPECTED_LABELS


EXPECTED_LABELS = [1, 8, 5, 4, 7, 7, 5, 2, 2, 6, 3, 7, 4, 4, 0, 6, 6, 5, 4, 9]


@pytest.mark.parametrize("size", [9, 16, 64])
def test_digits_resized(size: int) -> None:
    small, large = digits(), digits(size=size)
    assert large.input_shape == (size, size, 1)
    assert large.train.images.dtype == np.uint8
    assert np.array_equal(small.train.labels, large.train.labels)
    means = [data.train.images.mean(axis=(1, 2, 3)) for data in (small, large)]
    assert np.abs(means[0] - means[1]).max() < 12


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"size": 7}, "size is 7; allowed: a whole number from 8 to 64"),
        ({"size": 65}, "size is 65"),
        ({"size": 8.0}, "size is 8.0"),
        ({"split_seed": -1}, "split_seed is -1"),
        ({"validation_fraction": 0}, "validation_fraction is 0; allowed: above 0 and below 1"),
        ({"test_fraction": float("nan")}, "test_fraction is nan"),
        ({"test_fraction": "0.2"}, "test_fraction is '0.2'"),
        ({"test_fraction": 0.5, "validation_fraction": 0.5}, "leave a split without any"),
        ({"test_fraction": 0.001}, "leave a split without any"),
    ],
)
def test_digits_refuse(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(DatasetError, match=re.escape(text)):
        digits(**arguments)
