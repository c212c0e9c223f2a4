"""FER2013's csv."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.datasets import _fer_csv
from sweeper.datasets._audit import audit
from sweeper.datasets.fer2013 import CLASS_NAMES, fer2013
from sweeper.errors import DatasetError
from tests.datasets.kit import three

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
        text([f"{number},{line}" for number, line in enumerate(ROWS)], header=f",{HEADER}"),
        text([f"{number},{line}" for number, line in enumerate(ROWS)], header=f"Unnamed: 0, {HEADER}"),
    ],
    ids=[
        "windows",
        "no newline at the end",
        "empty lines at the end",
        "byte order mark",
        "quoted",
        "other columns",
        "other rows",
        "an index in front",
        "an index by its name",
    ],
)
def test_fer2013_written_in_other_ways(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(text(ROWS))
    (tmp_path / "b.csv").write_bytes(data)
    one, other = (three(fer2013(path=str(tmp_path / name))) for name in ("a.csv", "b.csv"))
    for name in one:
        assert np.array_equal(one[name].images, other[name].images)
        assert np.array_equal(one[name].labels, other[name].labels)


@pytest.mark.parametrize(
    ("junk", "said"),
    [
        (["Total: 35"], "row 36: 1 field; allowed: 3, separated by commas: emotion, pixels, Usage. No row follows: if something "
         "else stands behind the last row, remove line 37 of the file; if the last row is cut off, get the file again."),
        (["", ",,", "Total: 35", ""], "row 37: Usage is ''. Allowed: Training, PublicTest, PrivateTest. No row follows: if "
         "something else stands behind the last row, remove lines 38 to 40 of the file"),
        (["3,70 80 82"], "row 36: 2 fields; allowed: 3"),
        (["Total,35,Training"], "row 36: 1 pixel; allowed: 2,304, which is 48x48. No row follows"),
    ],
)  # fmt: skip
def test_fer2013_with_something_behind_the_last_row(tmp_path: Path, junk: list[str], said: str) -> None:
    (tmp_path / "mine.csv").write_bytes(text([*ROWS, *junk]))
    with pytest.raises(DatasetError, match=re.escape(said)):
        fer2013(path=str(tmp_path / "mine.csv"))


TRAIN = [row(number % 7, face(number), "").rstrip(",") for number in range(70)]
"""Rows as in the competition's train.csv, ten of each class."""


@pytest.mark.parametrize("is_folder", [False, True])
def test_fer2013_of_training_rows_alone(tmp_path: Path, is_folder: bool) -> None:
    (tmp_path / "train.csv").write_bytes(text(TRAIN, header="emotion,pixels"))
    (tmp_path / "test.csv").write_bytes(text([line.split(",")[1] for line in TRAIN], header="pixels"))
    path = str(tmp_path if is_folder else tmp_path / "train.csv")
    data = fer2013(path=path, validation_fraction=0.2, split_seed=2)
    assert [np.bincount(split.labels).tolist() for split in three(data).values()] == [[7] * 7, [2] * 7, [1] * 7]
    known = {bytes(face(number)): number for number in range(70)}
    found = {name: [known[image.tobytes()] for image in split.images] for name, split in three(data).items()}
    assert sorted(number for part in found.values() for number in part) == list(range(70))
    for name, split in three(data).items():
        assert [number % 7 for number in found[name]] == split.labels.tolist()
    told = "class by class: 0.2 of it for validation and 0.1 of it for test."
    assert data.notes == (f"train.csv has no column Usage. Carved from it by seed 2, {told}",)
    both = fer2013(path=path, validation_fraction=0.2, split_seed=2, validation_includes_test=True)
    assert (len(both.train), len(both.validation), len(both.read_test())) == (49, 21, 7)
    other = fer2013(path=path, validation_fraction=0.2, split_seed=3)
    assert not np.array_equal(other.validation.images, data.validation.images)


def test_fer2013_prefers_the_file_with_every_row(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(text(TRAIN, header="emotion,pixels"))
    lines = [",".join(line.split(",")[place] for place in (0, 2, 1)) for line in ROWS]
    (tmp_path / "icml_face_data.csv").write_bytes(text(lines, header="emotion, Usage, pixels"))
    assert [len(split) for split in three(fer2013(path=str(tmp_path))).values()] == [21, 7, 7]


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
        (b"", "is not fer2013.csv: its header is ''"),
        (b"label,pixels\n", "mine has no labels (column emotion), as the competition's test.csv"),
        (b"pixels\n", "mine has no labels (column emotion)"),
        (b"emotion,pixel,Usage\n", "is not fer2013.csv: its header is 'emotion,pixel,Usage'; allowed: emotion,pixels,Usage"),
        (text(ROWS, header="emotion,pixels"), "mine, row 1: 3 fields; allowed: 2, separated by commas: emotion, pixels."),
        (b"name,emotion,pixels,Usage\n", "is not fer2013.csv: its header is 'name,emotion,pixels,Usage'"),
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
    with pytest.raises(DatasetError, match=r"unreadable is 'skip', but .* is one file, not a folder of images; leave it out"):
        fer2013(path=str(tmp_path), unreadable="skip")
    (tmp_path / "train.csv").write_bytes(text(TRAIN, header="emotion,pixels"))
    with pytest.raises(DatasetError, match=r"train\.csv: test_fraction is 0; allowed: above 0 and below 1"):
        fer2013(path=str(tmp_path / "train.csv"), test_fraction=0)


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
    before = audit(fer2013(path=str(tmp_path)))
    assert (before.shared_train_validation, before.shared_train_test, before.shared_validation_test) == (2, 2, 1)
    data = fer2013(path=str(tmp_path), leave_out_shared=True)
    assert [image.ravel().tolist() for image in data.train.images] == [face(n) for n in range(21) if n not in (0, 8, 16)]
    assert data.train.labels.tolist() == [n % 7 for n in range(21) if n not in (0, 8, 16)]
    after = audit(data)
    assert (after.shared_train_validation, after.shared_train_test, after.shared_validation_test) == (0, 0, 1)
    assert (len(data.validation), len(data.read_test())) == (7, 7)
    assert data.notes == ("3 images whose pixels also occur in validation or test were left out of training.",)


def test_fer2013_with_the_test_images_in_validation(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_bytes(text(ROWS))
    data = fer2013(path=str(tmp_path), validation_includes_test=True, fraction=0.5)
    assert (len(data.train), len(data.validation), len(data.read_test())) == (14, 14, 7)
    assert audit(data).shared_validation_test == 7
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


@pytest.mark.long
def test_fer2013_in_full(shared_data: Path) -> None:
    data = fer2013(path=str(shared_data / "fer2013" / "fer2013.csv.bz2"))
    found = audit(data)
    assert found.counts == {
        "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
        "validation": (467, 56, 496, 895, 653, 415, 607),
        "test": (491, 55, 528, 879, 594, 416, 626),
    }
    assert (found.shared_train_validation, found.shared_train_test, found.shared_validation_test) == (280, 288, 44)
    assert (found.conflicting_groups, found.flat_images) == (57, 12)
    assert data.train.images.nbytes == 28709 * 2304
