"""Finds the images in folders of classes: which file belongs to which split and class. Nothing is opened here."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from sweeper.datasets._splits import carved
from sweeper.datasets._unusable import Fault
from sweeper.errors import DatasetError, did_you_mean, listed

Files = list[tuple[Path, int]]
"""Images and their labels."""

SPLITS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "publictest": "validation",
    "test": "test", "testing": "test", "privatetest": "test",
}  # fmt: skip
"""Names a folder of a split may have, in any case."""

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

LEFT_BEHIND = ("thumbs.db", "desktop.ini", "__macosx")
"""What file managers leave in folders; skipped, as is everything whose name begins with a dot."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tree:
    """Which files belong to which split and class; none of them is read yet.

    Args:
        train: Files and labels, in a fixed order; likewise the others.
        validation: See `train`.
        test: See `train`.
        class_names: One per class, in label order.
        notes: What was carved from what.
        strays: Files in the folders of classes whose names are not those of images, by the split whose folder it is.
        is_carved: Whether validation was carved from train.
    """

    train: Files
    validation: Files
    test: Files
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    strays: dict[str, list[Fault]]
    is_carved: bool


def find(
    root: Path,
    *,
    validation_fraction: float | None,
    test_fraction: float | None,
    split_seed: int,
    class_names: tuple[str, ...] = (),
) -> Tree:
    """The files of a folder of class folders, or of a folder of split folders that hold class folders.

    A split that has no folder of its own is carved from train by seed.

    Args:
        root: The folder.
        validation_fraction: Share of each class for validation, where that is carved; None for 0.1.
        test_fraction: Likewise for the test split.
        split_seed: Which files are carved out.
        class_names: Names the class folders must have (in any case; or their numbers), in label order; empty for the sorted
            names of the folders.

    Raises:
        DatasetError: A folder is missing, empty or unexpected; a share is given for a split that has a folder.
    """
    folders = _split_folders(root)
    names = class_names or tuple(folder.name for folder in _class_folders(folders["train"]))
    strays: dict[str, list[Fault]] = {split: [] for split in folders}
    files = {split: _files(folder, names, strays[split], is_fixed=bool(class_names)) for split, folder in folders.items()}
    shares = {"validation": validation_fraction, "test": test_fraction}
    for split, share in shares.items():
        if split in files and share is not None:
            raise DatasetError(
                f"{root}: {split}_fraction is {share!r}, but there is a folder {folders[split].name}; leave it out."
            )
    carve = {split: 0.1 if share is None else share for split, share in shares.items() if split not in files}
    notes = _carve(files, carve, where=str(root), class_names=names, split_seed=split_seed) if carve else ()
    return Tree(
        train=files["train"],
        validation=files["validation"],
        test=files["test"],
        class_names=names,
        notes=notes,
        strays=strays,
        is_carved="validation" in carve,
    )


def _carve(
    files: dict[str, Files], shares: dict[str, float], *, where: str, class_names: tuple[str, ...], split_seed: int
) -> tuple[str, ...]:
    """Move shares of the training files into splits of their own; gives a sentence about it."""
    import numpy as np

    everything = files["train"]
    parts = carved(
        np.array([label for _, label in everything], dtype=np.int64),
        where=where,
        class_names=class_names,
        split_seed=split_seed,
        validation_fraction=shares.get("validation"),
        test_fraction=shares.get("test"),
    )
    for split, rows in zip(("train", "validation", "test"), parts, strict=True):
        if split == "train" or split in shares:
            files[split] = [everything[row] for row in rows.tolist()]
    told = " and ".join(f"{share:g} of it for {split}" for split, share in shares.items())
    return (f"Carved from train by seed {split_seed}, class by class: {told}.",)


def _split_folders(root: Path) -> dict[str, Path]:
    """The folder of each split; the root itself as train where its folders are classes."""
    if not root.exists():
        raise DatasetError(
            f"there is no folder {root}. Check dataset.path in the study file, or --path of describe-data; a path is relative to "
            f"the folder the command is called in, here {Path.cwd()}."
        )
    if not root.is_dir():
        raise DatasetError(f"{root} is a file; allowed: a folder with one folder of images per class.")
    folders = [entry for entry in _visible(root) if entry.is_dir()]
    if not folders or not all(folder.name.lower() in SPLITS for folder in folders):
        return {"train": root}
    found: dict[str, Path] = {}
    for folder in folders:
        split = SPLITS[folder.name.lower()]
        if split in found:
            raise DatasetError(f"{root} has two folders for {split}: {found[split].name} and {folder.name}. Keep one.")
        found[split] = folder
    if "train" not in found:
        raise DatasetError(f"{root} has a folder {folders[0].name}, but none called train.")
    return found


def _class_folders(folder: Path) -> list[Path]:
    folders = [entry for entry in _visible(folder) if entry.is_dir()]
    if not folders:
        raise DatasetError(f"{folder} holds no folder; allowed: one folder of images per class.")
    if len(folders) == 1:
        raise DatasetError(
            f"{folder} holds one class only, '{folders[0].name}'; a classifier needs at least two, each in a folder of its own."
        )
    return folders


def _files(folder: Path, names: tuple[str, ...], strays: list[Fault], *, is_fixed: bool) -> Files:
    """All images of one split, class by class, each class sorted by name; what is not named as an image becomes a stray."""
    there: dict[int, Path] = {}
    for entry in _class_folders(folder):
        label = _label(entry.name, names, is_fixed=is_fixed)
        if label is None:
            raise DatasetError(
                f"{folder} has a folder '{entry.name}', which is none of the classes.{did_you_mean(entry.name, names)} "
                f"Allowed: {listed(names)}."
            )
        if label in there:
            raise DatasetError(f"{folder} has two folders for class '{names[label]}': {there[label].name} and {entry.name}.")
        there[label] = entry
    missing = next((label for label in range(len(names)) if label not in there), None)
    if missing is not None:
        raise DatasetError(
            f"{folder} has no folder for class '{names[missing]}'. Every split needs every one of: {listed(names)}."
        )
    return [(file, label) for label in range(len(names)) for file in _images_of(there[label], strays)]


def _label(folder: str, names: tuple[str, ...], *, is_fixed: bool) -> int | None:
    """The label of a class folder; names that are fixed may be written in any case, or as the label itself."""
    if folder in names:
        return names.index(folder)
    if is_fixed and folder.lower() in names:
        return names.index(folder.lower())
    numbers = [str(label) for label in range(len(names))]
    return numbers.index(folder) if is_fixed and folder in numbers else None


def _images_of(folder: Path, strays: list[Fault]) -> list[Path]:
    images = []
    for entry in _visible(folder):
        if entry.is_dir():
            raise DatasetError(
                f"{entry} is a folder in the folder of a class; images must lie directly in the folder of their class. "
                "If this is a split, its neighbours must all be called train, validation or test."
            )
        if entry.suffix.lower() in SUFFIXES:
            images.append(entry)
        else:
            strays.append(Fault(entry, "not named as an image", f"allowed: {', '.join(SUFFIXES)}"))
    if not images:
        raise DatasetError(f"{folder} holds no image; every class needs at least one in every split.")
    return images


def _visible(folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise DatasetError(f"{folder} cannot be read ({error.strerror}).") from error
    return [folder / name for name in names if not name.startswith(".") and name.lower() not in LEFT_BEHIND]
