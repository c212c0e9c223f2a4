"""Arrays in an .npz file: what they give, and what is said of bad ones."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeper.datasets.arrays import arrays
from sweeper.errors import DatasetError
from tests.datasets.kit import three


def content(**changes: Any) -> dict[str, Any]:
    """Arrays of a good file, some of them changed; None leaves one out."""
    generator = np.random.default_rng(0)
    made: dict[str, Any] = {}
    for name, count in (("train", 9), ("validation", 6), ("test", 3)):
        made[f"x_{name}"] = generator.integers(0, 256, (count, 5, 4, 3), dtype=np.uint8)
        made[f"y_{name}"] = np.arange(count) % 3
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def save(folder: Path, **changes: Any) -> str:
    np.savez(folder / "mine.npz", **content(**changes))
    return str(folder / "mine.npz")


def test_arrays(tmp_path: Path) -> None:
    data = arrays(path=save(tmp_path))
    assert (data.name, data.num_classes, data.class_names) == ("arrays", 3, ("0", "1", "2"))
    assert data.input_shape == (5, 4, 3)
    for name, split in three(data).items():
        assert np.array_equal(split.images, content()[f"x_{name}"])
        assert np.array_equal(split.labels, content()[f"y_{name}"])
        assert split.labels.dtype == np.int64


def test_arrays_with_class_names(tmp_path: Path) -> None:
    assert arrays(path=save(tmp_path), class_names=("cat", "dog", "emu")).class_names == ("cat", "dog", "emu")
    # A study file gives a list.
    assert arrays(path=save(tmp_path), class_names=["cat", "dog", "emu"]).num_classes == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f8"])
def test_arrays_of_floats_become_float32(tmp_path: Path, dtype: str) -> None:
    images = {name: (value[..., 0] / 255).astype(dtype) for name, value in content().items() if name.startswith("x")}
    data = arrays(path=save(tmp_path, **images))
    assert data.input_shape == (5, 4, 1)
    for name, split in three(data).items():
        assert split.images.dtype == np.dtype("float32")
        assert np.array_equal(split.images[..., 0], images[f"x_{name}"].astype("float32"))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint64", ">i2"])
def test_arrays_with_labels_of_any_whole_type(tmp_path: Path, dtype: str) -> None:
    labels = {name: value.astype(dtype) for name, value in content().items() if name.startswith("y")}
    assert arrays(path=save(tmp_path, **labels)).train.labels.tolist() == [0, 1, 2] * 3


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_arrays_with_labels_in_a_column(tmp_path: Path, dtype: str) -> None:
    labels = {name: value.astype(dtype) for name, value in content().items() if name.startswith("y")}
    columns = {name: value[:, None] for name, value in labels.items()}
    for changes in (labels, columns):
        for name, split in three(arrays(path=save(tmp_path, **changes))).items():
            assert split.labels.dtype == np.int64
            assert np.array_equal(split.labels, content()[f"y_{name}"])


def keras_file(folder: Path, num: int = 40) -> str:
    """A file as Keras's own mnist.npz: without validation."""
    images = np.random.default_rng(1).integers(0, 256, (num, 28, 28), dtype=np.uint8)
    labels = (np.arange(num) % 4).astype("uint8")
    np.savez(folder / "mnist.npz", x_train=images, y_train=labels, x_test=images[:8], y_test=labels[:8])
    return str(folder / "mnist.npz")


def test_arrays_without_validation_have_it_carved(tmp_path: Path) -> None:
    path = keras_file(tmp_path)
    data = arrays(path=path, validation_fraction=0.2, split_seed=3)
    assert [np.bincount(split.labels).tolist() for split in three(data).values()] == [[8] * 4, [2] * 4, [2] * 4]
    assert data.notes == ("Carved from train by seed 3, class by class: 0.2 of it for validation.",)
    with np.load(path) as file:
        whole = sorted(zip(file["y_train"].tolist(), (image.tobytes() for image in file["x_train"]), strict=True))
    found = [
        (label, image.tobytes())
        for split in (data.train, data.validation)
        for label, image in zip(split.labels.tolist(), split.images, strict=True)
    ]
    assert sorted(found) == whole
    again, other = (arrays(path=path, validation_fraction=0.2, split_seed=seed) for seed in (3, 4))
    assert np.array_equal(again.validation.images, data.validation.images)
    assert not np.array_equal(other.validation.images, data.validation.images)
    assert len(arrays(path=path).validation) == 4  # a tenth of each class
    assert len(arrays(path=path, fraction=0.5).train) == 16


@pytest.mark.parametrize("share", [0, 1, "0.2", 0.01])
def test_arrays_refuse_a_share_of_validation(tmp_path: Path, share: Any) -> None:
    with pytest.raises(DatasetError, match="validation_fraction"):
        arrays(path=keras_file(tmp_path), validation_fraction=share)
    with pytest.raises(DatasetError, match=r"validation_fraction is .*, but it holds x_validation; leave it out"):
        arrays(path=save(tmp_path), validation_fraction=share)


