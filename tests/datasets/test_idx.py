"""Idx files of MNIST and Fashion-MNIST, and downloads."""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeper.datasets._audit import audit, digests
from sweeper.datasets.cifar10 import cifar10
from sweeper.datasets.cifar100 import cifar100
from sweeper.datasets.fashion_mnist import fashion_mnist
from sweeper.datasets.mnist import mnist
from sweeper.errors import DatasetError
from tests.datasets.kit import three


def idx(array: Any) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def drawn(num: int, seed: int) -> tuple[Any, Any]:
    images = np.random.default_rng(seed).integers(0, 256, (num, 5, 4), dtype=np.uint8)
    return images, (np.arange(num) % 10).astype(np.uint8)


def write_idx(folder: Path, dash: str = "-", suffix: str = ".gz", **changes: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for part, num in (("train", 200), ("t10k", 20)):
        images, labels = drawn(num, num)
        for kind, array, axes in (("images", images, 3), ("labels", labels, 1)):
            data = idx(array)
            packed = gzip.compress(data, mtime=0) if suffix else data
            (folder / f"{part}-{kind}{dash}idx{axes}-ubyte{suffix}").write_bytes(changes.get(f"{part}_{kind}", packed))
    return folder


@pytest.mark.parametrize("function", [mnist, fashion_mnist])
@pytest.mark.parametrize(("dash", "suffix"), [("-", ".gz"), ("-", ""), (".", ""), (".", ".gz")])
def test_idx_files(tmp_path: Path, function: Any, dash: str, suffix: str) -> None:
    data = function(path=str(write_idx(tmp_path, dash, suffix)))
    assert data.name == function.__name__
    assert (data.input_shape, data.num_classes) == ((5, 4, 1), 10)
    images, labels = drawn(200, 200)
    whole = {(image.tobytes(), label) for image, label in zip(images, labels.tolist(), strict=True)}
    found = [
        {(image.tobytes(), label) for image, label in zip(split.images, split.labels.tolist(), strict=True)}
        for split in (data.train, data.validation)
    ]
    assert (len(found[0]), len(found[1])) == (180, 20)
    assert found[0] | found[1] == whole
    assert np.bincount(data.validation.labels).tolist() == [2] * 10
    test = data.read_test()
    assert np.array_equal(test.images[..., 0], drawn(20, 20)[0])
    assert np.array_equal(test.labels, drawn(20, 20)[1])
    assert (test.images.dtype, test.labels.dtype) == (np.uint8, np.int64)
    assert data.notes == ("Carved from train by seed 0, class by class: 0.1 of it for validation.",)


def test_idx_files_by_seed_and_fraction(tmp_path: Path) -> None:
    path = str(write_idx(tmp_path))
    one, same, other = (mnist(path=path, split_seed=seed, validation_fraction=0.25, fraction=0.5) for seed in (1, 1, 2))
    assert digests(one.train.images) == digests(same.train.images)
    assert digests(one.validation.images) == digests(same.validation.images)
    assert digests(one.validation.images) != digests(other.validation.images)
    assert (len(one.train), len(one.validation)) == (80, 50)  # 15 of each class, halved: 7.5 is rounded to even


def test_idx_test_files_are_read_only_when_asked(tmp_path: Path) -> None:
    path = str(write_idx(tmp_path))
    for file in tmp_path.glob("t10k*"):
        file.unlink()
    data = mnist(path=path)
    with pytest.raises(DatasetError, match=r"lacks t10k-images-idx3-ubyte\.gz"):
        data.read_test()
    with pytest.raises(DatasetError, match="lacks t10k-images"):
        mnist(path=path, leave_out_shared=True)


IMAGES, CLASSES = drawn(200, 200)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train_images": b""}, "is not an idx file of images: it begins with nothing."),
        ({"train_images": b"hello world, hello"}, "is not an idx file of images: it begins with 68 65 6c 6c."),
        ({"train_images": idx(CLASSES)}, "is not an idx file of images: it begins with 00 00 08 01."),
        ({"train_labels": idx(IMAGES)}, "is not an idx file of labels"),
        ({"train_images": idx(IMAGES)[:10]}, "is not an idx file of images"),
        ({"train_images": idx(IMAGES)[:-1]}, "ends after 3,999 bytes, but its header says 200x5x4, which is 4,000."),
        ({"train_images": idx(IMAGES) + b"x"}, "goes on after 4,000 bytes"),
        ({"train_images": gzip.compress(idx(IMAGES))[:-300]}, "is damaged or cut off"),
        ({"train_images": b"\x1f\x8b" + bytes(99)}, "is damaged or cut off"),
        ({"train_images": idx(IMAGES)[:4] + b"\xff" * 12}, "claims to hold"),
        ({"train_images": idx(IMAGES[:199])}, "has 199 images, but"),
        ({"train_images": idx(IMAGES[:0]), "train_labels": idx(CLASSES[:0])}, "there is no image in it"),
        ({"train_images": idx(IMAGES[:, :1, :1])}, "images are 1x1 pixels"),
        ({"train_labels": idx(CLASSES + 1)}, "training split: labels run from 1 to 10; allowed: 0 to 9."),
        ({"train_labels": idx(CLASSES % 9)}, "training split: class 9"),
        ({"train_images": idx(IMAGES[:20]), "train_labels": idx(CLASSES[:20])}, "leave a split without any of the 2 images"),
    ],
)
def test_idx_files_that_are_wrong(tmp_path: Path, changes: dict[str, bytes], said: str) -> None:
    with pytest.raises(DatasetError, match=re.escape(said)):
        fashion_mnist(path=str(write_idx(tmp_path, **changes)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"t10k_images": idx(IMAGES[:20, :4])}, "test split: images are (4, 4, 1), but the training images are (5, 4, 1)"),
        ({"t10k_labels": idx(CLASSES[:20] * 0)}, "test split: class 1"),
        ({"t10k_labels": idx(CLASSES[:20] + 3)}, "test split: labels run from 3 to 12"),
    ],
)
def test_idx_test_files_that_are_wrong(tmp_path: Path, changes: dict[str, bytes], said: str) -> None:
    data = fashion_mnist(path=str(write_idx(tmp_path, **changes)))
    with pytest.raises(DatasetError, match=re.escape(said)):
        data.read_test()


