"""What all datasets share: their signatures, carving, leaving rows out of training, the audit."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper import catalog
from sweeper.datasets import Dataset, Split, _splits
from sweeper.datasets._audit import Audit, audit, digests
from sweeper.datasets.arrays import arrays
from sweeper.datasets.digits import digits
from sweeper.errors import DatasetError

# Conformance


@pytest.mark.parametrize("name", catalog.names("dataset"))
def test_every_dataset_conforms(name: str) -> None:
    function = catalog.load("dataset", name)
    assert function.__name__ == name
    assert catalog.summary("dataset", name)
    assert len(function.source) > 5
    assert len(function.licence) > 2
    signature = inspect.signature(function)
    assert signature.return_annotation == "Dataset"
    documented = inspect.getdoc(function) or ""
    assert "DatasetError:" in documented.partition("Raises:")[2]
    plain = re.compile(r"(int|float|bool|str)( \| None)?|tuple\[(int|float|bool|str), \.\.\.\]")
    for key, parameter in signature.parameters.items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, key
        assert plain.fullmatch(parameter.annotation), f"{key}: a study file cannot hold {parameter.annotation}"
        assert f"\n    {key}: " in documented, f"{key} is not documented"
    assert signature.parameters["fraction"].default == 1.0
    assert signature.parameters["split_seed"].default == 0
    assert ("leave_out_shared" in signature.parameters) == (name != "digits")
    # As the checks of a study file see it, without importing.
    assert list(catalog.parameters("dataset", name)) == list(signature.parameters)


@pytest.mark.parametrize("name", catalog.names("dataset"))
def test_no_dataset_imports_anything_heavy_at_the_top(name: str) -> None:
    tree = ast.parse(Path(inspect.getfile(catalog.load("dataset", name))).read_text(encoding="utf-8"))
    modules = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert not {module for module in modules if module and module.split(".")[0] in ("numpy", "PIL", "keras", "sklearn")}


# Carving

LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=200).map(lambda extra: np.array([0, 1, 2, 3] * 4 + extra))


def carve(labels: Any, **options: Any) -> Any:
    return _splits.carved(labels, where="here", class_names=tuple("abcd"), **options)


@given(labels=LABELS, seed=st.integers(0, 2**63), validation=st.floats(0.15, 0.3), test=st.none() | st.floats(0.15, 0.3))
def test_carving_gives_every_row_once_in_the_same_mixture(labels: Any, seed: int, validation: float, test: float | None) -> None:
    parts = carve(labels, split_seed=seed, validation_fraction=validation, test_fraction=test)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    assert all((np.diff(part) > 0).all() for part in parts)
    counts = np.bincount(labels, minlength=4)
    assert np.bincount(labels[parts[1]], minlength=4).tolist() == [round(count * validation) for count in counts.tolist()]
    assert np.bincount(labels[parts[2]], minlength=4).tolist() == [round(count * (test or 0)) for count in counts.tolist()]
    again = carve(labels, split_seed=seed, validation_fraction=validation, test_fraction=test)
    assert all(np.array_equal(first, second) for first, second in zip(parts, again, strict=True))


def test_which_rows_are_carved_never_changes() -> None:
    train, validation, test = carve(np.arange(12) % 2, split_seed=0, validation_fraction=0.2, test_fraction=0.2)
    assert (validation.tolist(), test.tolist()) == ([3, 8], [2, 11])  # if this fails, results of old studies cannot be repeated
    assert len(train) == 8


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"validation_fraction": 0.01}, "here: validation_fraction 0.01 leave a split without any of the 4 images of class 'a'"),
        ({"validation_fraction": 0.9}, "leave a split without any of the 4 images"),
        ({"validation_fraction": 0.5, "test_fraction": 0.5}, "validation_fraction 0.5 and test_fraction 0.5 leave a split"),
        ({"validation_fraction": 0.0}, "validation_fraction is 0.0; allowed: above 0 and below 1."),
        ({"validation_fraction": True}, "validation_fraction is True"),
        ({"test_fraction": 1}, "test_fraction is 1; allowed: above 0 and below 1."),
        ({"split_seed": -1}, "split_seed is -1; allowed: a whole number from 0."),
    ],
)
def test_carving_refuses(options: dict[str, Any], text: str) -> None:
    with pytest.raises(DatasetError, match=re.escape(text)):
        carve(np.array([0, 1, 2, 3] * 4), **{"split_seed": 0, **options})


# Rows that stay


def split(num: int, *, first: int = 0) -> Split:
    images = np.zeros((num, 2, 2, 1), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(first, first + num) % 256
    images[:, 0, 1, 0] = np.arange(first, first + num) // 256
    return Split(images, np.arange(num) % 3)


@given(num=st.integers(1, 5000), data=st.data())
def test_keeping_rows_in_place_is_keeping_rows(num: int, data: st.DataObject) -> None:
    density = data.draw(st.floats(0, 1))
    rows = np.flatnonzero(np.random.default_rng(data.draw(st.integers(0, 99))).random(num) < density)
    whole = split(num)
    kept = _splits._kept(split(num), rows)
    assert np.array_equal(kept.images, whole.images[rows])
    assert np.array_equal(kept.labels, whole.labels[rows])


def test_keeping_most_rows_makes_no_second_copy() -> None:
    whole = split(5000)
    assert np.shares_memory(_splits._kept(whole, np.arange(1, 5000)).images, whole.images)
    whole.images.flags.writeable = False
    assert not np.shares_memory(_splits._kept(whole, np.arange(1, 5000)).images, whole.images)


def reduce(train: Split, **options: Any) -> tuple[Split, list[str]]:
    given_options = {"later": lambda: set(), "leave_out_shared": False, "fraction": 1.0, "split_seed": 0, **options}
    return _splits.reduced(train, where="here", class_names=tuple("abc"), **given_options)


@given(num=st.integers(3, 400), fractions=st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)), seed=st.integers(0, 2**40))
def test_a_fraction_is_stratified_and_nested(num: int, fractions: tuple[float, float], seed: int) -> None:
    found = []
    for fraction in sorted(fractions):
        kept, _ = reduce(split(num), fraction=fraction, split_seed=seed)
        counts = np.bincount(split(num).labels)
        assert np.bincount(kept.labels).tolist() == [max(1, round(count * fraction)) for count in counts.tolist()]
        found.append(set(digests(kept.images)))
    assert found[0] <= found[1]


def test_the_whole_is_the_same_object_and_needs_no_note() -> None:
    train = split(9)
    assert reduce(train) == (train, [])


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, float("nan"), True, "all"])
def test_a_fraction_outside_its_range(fraction: Any) -> None:
    with pytest.raises(DatasetError, match=r"here: fraction is .*; allowed: above 0 and up to 1\."):
        reduce(split(9), fraction=fraction)


def test_shared_rows_are_left_out() -> None:
    later = set(digests(split(4, first=7).images))
    kept, notes = reduce(split(12), leave_out_shared=True, later=lambda: later)
    assert kept.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 11]
    assert notes == ["4 images whose pixels also occur in validation or test were left out of training."]


def test_leaving_out_must_leave_every_class() -> None:
    later = set(digests(split(12).images[2::3]))
    with pytest.raises(DatasetError, match=r"here, training split without shared images: class 2 \('c'\) has no image"):
        reduce(split(12), leave_out_shared=True, later=lambda: later)


def test_digits_on_a_fraction() -> None:
    whole, part = digits(), digits(fraction=0.1)
    assert len(part.train) == 109
    assert set(digests(part.train.images)) <= set(digests(whole.train.images))
    assert np.array_equal(part.validation.images, whole.validation.images)
    assert np.array_equal(part.read_test().images, whole.read_test().images)
    assert part.notes == ("Training uses 109 of its 1,079 images (fraction 0.1, seed 0).",)
    assert whole.notes == ()


def test_arrays_without_shared_rows(tmp_path: Path) -> None:
    names = ("train", "validation", "test")
    parts = dict(zip(names, (split(30), split(6, first=27), split(3, first=12)), strict=True))
    stored: dict[str, Any] = {f"x_{name}": parts[name].images for name in names}
    stored |= {f"y_{name}": parts[name].labels for name in names}
    np.savez(tmp_path / "mine.npz", **stored)
    data = arrays(path=str(tmp_path / "mine.npz"), leave_out_shared=True)
    assert data.train.images[:, 0, 0, 0].tolist() == [*range(12), *range(15, 27)]
    assert audit(data).shared_train_test == 0
    without = {name: array for name, array in stored.items() if "test" not in name}
    np.savez(tmp_path / "mine.npz", **without)
    data = arrays(path=str(tmp_path / "mine.npz"), leave_out_shared=True, fraction=0.5)
    assert (len(data.train), data.has_test, len(data.notes)) == (12, False, 2)
    assert audit(data).shared_train_test is None


# Audit


def pictures(*values: int, channels: int = 1) -> Any:
    """One picture per value: its pixels are the value and, in a corner, 255; a negative value gives a flat picture."""
    images = np.empty((len(values), 3, 3, channels), dtype=np.uint8)
    for image, value in zip(images, values, strict=True):
        image[:] = abs(value)
        if value >= 0:
            image[2, 2] = 255
    return images


def audited(train: Split, validation: Split, test: Split | None) -> Audit:
    """The audit of a dataset of two classes."""
    whole = Dataset(
        name="any",
        train=train,
        validation=validation,
        read_test=lambda: cast(Split, test),
        class_names=("a", "b"),
        has_test=test is not None,
    )
    return audit(whole)


def test_audit_counts_by_its_definitions() -> None:
    found = audited(
        train=Split(pictures(1, 1, 2, 3, -4), np.array([0, 0, 1, 1, 0])),
        validation=Split(pictures(1, 1, 5, 5, 6), np.array([0, 0, 1, 0, 1])),
        test=Split(pictures(1, 2, 5, 7, -4, -4), np.array([0, 0, 1, 1, 1, 1])),
    )
    assert found.counts == {"train": (3, 2), "validation": (3, 2), "test": (2, 4)}
    assert found.shared_train_validation == 2  # rows of validation, each counted
    assert found.shared_train_test == 4  # 1, 2 and the flat one twice
    assert found.shared_validation_test == 2  # 1 and 5
    assert found.conflicting_groups == 3  # 2 and the flat one between splits, 5 within one
    assert found.flat_images == 3


def test_audit_of_colour_and_floats() -> None:
    colour = pictures(-9, 9, channels=3)
    colour[0, ..., 1] = 77  # one colour, though its channels differ
    found = audited(train=Split(colour, np.array([0, 1])), validation=Split(colour, np.array([0, 1])), test=None)
    assert (found.flat_images, found.shared_train_validation, found.shared_train_test) == (2, 2, None)
    floats = (pictures(-9, 9) / 255).astype(np.float32)
    found = audited(train=Split(floats, np.array([0, 1])), validation=Split(floats[:1], np.array([1])), test=None)
    assert (found.flat_images, found.conflicting_groups, found.shared_validation_test) == (2, 1, None)


@given(values=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 1)), min_size=3, max_size=60))
def test_audit_agrees_with_comparing_everything(values: list[tuple[int, int, int]]) -> None:
    parts = [[(value, label) for place, value, label in values if place == index] or [(0, 0)] for index in range(3)]
    splits = [Split(pictures(*(v for v, _ in part)), np.array([label for _, label in part])) for part in parts]
    found = audited(train=splits[0], validation=splits[1], test=splits[2])

    def shared(earlier: int, later: int) -> int:
        return sum(any(value == other for other, _ in parts[earlier]) for value, _ in parts[later])

    every = [row for part in parts for row in part]
    assert found.shared_train_validation == shared(0, 1)
    assert found.shared_train_test == shared(0, 2)
    assert found.shared_validation_test == shared(1, 2)
    assert found.conflicting_groups == sum(len({label for other, label in every if other == value}) > 1 for value in range(10))


def test_one_pixel_is_no_image(tmp_path: Path) -> None:
    one: dict[str, Any] = {f"x_{name}": np.zeros((4, 1, 1), np.uint8) for name in ("train", "validation")}
    one |= {f"y_{name}": np.array([0, 1, 0, 1]) for name in ("train", "validation")}
    np.savez(tmp_path / "mine.npz", **one)
    with pytest.raises(DatasetError, match="training split: images are 1x1 pixels; at least two pixels are needed"):
        arrays(path=str(tmp_path / "mine.npz"))