def test_arrays_compressed(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "small.npz", **content())
    assert len(arrays(path=str(tmp_path / "small.npz")).read_test()) == 3


def test_arrays_without_a_test_split(tmp_path: Path) -> None:
    data = arrays(path=save(tmp_path, x_test=None, y_test=None))
    assert len(data.train) == 9
    with pytest.raises(DatasetError, match=r"mine\.npz has no test split"):
        data.read_test()


@pytest.mark.parametrize("name", ["x_test", "y_test"])
def test_arrays_read_the_test_split_only_when_asked(tmp_path: Path, name: str) -> None:
    path = Path(save(tmp_path))
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo(f"{name}.npy").header_offset + 60
    data = bytearray(path.read_bytes())
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    loaded = arrays(path=str(path))
    assert len(loaded.train) == 9
    with pytest.raises(DatasetError, match=f"{name} is damaged"):
        loaded.read_test()


def test_arrays_damaged_training_split(tmp_path: Path) -> None:
    path = Path(save(tmp_path))
    data = bytearray(path.read_bytes())
    data[300:340] = b"\xff" * 40
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="x_train is damaged"):
        arrays(path=str(path))


def test_arrays_whose_file_vanished_before_the_test_split(tmp_path: Path) -> None:
    data = arrays(path=save(tmp_path))
    (tmp_path / "mine.npz").unlink()
    with pytest.raises(DatasetError, match="there is no file"):
        data.read_test()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.arange(3))
    return file.getvalue()


@pytest.mark.parametrize("data", [b"", b"x_train,y_train\n", b"\x93NUMPY" + bytes(100), npy(), b"\x80\x04K\x01.", bytes(999)])
def test_arrays_refuse_files_that_are_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "mine.npz").write_bytes(data)
    with pytest.raises(DatasetError, match=rf"mine\.npz is not an \.npz file \({len(data)} bytes\).*numpy\.savez"):
        arrays(path=str(tmp_path / "mine.npz"))


@pytest.mark.parametrize("keep", [10, 500, 1000])
def test_arrays_refuse_files_that_are_cut_off(tmp_path: Path, keep: int) -> None:
    path = Path(save(tmp_path))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match="cut off"):
        arrays(path=str(path))


@pytest.mark.filterwarnings("error")
def test_arrays_damaged_anywhere_give_one_kind_of_error(tmp_path: Path) -> None:
    path = Path(save(tmp_path, **{name: value[:, :2, :2, 0] for name, value in GOOD.items() if name.startswith("x")}))
    data = path.read_bytes()
    generator = np.random.default_rng(0)
    num_refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        for place in generator.integers(0, len(data), 3):
            damaged[place] = generator.integers(0, 256)
        path.write_bytes(damaged)
        try:
            arrays(path=str(path))
        except DatasetError:
            num_refused += 1
    assert num_refused > 100


def test_arrays_refuse_an_array_with_an_archive_behind_it(tmp_path: Path) -> None:
    path = Path(save(tmp_path))
    path.write_bytes(npy() + path.read_bytes())
    with pytest.raises(DatasetError, match=r"not an \.npz file"):
        arrays(path=str(path))


