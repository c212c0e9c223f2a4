"""Folders of images: layouts, and what becomes of sizes and colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sweeper.datasets import _images
from sweeper.datasets._audit import audit
from sweeper.datasets.fer2013 import CLASS_NAMES, fer2013
from sweeper.datasets.image_folder import image_folder
from sweeper.errors import DatasetError
from tests.datasets.kit import classes, one, pixels, remove, save, seeds, splits, three


def test_folders_of_splits(tmp_path: Path) -> None:
    data = image_folder(path=str(splits(tmp_path)), size=16)
    assert (data.name, data.class_names, data.input_shape) == ("image_folder", ("cat", "dog", "emu"), (16, 16, 1))
    assert seeds(data.train, range(300)) == [100 * label + number for label in range(3) for number in range(6)]
    assert seeds(data.validation, range(1000, 1300)) == [1000 + 100 * label + number for label in range(3) for number in range(3)]
    assert seeds(data.read_test(), range(2000, 2300)) == [
        2000 + 100 * label + number for label in range(3) for number in range(2)
    ]
    for name, num in (("train", 6), ("validation", 3), ("test", 2)):
        split = three(data)[name]
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)
        assert split.labels.tolist() == [label for label in range(3) for _ in range(num)]
    assert data.notes == ()


@pytest.mark.parametrize("names", [("Train", "val", "TEST"), ("training", "valid", "testing")])
def test_folders_of_splits_by_other_names(tmp_path: Path, names: tuple[str, str, str]) -> None:
    splits(tmp_path)
    for old, new in zip(("train", "validation", "test"), names, strict=True):
        (tmp_path / old).rename(tmp_path / "moved")
        (tmp_path / "moved").rename(tmp_path / new)
    assert [len(split) for split in three(image_folder(path=str(tmp_path))).values()] == [18, 9, 6]


def test_folders_of_classes_are_carved_by_seed(tmp_path: Path) -> None:
    path = str(classes(tmp_path, 20))
    data = image_folder(path=path, size=16, validation_fraction=0.2, test_fraction=0.25, split_seed=4)
    found = {name: seeds(split, range(300)) for name, split in three(data).items()}
    assert sorted(seed for part in found.values() for seed in part) == [
        100 * label + number for label in range(3) for number in range(20)
    ]
    assert {name: np.bincount(split.labels).tolist() for name, split in three(data).items()} == {
        "train": [11] * 3,
        "validation": [4] * 3,
        "test": [5] * 3,
    }
    assert all(seed // 100 == label for seed, label in zip(found["train"], data.train.labels.tolist(), strict=True))
    assert data.notes == ("Carved from train by seed 4, class by class: 0.2 of it for validation and 0.25 of it for test.",)
    other = image_folder(path=path, size=16, validation_fraction=0.2, test_fraction=0.25, split_seed=5)
    assert seeds(other.train, range(300)) != found["train"]


def test_what_is_missing_is_carved(tmp_path: Path) -> None:
    classes(tmp_path / "train", 20)
    classes(tmp_path / "test", 2)
    data = image_folder(path=str(tmp_path))
    assert [len(split) for split in three(data).values()] == [54, 6, 6]
    assert data.notes[0] == "Carved from train by seed 0, class by class: 0.1 of it for validation."
    with pytest.raises(DatasetError, match=r"test_fraction is 0\.3, but there is a folder test; leave it out"):
        image_folder(path=str(tmp_path), test_fraction=0.3)


def test_hidden_files_and_what_lies_beside_the_classes_is_passed_over(tmp_path: Path) -> None:
    classes(tmp_path, 20)
    for name in ("README.txt", ".git/config", "cat/.DS_Store", "cat/._001.png", "dog/Thumbs.db", "__MACOSX/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"junk")
    data = image_folder(path=str(tmp_path))
    assert (data.class_names, len(data.train)) == (("cat", "dog", "emu"), 48)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    classes(tmp_path, 20, names=("car", "plane", "train"))
    assert image_folder(path=str(tmp_path)).class_names == ("car", "plane", "train")


def test_a_fraction_without_shared_images(tmp_path: Path) -> None:
    splits(tmp_path)
    save(tmp_path / "train" / "cat" / "again.png", pixels(1000))
    save(tmp_path / "train" / "dog" / "again.bmp", pixels(2000))
    data = image_folder(path=str(tmp_path), size=16, leave_out_shared=True)
    assert len(data.train) == 18
    assert data.notes == ("2 images whose pixels also occur in validation or test were left out of training.",)
    assert audit(image_folder(path=str(tmp_path), size=16)).conflicting_groups == 1
    assert len(image_folder(path=str(tmp_path), size=16, fraction=0.5).train) == 11  # 3.5 of two classes, rounded to even


def test_test_images_are_opened_only_when_asked(tmp_path: Path) -> None:
    splits(tmp_path)
    (tmp_path / "test" / "dog" / "001.png").write_bytes(b"junk")
    data = image_folder(path=str(tmp_path))
    with pytest.raises(DatasetError, match=r"dog.001\.png: not an image"):
        data.read_test()


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff", "gif", "PNG"])
def test_formats_without_loss_of_grey(tmp_path: Path, suffix: str) -> None:
    assert np.array_equal(one(tmp_path, f"a.{suffix}", pixels(7)), pixels(7))


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp"])
def test_formats_with_loss(tmp_path: Path, suffix: str) -> None:
    smooth = np.broadcast_to(np.arange(0, 160, 10, dtype=np.uint8)[:, None, None], (16, 16, 3))
    found = one(tmp_path, f"a.{suffix}", smooth, quality=95)
    assert np.abs(found.astype(int) - smooth).max() < 12


def test_one_colour_image_makes_all_rgb(tmp_path: Path) -> None:
    color = pixels(5, channels=3)
    assert np.array_equal(one(tmp_path, "a.png", color), color)
    data = image_folder(path=str(tmp_path), size=16)
    assert data.input_shape == (16, 16, 3)
    assert np.array_equal(data.train.images[-1], np.repeat(pixels(205)[..., None], 3, axis=2))
    assert data.read_test().images.shape[1:] == (16, 16, 3)
    assert data.notes == ("21 of 22 training and validation images are grey; all were made rgb.",)


def test_colour_made_grey(tmp_path: Path) -> None:
    color = pixels(5, channels=3)
    found = one(tmp_path, "a.png", color, color="grey")
    assert np.abs(found - color @ [0.299, 0.587, 0.114]).max() < 1
    data = image_folder(path=str(tmp_path), size=16, color="grey")
    assert data.notes == ("1 of 22 training and validation images are in colour; all were made grey.",)


def test_grey_made_rgb(tmp_path: Path) -> None:
    data = image_folder(path=str(splits(tmp_path)), size=16, color="rgb")
    assert data.input_shape == (16, 16, 3)
    assert (data.train.images[..., :1] == data.train.images).all()


def test_a_palette_counts_by_its_colours(tmp_path: Path) -> None:
    color = np.zeros((16, 16, 3), np.uint8)
    color[:8, :, 0] = 200
    assert np.array_equal(one(tmp_path, "a.png", Image.fromarray(color).convert("P", palette=Image.Palette.ADAPTIVE)), color)
    grey = np.where(np.arange(256).reshape(16, 16) % 2, 200, 30).astype(np.uint8)
    image = Image.fromarray(grey).convert("P")
    assert image.mode == "P"
    assert np.array_equal(one(tmp_path, "a.png", image), grey)


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[..., 0], rgba[:8, :, 3] = 90, 255
    expected = np.full((16, 16, 3), 255, np.uint8)
    expected[:8] = (90, 0, 0)
    assert np.array_equal(one(tmp_path, "a.png", rgba), expected)
    paletted = Image.fromarray(rgba[..., :3]).convert("P", palette=Image.Palette.ADAPTIVE)
    found = one(tmp_path, "a.png", paletted, transparency=paletted.getpixel((0, 0)))
    assert (found == 255).all()
    grey_and_alpha = Image.fromarray(rgba[..., 0]).convert("LA")
    grey_and_alpha.putalpha(Image.fromarray(rgba[..., 3]))
    assert np.array_equal(one(tmp_path, "a.png", grey_and_alpha), np.where(rgba[..., 3], 90, 255))


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    deep = np.linspace(0, 65_535, 256).round().astype(np.uint16).reshape(16, 16)
    for suffix in ("png", "tif"):
        assert np.array_equal(one(tmp_path, f"a.{suffix}", deep), np.arange(256).reshape(16, 16))
    assert np.array_equal(one(tmp_path, "a.tif", deep.astype(np.int32)), np.arange(256).reshape(16, 16))


def test_one_bit_and_print_colours(tmp_path: Path) -> None:
    bits = pixels(3) > 127
    assert np.array_equal(one(tmp_path, "a.png", Image.fromarray(bits)), np.where(bits, 255, 0))
    assert one(tmp_path, "a.tif", Image.new("CMYK", (16, 16), (0, 255, 255, 0))).shape == (16, 16, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    upright = pixels(9, 10, 16)
    stored = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.T, 6: np.rot90(upright),
              7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1)}[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = one(tmp_path, "a.png", np.ascontiguousarray(stored), size=10, exif=exif)
    assert np.array_equal(found, upright[:, 3:13])


def test_the_shorter_side_counts_and_the_centre_is_kept(tmp_path: Path) -> None:
    wide = np.zeros((20, 60), np.uint8)
    wide[:, 20:40] = 255
    assert (one(tmp_path, "a.png", wide, size=10)[:, 1:-1] == 255).all()
    assert (one(tmp_path, "a.png", wide.T.copy(), size=40)[2:-2] == 255).all()
    data = image_folder(path=str(tmp_path), size=16)
    said = "1 of 22 training and validation images were resized to 16x16; 1 of them were not square and lost what lies outside"
    assert data.notes[0].startswith(said)


@pytest.mark.parametrize("is_wide", [True, False])
def test_the_whole_of_an_oblong_image_is_kept(tmp_path: Path, is_wide: bool) -> None:
    wide = np.repeat(np.array([[250, 130]], np.uint8), 20, axis=0).repeat((30, 30), axis=1)  # 20 high, 60 wide
    path = str(splits(tmp_path))
    save(tmp_path / "train" / "cat" / "000.png", wide if is_wide else wide.T.copy())
    padded, stretched = (image_folder(path=path, size=30, fit=fit) for fit in ("pad", "stretch"))
    square, drawn = (data.train.images[0, ..., 0] for data in (padded, stretched))
    if not is_wide:
        square, drawn = square.T, drawn.T
    assert (square[:10] == 0).all()
    assert (square[20:] == 0).all()
    assert (square[10:20, :14] == 250).all()
    assert (square[10:20, 16:] == 130).all()
    assert (drawn[:, :14] == 250).all()
    assert (drawn[:, 16:] == 130).all()
    said = "27 of 27 training and validation images were resized to 30x30; 1 of them were not square and "
    assert padded.notes == (f"{said}have black bars beside them.",)
    assert stretched.notes == (f"{said}were distorted.",)
    assert np.array_equal(padded.train.images[1:], stretched.train.images[1:])  # those that are square


def test_shrinking_does_not_alias(tmp_path: Path) -> None:
    fine = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (32, 32))
    found = one(tmp_path, "a.png", fine, size=16)
    assert np.abs(found.astype(int) - 128).max() <= 2  # every fourth pixel alone would be black or white


@given(height=st.integers(2, 400), width=st.integers(2, 40), size=st.integers(8, 30), is_color=st.booleans())
def test_any_shape_becomes_a_square(height: int, width: int, size: int, is_color: bool) -> None:
    image = Image.fromarray(np.full((height, width, 3), (10, 20, 30), np.uint8))
    for fit in _images.FITS:
        found = _images._square(image if is_color else image.convert("L"), size, fit)
        assert found.shape == (size, size, 3 if is_color else 1)
        lit = found[found.any(axis=2)]
        assert (lit == ((10, 20, 30) if is_color else 18)).all()
        assert len(lit) == size * (max(1, round(size * min(height, width) / max(height, width))) if fit == "pad" else size)


def faces(root: Path, names: tuple[str, ...], size: int = 48) -> Path:
    for split, num, first in (("train", 20, 0), ("validation", 2, 2000), ("test", 3, 4000)):
        classes(root / split, num, first=first, names=names, size=size)
    return root


@pytest.mark.parametrize("names", [CLASS_NAMES, tuple("0123456"), tuple(name.capitalize() for name in CLASS_NAMES)])
def test_fer2013_in_folders_keeps_its_class_order(tmp_path: Path, names: tuple[str, ...]) -> None:
    data = fer2013(path=str(faces(tmp_path, names)))
    assert (data.class_names, data.input_shape) == (CLASS_NAMES, (48, 48, 1))
    assert [len(split) for split in three(data).values()] == [140, 14, 21]
    assert data.train.labels.tolist() == [label for label in range(7) for _ in range(20)]
    assert np.array_equal(data.train.images[-1, ..., 0], pixels(619, 48, 48))
    both = fer2013(path=str(tmp_path), validation_includes_test=True, leave_out_shared=True)
    assert (len(both.validation), len(both.read_test()), len(both.notes)) == (35, 21, 2)


def test_fer2013_in_folders_by_its_own_names(tmp_path: Path) -> None:
    faces(tmp_path, CLASS_NAMES)
    for old, new in (("train", "Training"), ("validation", "PublicTest"), ("test", "PrivateTest")):
        (tmp_path / old).rename(tmp_path / new)
    assert [len(split) for split in three(fer2013(path=str(tmp_path))).values()] == [140, 14, 21]


def test_fer2013_in_folders_without_validation(tmp_path: Path) -> None:
    remove_all = [remove(f"validation/{name}") for name in CLASS_NAMES]
    faces(tmp_path, CLASS_NAMES)
    for change in remove_all:
        change(tmp_path)
    (tmp_path / "validation").rmdir()
    data = fer2013(path=str(tmp_path), validation_fraction=0.2)
    assert [len(split) for split in three(data).values()] == [112, 28, 21]


def test_fer2013_in_folders_without_what_cannot_be_used(tmp_path: Path) -> None:
    faces(tmp_path, CLASS_NAMES)
    for place in ("train/sad/a.png", "validation/sad/a.png", "test/sad/a.png"):
        (tmp_path / place).write_bytes(b"")
    save(tmp_path / "train" / "sad" / "b.png", pixels(1, 20, 20))
    with pytest.raises(DatasetError, match="4 of 179 files cannot be used: 3 empty, 1 of another size"):
        fer2013(path=str(tmp_path), validation_includes_test=True)
    data = fer2013(path=str(tmp_path), unreadable="skip")
    assert [(len(split), split.num_unreadable) for split in three(data).values()] == [(140, 2), (14, 1), (21, 1)]
    assert "3 of 157 training and validation files cannot be used and were left out: 2 empty, 1 of another size" in data.notes[0]


def test_fer2013_in_folders_that_are_wrong(tmp_path: Path) -> None:
    faces(tmp_path / "small", CLASS_NAMES, size=47)
    with pytest.raises(DatasetError, match=r"000\.png: of another size \(47x47 pixels; allowed: 48x48\. image_folder resizes"):
        fer2013(path=str(tmp_path / "small"))
    faces(tmp_path / "other", (*CLASS_NAMES[:-1], "calm"))
    with pytest.raises(DatasetError, match=r"has a folder 'calm', which is none of the classes\. Allowed: angry, disgust, fear"):
        fer2013(path=str(tmp_path / "other"))
    faces(tmp_path / "twice", CLASS_NAMES)
    (tmp_path / "twice" / "train" / "0").mkdir()
    with pytest.raises(DatasetError, match="has two folders for class 'angry': 0 and angry"):
        fer2013(path=str(tmp_path / "twice"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="holds no folder"):
        fer2013(path=str(tmp_path / "empty"))
