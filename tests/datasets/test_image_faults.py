"""What is said of folders of images that cannot be used."""

from __future__ import annotations

import errno
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sweeper.datasets._audit import audit
from sweeper.datasets.image_folder import image_folder
from sweeper.errors import DatasetError
from tests.datasets.kit import classes, one, pixels, remove, splits, three


def huge(width: int, height: int) -> bytes:
    """A small png that says it is very large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def truncated(suffix: str) -> bytes:
    import io

    file = io.BytesIO()
    Image.fromarray(pixels(1, 64, 64, 3)).save(file, format=suffix)
    return file.getvalue()[: len(file.getvalue()) // 2]


WRONG = [
    ("a.png", b"", "empty (no byte is in it)"),
    ("b.jpg", b"hello", "not an image (its content is not an image of a known format)"),
    ("c.png", truncated("png"), "cut off (image file is truncated"),
    ("d.jpg", truncated("jpeg"), "cut off (image file is truncated"),
    ("e.webp", truncated("webp"), "damaged (could not create decoder object)"),
    ("f.bmp", truncated("bmp"), "cut off (image file is truncated"),
    ("g.gif", truncated("gif"), "cut off (image file is truncated"),
    ("h.tif", truncated("tiff"), "cut off (image file is truncated"),
    ("i.png", huge(10_001, 10_000), "too large (more than 100,000,000 pixels, which fills the memory)"),
    ("j.png", huge(100_000, 100_000), "too large (more than 100,000,000 pixels"),
    ("k.png", huge(1, 1), "too thin (1x1 pixels; both sides need at least two)"),
    ("l.png", huge(9, 1), "too thin (1x9 pixels"),
    ("m.txt", b"", "not named as an image (allowed: .bmp, .gif, .jpeg, .jpg, .png, .tif, .tiff, .webp)"),
    ("n.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image (its content"),
]
"""A file of each kind that cannot be used, and what is said of it."""

KINDS = "5 cut off, 2 not an image, 2 too large, 2 too thin, 1 empty, 1 damaged, 1 not named as an image"


def damaged(root: Path) -> Path:
    """Folders of splits with everything in `WRONG`."""
    splits(root)
    for name, data, _ in WRONG:
        (root / "train" / "dog" / name).write_bytes(data)
    return root


@pytest.mark.filterwarnings("error")
def test_files_that_cannot_be_used_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        image_folder(path=str(damaged(tmp_path)))
    head, *lines, advice = str(caught.value).splitlines()
    assert head == f"{tmp_path}: 14 of 47 files cannot be used: {KINDS}."
    for line, (name, _, said) in zip(lines, WRONG, strict=True):
        assert line.startswith(f"  - {tmp_path / 'train' / 'dog' / name}: {said}")
    assert advice.endswith("or leave them out with unreadable: skip.")


def test_a_report_of_faults_is_complete_and_short(tmp_path: Path) -> None:
    splits(tmp_path)
    for number in range(30):
        (tmp_path / "validation" / "cat" / f"bad{number:02}.png").write_bytes(b"")
    (tmp_path / "test" / "cat" / "bad.png").write_bytes(b"junk")  # opened because the report shall be complete
    with pytest.raises(DatasetError) as caught:
        image_folder(path=str(tmp_path))
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("31 of 64 files cannot be used: 30 empty, 1 not an image.")
    assert (len(lines), lines[-2]) == (23, "  and 11 more")


def test_files_that_cannot_be_used_are_left_out(tmp_path: Path) -> None:
    whole = image_folder(path=str(splits(tmp_path)), size=16)
    (damaged(tmp_path) / "test" / "emu" / "bad.png").write_bytes(b"")
    data = image_folder(path=str(tmp_path), size=16, unreadable="skip")
    for name, split in three(whole).items():
        assert np.array_equal(split.images, three(data)[name].images)
        assert np.array_equal(split.labels, three(data)[name].labels)
    assert {name: split.num_unreadable for name, split in three(data).items()} == {"train": 14, "validation": 0, "test": 1}
    first = tmp_path / "train" / "dog" / "a.png"
    assert data.notes == (
        f"14 of 41 training and validation files cannot be used and were left out: {KINDS}. The first is {first}.",
    )
    assert audit(data).unreadable == {"train": 14, "validation": 0, "test": 1}
    assert image_folder(path=str(tmp_path), size=16, unreadable="skip", fraction=0.3).train.num_unreadable == 14


def test_a_file_that_is_mended_changes_no_other_split(tmp_path: Path) -> None:
    classes(tmp_path, 20)
    before = three(image_folder(path=str(tmp_path), size=16))
    (tmp_path / "cat" / "007.png").write_bytes(b"")
    after = three(image_folder(path=str(tmp_path), size=16, unreadable="skip"))
    lost = pixels(7)[..., None]
    for name, split in before.items():
        kept = [image for image in split.images if not np.array_equal(image, lost)]
        assert np.array_equal(np.array(kept), after[name].images)


def test_a_colour_image_that_is_left_out_colours_nothing(tmp_path: Path) -> None:
    splits(tmp_path)
    (tmp_path / "train" / "dog" / "bad.jpg").write_bytes(truncated("jpeg"))
    assert image_folder(path=str(tmp_path), size=16, unreadable="skip").input_shape == (16, 16, 1)


def test_a_disk_that_fails_is_no_fault_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits(tmp_path)

    def fails(*arguments: object, **options: object) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(DatasetError, match=r"000\.png cannot be read \(Input/output error\)\. Try again"):
        image_folder(path=str(tmp_path), unreadable="skip")


def test_a_link_to_nowhere_is_a_fault_of_its_own(tmp_path: Path) -> None:
    splits(tmp_path)
    (tmp_path / "train" / "cat" / "link.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DatasetError, match=r"link\.png: cannot be opened \(No such file or directory\)"):
        image_folder(path=str(tmp_path))


def test_images_of_unknown_range(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"of unknown range \(its pixels are floating-point numbers"):
        one(tmp_path, "a.tif", np.zeros((16, 16), np.float32))
    with pytest.raises(DatasetError, match="its pixels run from 0 to 65536, which is more than 16 bits"):
        one(tmp_path, "a.tif", np.array([[0, 65_536], [1, 2]], np.int32))


def rename(old: str, new: str) -> Any:
    return lambda root: (root / old).rename(root / new)


def only_cats(root: Path) -> None:
    for name in ("dog", "emu"):
        remove(f"train/{name}")(root)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (only_cats, "train holds one class only, 'cat'; a classifier needs at least two, each in a folder of its own."),
        (remove("train/cat", keep=True), "cat holds no image; every class needs at least one in every split."),
        (remove("test/dog", keep=True), "dog holds no image; every class needs at least one in every split."),
        (remove("validation/emu"), "validation has no folder for class 'emu'. Every split needs every one of: cat, dog, emu."),
        (
            rename("test/dog", "test/dogs"),
            "test has a folder 'dogs', which is none of the classes. Did you mean 'dog'? Allowed: cat",
        ),
        (rename("train", "training set"), "is a folder in the folder of a class; images must lie directly"),
        (lambda root: classes(root / "val"), "has two folders for validation: val and validation. Keep one."),
        (lambda root: (root / "train" / "cat" / "more").mkdir(), "more is a folder in the folder of a class"),
    ],
)
def test_folders_that_are_wrong(tmp_path: Path, change: Any, said: str) -> None:
    change(splits(tmp_path))
    with pytest.raises(DatasetError, match=re.escape(said)):
        image_folder(path=str(tmp_path))


def test_paths_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no folder .*gone\."):
        image_folder(path=str(tmp_path / "gone"))
    with pytest.raises(DatasetError, match="holds no folder; allowed: one folder of images per class"):
        image_folder(path=str(tmp_path))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DatasetError, match="file is a file"):
        image_folder(path=str(tmp_path / "file"))
    classes(tmp_path / "a" / "test")
    with pytest.raises(DatasetError, match="has a folder test, but none called train"):
        image_folder(path=str(tmp_path / "a"))
    classes(tmp_path / "b", 1)
    with pytest.raises(DatasetError, match=r"b: validation_fraction 0\.1 .* without any of the 1 images of class 'cat'"):
        image_folder(path=str(tmp_path / "b"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 7}, "image_folder: size is 7; allowed: a whole number from 8 to 1024."),
        ({"size": True}, "size is True"),
        ({"fit": "fill"}, "image_folder: fit is 'fill'; allowed: crop, pad, stretch."),
        ({"unreadable": "ignore"}, "image_folder: unreadable is 'ignore'; allowed: error, skip."),
        ({"color": "gray"}, "image_folder: color is 'gray'; allowed: auto, grey, rgb."),
        ({"split_seed": -1}, "split_seed is -1"),
        ({"fraction": 0.0}, "fraction is 0.0; allowed: above 0 and up to 1."),
        ({"validation_fraction": 0.5}, "validation_fraction is 0.5, but there is a folder validation; leave it out."),
    ],
)
def test_options_that_are_wrong(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(DatasetError, match=re.escape(said)):
        image_folder(path=str(splits(tmp_path)), **options)


def test_more_images_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def empty(*arguments: object, **options: object) -> Any:
        raise MemoryError

    splits(tmp_path)
    monkeypatch.setattr(np, "empty", empty)
    with pytest.raises(DatasetError, match=r"18 images of 1024x1024x1 need 0\.0 GB of memory, which is not there"):
        image_folder(path=str(tmp_path), size=1024)