def test_arrays_refuse_paths(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no file .*gone\.npz"):
        arrays(path=str(tmp_path / "gone.npz"))
    with pytest.raises(DatasetError, match="is a folder"):
        arrays(path=str(tmp_path))


def test_arrays_refuse_members_that_are_no_arrays(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as archive:
        for name in content():
            archive.writestr(name, b"hello")
    with pytest.raises(DatasetError, match="x_train is not a NumPy array"):
        arrays(path=str(tmp_path / "mine.npz"))


def one_hot(labels: Any) -> Any:
    return np.eye(3, dtype=np.int64)[labels]


def holed() -> Any:
    """Training images of which those at 4 and 7 have NaN in them."""
    images = (content()["x_train"] / 255).astype("float32")
    images[4, 1, 2, 0] = images[7] = np.nan
    return images


GOOD = content()
X, Y = GOOD["x_train"], GOOD["y_train"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"x_train": None, "X_train": X}, "lacks x_train. Did you mean 'X_train'? It holds: y_train, x_validation"),
        ({"y_train": None, "x_validation": None}, "lacks y_train, x_validation."),
        ({"x_test": None}, "lacks x_test."),
        ({"x_validation": None}, "lacks x_validation."),
        (
            {"x_validation": None, "y_validation": None, "x_val": X, "y_val": Y},
            "lacks x_validation, y_validation. Rename x_val and y_val.",
        ),
        ({"y_test": None}, "may be added, both or neither"),
        ({"x_train": np.array([[1], [1, 2]], dtype=object)}, "x_train holds Python objects"),
        ({"y_train": np.array(["a"] * 9, dtype=object)}, "y_train holds Python objects"),
        ({"x_train": X.reshape(9, -1)}, "images have shape (9, 60)"),
        ({"x_train": X[None]}, "images have shape (1, 9, 5, 4, 3)"),
        ({"x_train": X.transpose(0, 3, 1, 2)}, "with 1 or 3 channels"),
        ({"x_train": X.astype("int64")}, "images are int64; allowed: uint8"),
        ({"x_train": X > 9}, "images are bool"),
        ({"x_train": X.astype("complex64")}, "images are complex64"),
        ({"x_train": X.astype("float32")}, "must lie between 0 and 1, these lie between 0 and 255; divide 8-bit values by 255"),
        ({"x_train": np.full((9, 5, 4, 3), np.nan)}, "9 of 9 images have NaN in them, the first at index 0. Leave them out"),
        ({"x_train": holed()}, "training split: 2 of 9 images have NaN in them, the first at index 4."),
        ({"x_train": np.full((9, 5, 4, 3), 1e300)}, "must lie between 0 and 1"),
        ({"x_train": np.full((9, 5, 4, 3), -0.1)}, "must lie between 0 and 1"),
        ({"x_train": X[:8]}, "training split: 8 images, but labels of shape (9,)"),
        ({"x_train": X[:0], "y_train": Y[:0]}, "training split: there is no image in it"),
        ({"x_validation": X[:0], "y_validation": Y[:0]}, "validation split: there is no image in it"),
        ({"x_validation": X[:6, :4]}, "validation split: images are (4, 4, 3), but the training images are (5, 4, 3)"),
        ({"y_train": Y - 1}, "labels run from -1 to 1; allowed: 0 to 2"),
        ({"y_train": Y + 0.5}, "9 labels are not whole, the first at index 0: 0.5. Allowed: whole numbers"),
        ({"y_train": np.where(Y == 1, np.nan, Y)}, "3 labels are not whole, the first at index 1: nan."),
        ({"y_train": Y * 1e300}, "6 labels are not whole, the first at index 1: 1e+300."),
        ({"y_train": Y.astype("str")}, "labels are <U"),
        ({"y_train": Y.astype("bool")}, "labels are bool"),
        (
            {"y_train": one_hot(Y)},
            "labels have shape (9, 3); allowed: (count,) or (count, 1). Convert one-hot rows with labels.argmax",
        ),
        ({"y_train": one_hot(Y).astype("float32")}, "labels have shape (9, 3)"),
        ({"y_train": Y[:, None].astype("str")}, "labels are <U"),
        ({"y_train": np.array(1)}, "labels have shape ()"),
        ({"y_train": Y * 2}, "3 of 5 classes occur; class 1 has no image"),
        ({"y_train": Y % 2}, "validation split: class 2 has no image in the training split, and needs some in both."),
        ({"y_validation": Y[:6] * 0}, "validation split: class 1 has no image. Every class needs images in both splits."),
        ({"y_train": Y + 1}, "3 of 4 classes occur; class 0 has no image"),
        ({"y_train": Y * 10**12}, "3 of 2000000000001 classes occur; class 1 has"),
        ({"y_train": Y.astype("uint64") + np.uint64(2**63)}, "labels run from -"),
        ({"y_train": Y * 0, "y_validation": GOOD["y_validation"] * 0}, "all labels are 0"),
    ],
)
def test_arrays_refuse(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(DatasetError, match=re.escape(text)) as caught:
        arrays(path=save(tmp_path, **changes))
    assert "mine.npz" in str(caught.value)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("a", "b"), "labels run from 0 to 2; allowed: 0 to 1"),
        (("a", "b", "c", "d"), "3 of 4 classes occur; class 3 has no image"),
        (("a", "b", "a"), "has a name twice"),
        (("a",), "one name only"),
        ("abc", "class_names is 'abc'; allowed: a list of texts"),
        ((1, 2, 3), "class_names is (1, 2, 3)"),
        (("a", "", "b"), "allowed: a list of texts"),
    ],
)
def test_arrays_refuse_class_names(tmp_path: Path, names: Any, text: str) -> None:
    with pytest.raises(DatasetError, match=re.escape(text)):
        arrays(path=save(tmp_path), class_names=names)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"y_test": np.array([0, 1, 3])}, "test split: labels run from 0 to 3"),
        ({"x_test": X[:3, :, :3]}, "test split: images are (5, 3, 3)"),
        ({"x_test": np.array([None] * 3)}, "x_test holds Python objects"),
        ({"x_test": X[:2]}, "test split: 2 images"),
    ],
)
def test_arrays_refuse_a_test_split_when_it_is_read(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    data = arrays(path=save(tmp_path, **changes))
    with pytest.raises(DatasetError, match=re.escape(text)):
        data.read_test()
