"""What is said of folders of images that cannot be used."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sweeper.datasets.image_folder import image_folder
from sweeper.errors import DatasetError
from tests.datasets.kit import classes, one, pixels, remove, splits


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


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.png", b"", "a.png cannot be read as an image (its content is not an image of a known format). Replace it"),
        ("a.jpg", b"hello", "a.jpg cannot be read as an image (its content is not an image of a known format)"),
        ("a.png", truncated("png"), "a.png cannot be read as an image"),
        ("a.jpg", truncated("jpeg"), "a.jpg cannot be read as an image"),
        ("a.webp", truncated("webp"), "a.webp cannot be read as an image"),
        ("a.bmp", truncated("bmp"), "a.bmp cannot be read as an image"),
        ("a.gif", truncated("gif"), "a.gif cannot be read as an image"),
        ("a.tif", truncated("tiff"), "a.tif cannot be read as an image"),
        ("a.png", huge(10_001, 10_000), "a.png has more than 100,000,000 pixels, which fills the memory. Make it smaller"),
        ("a.png", huge(100_000, 100_000), "a.png has more than 100,000,000 pixels"),
        ("a.png", huge(1, 1), "a.png is 1x1 pixels; both sides need at least two."),
        ("a.png", huge(9, 1), "a.png is 1x9 pixels"),
        ("a.txt", b"", "a.txt is not an image; allowed: .bmp, .gif, .jpeg, .jpg, .png, .tif, .tiff, .webp. Move it away"),
        ("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "its content is not an image of a known format"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_images_that_are_wrong(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    splits(tmp_path)
    (tmp_path / "train" / "dog" / name).write_bytes(data)
    with pytest.raises(DatasetError, match=re.escape(said)) as caught:
        image_folder(path=str(tmp_path))
    assert str(tmp_path / "train" / "dog") in str(caught.value)


def test_images_of_unknown_range(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="floating-point numbers of unknown range"):
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
