"""Which dataset of the catalog reads a file or a folder: told by names, and by a look at the first bytes."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from sweeper.datasets import _fer_csv, _folders, _idx, _images, fashion_mnist, fer2013
from sweeper.datasets._unusable import UnusableError
from sweeper.errors import DatasetError

KINDS = (
    "a folder with one folder of images per class, an .npz file of arrays, fer2013.csv or its folder, a folder of the idx files "
    "of MNIST or Fashion-MNIST, a folder or archive of CIFAR-10 or CIFAR-100"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recognised:
    """A dataset of the catalog that reads the data, and how that was told.

    Args:
        name: Of the dataset.
        options: Its options, as far as the data decide them.
        why: By what it was told, in words.
        reasons: Of options, in words.
    """

    name: str
    options: dict[str, Any]
    why: str
    reasons: dict[str, str] = dataclasses.field(default_factory=dict)


def recognise(path: str) -> Recognised:
    """The dataset for the data at a path.

    Raises:
        DatasetError: There is nothing, or none that any dataset reads.
    """
    place, options = Path(path).expanduser(), {"path": path}
    if not place.exists():
        raise DatasetError(f"there is nothing at {path}. Give {KINDS}.")
    found = _folder(place) if place.is_dir() else _file(place)
    if found is None:
        raise DatasetError(f"{path} is no data that is known here. Give {KINDS}.")
    return Recognised(name=found[0], options=options, why=found[1])


def _file(file: Path) -> tuple[str, str] | None:
    name = file.name.lower()
    if name.endswith(".npz"):
        return "arrays", "an .npz file"
    if ".csv" in name or name in _fer_csv.FILES:
        return "fer2013", "a csv file, which FER2013 alone has"
    for kind, archive in (("cifar10", "cifar-10-python"), ("cifar100", "cifar-100-python")):
        if name.startswith(archive):
            return kind, "the official archive"
    return None


def _folder(folder: Path) -> tuple[str, str] | None:
    names = {entry.name for entry in folder.iterdir()}
    if names & {*_fer_csv.FILES}:
        return "fer2013", "a folder with its csv file"
    if any(name.startswith("train-images") for name in names):
        return _idx_folder(folder)
    if "data_batch_1" in names:
        return "cifar10", "a folder of its batches"
    if {"train", "test", "meta"} <= names and (folder / "train").is_file():
        return "cifar100", "a folder of its batches"
    if not any(entry.is_dir() for entry in folder.iterdir()):
        return None
    tree = _folders.find(folder, validation_fraction=None, test_fraction=None, split_seed=0)
    if {name.lower() for name in tree.class_names} == {*fer2013.CLASS_NAMES} and _side(tree.train[0][0]) == _fer_csv.SIDE:
        return "fer2013", f"its seven classes, in images of {_fer_csv.SIDE}x{_fer_csv.SIDE}"
    return "image_folder", "folders of images"


def _idx_folder(folder: Path) -> tuple[str, str]:
    """Both sets have files of the same names. Fashion-MNIST is known by its labels, or by the name of its folder."""
    known = {digest for name, digest in fashion_mnist.SHA256.items() if "labels" in name}
    labels = (entry for entry in folder.iterdir() if "labels" in entry.name and entry.is_file())
    if any(hashlib.sha256(file.read_bytes()).hexdigest() in known for file in labels):
        return "fashion_mnist", "its idx files"
    if "fashion" in folder.name.lower():
        return "fashion_mnist", "idx files in a folder of that name"
    return "mnist", f"idx files ({_idx.NEEDED}); if they are Fashion-MNIST, write fashion_mnist"


def _side(file: Path) -> int | None:
    """Of a square image; None of any other, and of what is no image."""
    try:
        height, width = _images.size_of(file)
    except UnusableError:
        return None
    return height if height == width else None