def test_idx_paths_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone does not exist; allowed: a folder with the four files train-images"):
        mnist(path=str(tmp_path / "gone"))
    with pytest.raises(DatasetError, match=r"lacks train-images-idx3-ubyte\.gz"):
        mnist(path=str(tmp_path))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DatasetError, match="file is not a folder"):
        mnist(path=str(tmp_path / "file"))


def test_fashion_mnist_in_full(shared_data: Path) -> None:
    data = fashion_mnist(path=str(shared_data / "fashion_mnist"))
    assert {name: len(split) for name, split in three(data).items()} == {"train": 54_000, "validation": 6_000, "test": 10_000}
    found = audit(data)
    assert found.counts == {"train": (5_400,) * 10, "validation": (600,) * 10, "test": (1_000,) * 10}
    assert (found.shared_train_validation, found.shared_train_test, found.conflicting_groups) == (0, 0, 0)
    assert data.class_names[int(data.read_test().labels[0])] == "ankle boot"  # the first test image, as its site shows it


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Keras's downloader, replaced by one that takes the files of a folder called ``remote`` and notes what it was asked for."""
    import keras

    asked: list[dict[str, Any]] = []

    def get_file(name: str, **options: Any) -> str:
        asked.append({"name": name, **options})
        print("Downloading")
        file = tmp_path / "remote" / name
        if not file.is_file():
            raise OSError("no route to host")
        return str(file)

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(keras.utils, "get_file", get_file)
    (tmp_path / "remote").mkdir()
    return iter([asked])


def test_mnist_downloaded(tmp_path: Path, downloads: Iterator[list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]) -> None:
    asked = next(downloads)
    (x_train, y_train), (x_test, y_test) = drawn(200, 200), drawn(20, 20)
    np.savez(tmp_path / "remote" / "mnist.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    data = mnist()
    assert (len(data.train), len(data.validation), len(data.read_test())) == (180, 20, 20)
    assert data.input_shape == (5, 4, 1)
    assert {request["name"] for request in asked} == {"mnist.npz"}
    assert all(len(request["file_hash"]) == 64 for request in asked)
    assert capsys.readouterr().out == ""  # facts only
    (tmp_path / "remote" / "mnist.npz").write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"mnist\.npz cannot be read"):
        data.read_test()


def test_fashion_mnist_downloaded_test_last(tmp_path: Path, downloads: Iterator[list[dict[str, Any]]]) -> None:
    asked = next(downloads)
    write_idx(tmp_path / "remote")
    data = fashion_mnist()
    assert [request["name"][:5] for request in asked] == ["train", "train"]
    assert {request["cache_subdir"] for request in asked} == {"datasets/fashion-mnist"}
    assert len(data.read_test()) == 20


@pytest.mark.parametrize("function", [mnist, fashion_mnist, cifar10, cifar100])
@pytest.mark.usefixtures("downloads")
def test_a_failed_download_says_how_to_give_local_files(function: Any) -> None:
    said = r"could not be downloaded from https://.*: no route to host\. Or give dataset\.path, "
    with pytest.raises(DatasetError, match=said) as caught:
        function()
    assert "\n" not in str(caught.value)


def test_what_was_downloaded_before_needs_no_keras(shared_data: Path, tmp_path: Path, downloads: Any) -> None:
    asked = next(downloads)
    (tmp_path / "home" / "datasets").mkdir(parents=True)
    (tmp_path / "home" / "datasets" / "fashion-mnist").symlink_to(shared_data / "fashion_mnist")
    assert len(fashion_mnist().train) == 54_000
    assert asked == []
