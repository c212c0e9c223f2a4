"""Datasets in published formats: FER2013's csv, idx files, CIFAR's batches; what they give, and what they say of bad input."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import pickle
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.datasets import Dataset, Split, _fer_csv, _pickled
from sweeper.datasets._audit import digests
from sweeper.datasets.cifar10 import cifar10
from sweeper.datasets.cifar100 import cifar100
from sweeper.datasets.fashion_mnist import fashion_mnist
from sweeper.datasets.fer2013 import CLASS_NAMES, fer2013
from sweeper.datasets.mnist import mnist
from sweeper.errors import DatasetError


def three(data: Dataset) -> dict[str, Split]:
    return {"train": data.train, "validation": data.validation, "test": data.read_test()}


# ------------------------------------------------------------------------------------------------------------- FER2013

HEADER = "emotion,pixels,Usage"


def face(number: int) -> list[int]:
    return np.random.default_rng(number).integers(0, 256, 48 * 48).tolist()


def row(label: object, pixels: list[Any], usage: str) -> str:
    return f"{label},{' '.join(map(str, pixels))},{usage}"


ROWS = [
    row(number % 7, face(number), usage)
    for number, usage in enumerate(["Training"] * 21 + ["PublicTest"] * 7 + ["PrivateTest"] * 7)
]


def text(rows: list[str], header: str = HEADER, end: str = "\n") -> bytes:
    return (end.join([header, *rows]) + end).encode()


def zipped(data: bytes, name: str = "fer2013.csv") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._fer2013.csv", b"junk")
        archive.writestr(name, data)
    return file.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".zip": zipped}


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("is_folder", [False, True])
def test_fer2013_in_every_compression(tmp_path: Path, suffix: str, is_folder: bool) -> None:
    file = tmp_path / f"fer2013.csv{suffix}"
    file.write_bytes(PACKED[suffix](text(ROWS)))
    data = fer2013(path=str(tmp_path if is_folder else file))
    assert (data.name, data.input_shape, data.class_names) == ("fer2013", (48, 48, 1), CLASS_NAMES)
    assert data.class_names[4:] == ("sad", "surprise", "neutral")
    assert {name: len(split) for name, split in three(data).items()} == {"train": 21, "validation": 7, "test": 7}
    first = {"train": 0, "validation": 21, "test": 28}
    for name, split in three(data).items():
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)
        for number in range(len(split)):
            assert split.images[number].ravel().tolist() == face(first[name] + number)
            assert split.labels[number] == number % 7


@pytest.mark.parametrize(
    "data",
    [
        text(ROWS, end="\r\n"),
        text(ROWS).rstrip(b"\n"),
        text(ROWS) + b"\n\n",
        b"\xef\xbb\xbf" + text(ROWS),
        text([",".join(f'"{field}"' for field in line.split(",")) for line in ROWS], header='"emotion","pixels","Usage"'),
        text([",".join(reversed(line.split(","))) for line in ROWS], header="Usage,pixels,emotion"),
        text([*ROWS[21:], *ROWS[:21]]),
    ],
    ids=[
        "windows",
        "no newline at the end",
        "empty lines at the end",
        "byte order mark",
        "quoted",
        "other columns",
        "other rows",
    ],
)
def test_fer2013_written_in_other_ways(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(text(ROWS))
    (tmp_path / "b.csv").write_bytes(data)
    one, other = (three(fer2013(path=str(tmp_path / name))) for name in ("a.csv", "b.csv"))
    for name in one:
        assert np.array_equal(one[name].images, other[name].images)
        assert np.array_equal(one[name].labels, other[name].labels)


def changed(number: int, line: str) -> list[str]:
    """The rows with another one in place `number`, counted from 1."""
    return [*ROWS[: number - 1], line, *ROWS[number:]]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (changed(3, row(2, face(2)[:-1], "Training")), "row 3: 2,303 pixels; allowed: 2,304, which is 48x48."),
        (changed(3, row(2, [*face(2), 7], "Training")), "row 3: 2,305 pixels"),
        (changed(35, row(2, face(2)[:-1], "PrivateTest")), "row 35: 2,303 pixels"),
        (changed(4, "3,,Training"), "row 4: 0 pixels"),
        (changed(1, row(0, ["x", *face(0)[1:]], "Training")), "row 1: pixel 1 is 'x'; allowed: whole numbers from 0 to 255."),
        (changed(1, row(0, [*face(0)[1:], "1.5"], "Training")), "row 1: pixel 2,304 is '1.5'"),
        (changed(22, row(0, [256, *face(0)[1:]], "PublicTest")), "row 22: pixel 1 is '256'"),
        (changed(9, row(1, [5, -1, *face(0)[2:]], "Training")), "row 9: pixel 2 is '-1'"),
        (changed(9, row(1, [5, "1_0", *face(0)[2:]], "Training")), "row 9: pixel 2 is '1_0'"),
        (changed(9, row(1, [5, "٣", *face(0)[2:]], "Training")), "row 9: pixel 2 is '٣'"),
        (changed(9, row(1, [5, "9" * 500, *face(0)[2:]], "Training")), "row 9: pixel 2 is '99999"),
        (changed(5, row(7, face(4), "Training")), "row 5: emotion is '7'; allowed: 0 angry, 1 disgust, 2 fear"),
        (changed(5, row(-1, face(4), "Training")), "row 5: emotion is '-1'"),
        (changed(5, row("sad", face(4), "Training")), "row 5: emotion is 'sad'"),
        (
            changed(6, row(5, face(5), "Trainin")),
            "row 6: Usage is 'Trainin'. Did you mean 'Training'? Allowed: Training, PublicTest",
        ),
        (changed(6, row(5, face(5), "")), "row 6: Usage is ''."),
        (changed(2, "1,2"), "row 2: 2 fields; allowed: 3, separated by commas: emotion, pixels, Usage."),
        (changed(2, ROWS[1] + ",x"), "row 2: 4 fields"),
        (changed(2, "hello"), "row 2: 1 field;"),
        (changed(2, ""), "row 2: the line is empty, but rows follow it."),
        (changed(2, "1" * 70_000), "row 2: the line is longer than 65,536 characters"),
        (ROWS[:28], "has no row with Usage PrivateTest"),
        (ROWS[:21] + ROWS[28:], "validation split: there is no image in it."),
        (ROWS[21:], "training split: there is no image in it."),
        (
            ROWS[:27] + ROWS[28:],
            "validation split: class 6 ('neutral') has no image. Every split needs images of every one of the 7",
        ),
        (ROWS[:-3] + ROWS[-2:], "test split (PrivateTest): class 4 ('sad') has no image."),
        (ROWS[3:6] + ROWS[21:], "training split: class 0 ('angry') has no image."),
        ([], "has no row with Usage PrivateTest"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".bz2"])
def test_fer2013_names_the_row_that_is_wrong(tmp_path: Path, suffix: str, rows: list[str], said: str) -> None:
    (tmp_path / f"mine.csv{suffix}").write_bytes(PACKED[suffix](text(rows)))
    with pytest.raises(DatasetError, match=re.escape(said)) as caught:
        fer2013(path=str(tmp_path / f"mine.csv{suffix}"))
    assert "mine.csv" in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no fer2013.csv: its header is ''"),
        (b"label,pixels,Usage\n", "is no fer2013.csv: its header is 'label,pixels,Usage'; allowed: emotion,pixels,Usage"),
        (text(ROWS, header="emotion,pixels"), "is no fer2013.csv"),
        (os.urandom(5000), "mine"),
        (gzip.compress(text(ROWS))[:-2000], "is damaged or cut off after row"),
        (bz2.compress(text(ROWS))[:-2000], "is damaged or cut off after row"),
        (gzip.compress(text(ROWS))[:900] + bytes(900), "is damaged or cut off after row"),
        (zipped(text(ROWS))[:-30], "cannot be read"),
        (zipped(text(ROWS), name="readme.txt"), "holds 0 csv files; allowed: one, fer2013.csv"),
        (b"PK\x03\x04" + bytes(99), "cannot be read"),
    ],
)
def test_fer2013_refuses_files(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "mine").write_bytes(data)
    with pytest.raises(DatasetError, match=re.escape(said)):
        fer2013(path=str(tmp_path / "mine"))


def test_fer2013_refuses_paths_and_options(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no file .*gone\.csv\. Get fer2013\.csv from Kaggle"):
        fer2013(path=str(tmp_path / "gone.csv"))
    (tmp_path / "fer2013.csv").write_bytes(text(ROWS))
    with pytest.raises(DatasetError, match=r"validation_fraction is 0\.2, but .* has a split of its own"):
        fer2013(path=str(tmp_path), validation_fraction=0.2)
    with pytest.raises(DatasetError, match="fraction is 2"):
        fer2013(path=str(tmp_path), fraction=2)


@given(data=st.binary(max_size=300), at=st.integers(0, 3000))
def test_fer2013_damaged_anywhere_gives_one_kind_of_error(data: bytes, at: int) -> None:
    whole = bytearray(text(ROWS[:2]))
    whole[at : at + len(data)] = data
    stream = io.BytesIO(bytes(whole))

    class File:
        def open(self, mode: str) -> io.BytesIO:
            return stream

    try:
        found = [_fer_csv.values(row, CLASS_NAMES) for row in _fer_csv.rows(File())]  # type: ignore[arg-type]
    except DatasetError:
        return
    assert all(0 <= label < 7 and len(pixels) == 2304 for label, pixels in found)


def shared_rows() -> list[str]:
    """Training rows 0, 8 and 16 occur again: in validation, in test, and in both."""
    again = {21: 0, 28: 8, 22: 16, 30: 16}
    return [row(number % 7, face(again.get(number, number)), line.rsplit(",", 1)[1]) for number, line in enumerate(ROWS)]


def test_fer2013_without_shared_rows(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_bytes(text(shared_rows()))
    before = fer2013(path=str(tmp_path)).audit()
    assert (before.shared_train_validation, before.shared_train_test, before.shared_validation_test) == (2, 2, 1)
    data = fer2013(path=str(tmp_path), leave_out_shared=True)
    assert [image.ravel().tolist() for image in data.train.images] == [face(n) for n in range(21) if n not in (0, 8, 16)]
    assert data.train.labels.tolist() == [n % 7 for n in range(21) if n not in (0, 8, 16)]
    after = data.audit()
    assert (after.shared_train_validation, after.shared_train_test, after.shared_validation_test) == (0, 0, 1)
    assert (len(data.validation), len(data.read_test())) == (7, 7)
    assert data.notes == ("3 images whose pixels also occur in validation or test were left out of training.",)


def test_fer2013_with_the_test_images_in_validation(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_bytes(text(ROWS))
    data = fer2013(path=str(tmp_path), validation_includes_test=True, fraction=0.5)
    assert (len(data.train), len(data.validation), len(data.read_test())) == (14, 14, 7)
    assert data.audit().shared_validation_test == 7
    assert "Validation includes the test images" in data.notes[0]


def test_fer2013_makes_images_of_test_rows_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fer2013.csv").write_bytes(text(ROWS))
    data = fer2013(path=str(tmp_path))
    (tmp_path / "fer2013.csv").unlink()
    asked: list[str] = []
    values = _fer_csv.values
    monkeypatch.setattr(_fer_csv, "values", lambda row, names: asked.append(row.usage) or values(row, names))  # type: ignore[func-returns-value]
    assert len(data.read_test()) == 7
    assert asked == ["PrivateTest"] * 7


@pytest.mark.slow
def test_fer2013_in_full(shared_data: Path) -> None:
    data = fer2013(path=str(shared_data / "fer2013" / "fer2013.csv.bz2"))
    found = data.audit()
    assert found.counts == {
        "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
        "validation": (467, 56, 496, 895, 653, 415, 607),
        "test": (491, 55, 528, 879, 594, 416, 626),
    }
    assert (found.shared_train_validation, found.shared_train_test, found.shared_validation_test) == (280, 288, 44)
    assert (found.conflicting_groups, found.flat_images) == (57, 12)
    assert data.train.images.nbytes == 28709 * 2304


# ----------------------------------------------------------------------------------------------------------- idx files


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
        ({"train_images": b""}, "is no idx file of images: it begins with nothing."),
        ({"train_images": b"hello world, hello"}, "is no idx file of images: it begins with 68 65 6c 6c."),
        ({"train_images": idx(CLASSES)}, "is no idx file of images: it begins with 00 00 08 01."),
        ({"train_labels": idx(IMAGES)}, "is no idx file of labels"),
        ({"train_images": idx(IMAGES)[:10]}, "is no idx file of images"),
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
    with pytest.raises(DatasetError, match="file is no folder"):
        mnist(path=str(tmp_path / "file"))


def test_fashion_mnist_in_full(shared_data: Path) -> None:
    data = fashion_mnist(path=str(shared_data / "fashion_mnist"))
    assert {name: len(split) for name, split in three(data).items()} == {"train": 54_000, "validation": 6_000, "test": 10_000}
    found = data.audit()
    assert found.counts == {"train": (5_400,) * 10, "validation": (600,) * 10, "test": (1_000,) * 10}
    assert (found.shared_train_validation, found.shared_train_test, found.conflicting_groups) == (0, 0, 0)
    assert data.class_names[int(data.read_test().labels[0])] == "ankle boot"  # the first test image, as its site shows it


# ---------------------------------------------------------------------------------------------------------- downloading


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


# --------------------------------------------------------------------------------------------------------------- CIFAR


def text_2(value: bytes) -> bytes:
    """A string as Python 2 pickles it."""
    return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<I", len(value)) + value


def batch_2(images: Any, labels: list[int], key: bytes = b"labels", *, dtype: bytes = b"u1", bad: bytes = b"") -> bytes:
    """A batch as the official ones are: pickled by Python 2 in protocol 2, the array through numpy's reconstruction."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85" + text_2(b"b") + b"\x87Rq\x03"
        b"(K\x01" + b"".join(b"J" + struct.pack("<i", size) for size in images.shape) + b"\x86"
        b"cnumpy\ndtype\nq\x04" + text_2(dtype) + b"K\x00K\x01\x87Rq\x05(K\x03" + text_2(b"|") + b"NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tbI00\n" + text_2(images.tobytes()) + b"tb"
    )
    numbers = b"]q\x06(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    names = b"](" + b"".join(text_2(b"%d.png" % number) for number in range(len(labels))) + b"e"
    return (
        b"\x80\x02}q\x07(" + text_2(b"data") + array + text_2(key) + numbers + text_2(b"batch_label") + text_2(b"batch 1")
        + text_2(b"filenames") + names + bad + b"u."
    )  # fmt: skip


def batch_3(protocol: int) -> Callable[..., bytes]:
    def write(images: Any, labels: list[int], key: bytes = b"labels") -> bytes:
        return pickle.dumps({b"data": images, key: labels, b"filenames": [b"a"], "note": None, "yes": (True, 1, 2)}, protocol)

    return write


WRITERS = {"official": batch_2, **{f"protocol {number}": batch_3(number) for number in (2, 3, 4, 5)}}


def colours(num: int, seed: int, num_classes: int) -> tuple[Any, list[int]]:
    rows = np.random.default_rng(seed).integers(0, 256, (num, 3072), dtype=np.uint8)
    return rows, [number % num_classes for number in range(num)]


def write_cifar10(folder: Path, write: Callable[..., bytes] = batch_2) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(1, 6):
        (folder / f"data_batch_{number}").write_bytes(write(*colours(40, number, 10)))
    (folder / "test_batch").write_bytes(write(*colours(10, 6, 10)))
    return folder


def upright(rows: Any) -> Any:
    """Pixels from planes of red, green and blue, one at a time."""
    return np.stack([np.stack([row[:1024], row[1024:2048], row[2048:]], axis=-1).reshape(32, 32, 3) for row in rows])


@pytest.mark.parametrize("writer", WRITERS)
def test_cifar10(tmp_path: Path, writer: str) -> None:
    data = cifar10(path=str(write_cifar10(tmp_path / "mine", WRITERS[writer])))
    assert (data.input_shape, data.num_classes, data.class_names[3]) == ((32, 32, 3), 10, "cat")
    assert {name: len(split) for name, split in three(data).items()} == {"train": 180, "validation": 20, "test": 10}
    assert np.array_equal(data.read_test().images, upright(colours(10, 6, 10)[0]))
    assert data.read_test().labels.tolist() == list(range(10))
    whole = upright(np.concatenate([colours(40, number, 10)[0] for number in range(1, 6)]))
    rows = {digest: row for row, digest in enumerate(digests(whole))}
    found = [rows[digest] for digest in digests(data.train.images)]
    assert found == sorted(found)
    assert data.train.labels.tolist() == [row % 10 for row in found]
    assert set(found) | {rows[digest] for digest in digests(data.validation.images)} == set(range(200))


def test_cifar10_by_column(tmp_path: Path) -> None:
    def write(images: Any, labels: list[int]) -> bytes:
        return pickle.dumps({b"data": np.asfortranarray(images), b"labels": labels}, 2)

    data = cifar10(path=str(write_cifar10(tmp_path, write)))
    assert np.array_equal(data.read_test().images, upright(colours(10, 6, 10)[0]))


def test_cifar10_in_its_archive(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "readme.html").write_bytes(b"hello")
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        for file in sorted((tmp_path / "cifar-10-batches-py").iterdir(), reverse=True):
            archive.add(file, f"cifar-10-batches-py/{file.name}")
    plain, packed = (cifar10(path=str(tmp_path / name)) for name in ("", "cifar-10-python.tar.gz"))
    for name, split in three(plain).items():
        assert np.array_equal(split.images, three(packed)[name].images)
        assert np.array_equal(split.labels, three(packed)[name].labels)
    whole = (tmp_path / "cifar-10-python.tar.gz").read_bytes()
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(whole[:-9000])
    with pytest.raises(DatasetError, match="damaged"):
        cifar10(path=str(tmp_path / "cifar-10-python.tar.gz"))


def test_cifar100(tmp_path: Path) -> None:
    for name, num in (("train", 1000), ("test", 100)):
        (tmp_path / name).write_bytes(batch_2(*colours(num, num, 100), b"fine_labels"))
    data = cifar100(path=str(tmp_path), fraction=0.5)
    assert (data.num_classes, len(set(data.class_names))) == (100, 100)
    assert (len(data.train), len(data.validation), len(data.read_test())) == (400, 100, 100)
    (tmp_path / "train").write_bytes(batch_2(*colours(1000, 0, 100)))
    with pytest.raises(DatasetError, match=r"train is no batch of cifar100, or it is damaged \('fine_labels' is missing\)"):
        cifar100(path=str(tmp_path))


class Evil:
    """Runs code where a pickle of it is read by the usual reader."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


MALICIOUS = {
    **{f"reduce, protocol {number}": pickle.dumps(Evil(), number) for number in range(6)},
    "hidden in a batch": batch_2(*colours(40, 1, 10), bad=text_2(b"x") + b"cos\nsystem\n(" + text_2(b"touch ran") + b"tR"),
    "eval": b"c__builtin__\neval\n(U\x04None\x85R.",
    "instance": b"(S'touch ran'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'touch ran'\no.",
    "new object": b"\x80\x02cnumpy\nndarray\n)\x81.",
    "persistent": b"Pname\n.",
    "extension": b"\x80\x02\x82\x01.",
    "call of a known name": b"cnumpy\nndarray\n(K\x05tR.",
    "call of a text": b"U\x06system(U\x01xtR.",
    "state of a list": b"](K\x01K\x02d.b.",
    "array of objects": batch_2(*colours(40, 1, 10), dtype=b"O8"),
    "array of numbers": pickle.dumps({b"data": np.zeros((40, 3072)), b"labels": [0] * 40}, 2),
    "other array of numbers": pickle.dumps({b"data": np.zeros((40, 3072)), b"labels": [0] * 40}, 5),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_a_malicious_pickle_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_cifar10(tmp_path / "mine")
    (tmp_path / "mine" / "data_batch_1").write_bytes(MALICIOUS[name])
    with pytest.raises(DatasetError, match=r"mine, data_batch_1 is (refused|no batch of cifar10, or it is damaged)") as caught:
        cifar10(path=str(tmp_path / "mine"))
    if "reduce" in name or "hidden" in name:
        assert re.search(r"is refused: it asks for '(posix|nt|os)\.system', which could run code", str(caught.value))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no batch of cifar10, or it is damaged"),
        (b"hello", "is no batch of cifar10, or it is damaged"),
        (batch_2(*colours(40, 1, 10))[:-5000], "is no batch of cifar10, or it is damaged"),
        (batch_2(*colours(40, 1, 10))[:-1], "is no batch of cifar10, or it is damaged"),
        (pickle.dumps([1, 2]), "is no batch of cifar10"),
        (pickle.dumps({"data": 5, "labels": []}), "its data are no array"),
        (batch_2(colours(40, 1, 10)[0], [0] * 39), "data have shape (40, 3072) for 39 labels; allowed: (39, 3072)."),
        (batch_2(colours(40, 1, 10)[0][:, :99], [0] * 40), "data have shape (40, 99) for 40 labels"),
        (pickle.dumps({"data": colours(1, 1, 10)[0], "labels": [None]}), "a label is NoneType; allowed: 0 to 9."),
        (pickle.dumps({(1, 2): 3}), "is refused: it holds a key that is neither text nor number"),
        (batch_2(colours(40, 1, 10)[0], [10] * 40), "a label is 10; allowed: 0 to 9."),
    ],
)
def test_cifar10_batches_that_are_wrong(tmp_path: Path, data: bytes, said: str) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(data)
    with pytest.raises(DatasetError, match=re.escape(said)):
        cifar10(path=str(tmp_path))


def test_cifar10_paths_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no file or folder .*gone\. Give cifar-10-python\.tar\.gz"):
        cifar10(path=str(tmp_path / "gone"))
    with pytest.raises(DatasetError, match="lacks data_batch_1, data_batch_2, data_batch_3, data_batch_4, data_batch_5"):
        cifar10(path=str(tmp_path))
    write_cifar10(tmp_path)
    (tmp_path / "test_batch").unlink()
    data = cifar10(path=str(tmp_path))
    with pytest.raises(DatasetError, match="lacks test_batch"):
        data.read_test()
    (tmp_path / "file").write_bytes(b"hello")
    with pytest.raises(DatasetError, match="file is no archive of batches, or it is damaged"):
        cifar10(path=str(tmp_path / "file"))


SMALL = batch_2(np.zeros((2, 3072), np.uint8)[:, :4], [1, 2])


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
@given(data=st.binary(max_size=40), at=st.integers(0, len(SMALL)))
def test_a_damaged_pickle_gives_plain_values_or_an_error(data: bytes, at: int) -> None:
    try:
        found = _pickled.plain(io.BytesIO(SMALL[:at] + data + SMALL[at + len(data) :]))
    except Exception:
        return
    allowed = ("dict", "list", "tuple", "bytes", "str", "int", "float", "bool", "NoneType", "Array", "_Name", "object")
    assert type(found).__name__ in allowed


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.binary(), inner) | st.tuples(inner, inner, inner, inner),
    max_leaves=20,
)


@given(value=VALUES, protocol=st.integers(3, 5))
def test_plain_values_are_read_as_the_usual_reader_does(value: Any, protocol: int) -> None:
    assert _pickled.plain(io.BytesIO(pickle.dumps(value, protocol))) == value
