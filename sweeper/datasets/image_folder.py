"""Your own images: any folder with one folder of images per class.

::

    photos/train/cat/1.jpg   photos/train/dog/...   photos/validation/cat/...   photos/test/cat/...
    photos/cat/1.jpg         photos/dog/...                                     (validation and test are carved by seed)

How images become one array, in this order:

1. Turned upright by their EXIF orientation.
2. 16-bit grey becomes 8-bit (0 to 65535 onto 0 to 255); transparency is laid on white; of an animation the first frame counts.
3. Colour as `color` says. Grey from colour is the usual luma, 0.299 red + 0.587 green + 0.114 blue; colour from grey repeats it.
4. By `fit`: the shorter side is made `size` and the centre square is kept (crop); or the longer side is made `size`, centred
   between black bars (pad); or each side is made `size` (stretch). Bilinear and antialiased. An image that is `size` x `size`
   already stays as it is, bit for bit.

Names of the classes are the names of their folders, sorted. Names that begin with a dot are skipped, as are files beside the
class folders. Anything else that is not an image cannot be used, and neither can an image that cannot be decoded, has a side of
one pixel, or would fill the memory: `unreadable` says what becomes of those. Splits are carved before they are left out, so a
file that is mended later comes where it belongs, and no other file changes its split.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeper.catalog import dataset
from sweeper.datasets import Dataset

if TYPE_CHECKING:
    from sweeper.datasets._folders import Tree
    from sweeper.datasets._images import Manner, Reading


@dataset(source="a folder of yours", licence="that of your data")
def image_folder(
    *,
    path: str,
    size: int = 64,
    color: str = "auto",
    fit: str = "crop",
    unreadable: str = "error",
    validation_fraction: float | None = None,
    test_fraction: float | None = None,
    leave_out_shared: bool = False,
    fraction: float = 1.0,
    split_seed: int = 0,
) -> Dataset:
    """The images of a folder, uint8, all of one size and colour. Test images are not opened before they are asked for.

    Args:
        path: The folder: folders train, validation and test with one folder per class in each, or only one folder per class. A
            split that has no folder is carved from train.
        size: Height and width of all images, 8 to 1024.
        color: rgb, grey, or auto: rgb when any training or validation image is in colour, grey otherwise. A palette counts by
            its colours, everything else by its file: a grey picture stored as rgb counts as colour.
        fit: What becomes of an image that is not square: crop keeps its centre square, pad lays black bars beside it, stretch
            distorts it.
        unreadable: What becomes of files that cannot be used: error names them all, skip leaves them out and says how many.
        validation_fraction: Share of each class for validation where that is carved; null for 0.1.
        test_fraction: Likewise for the test split.
        leave_out_shared: Leave the images out of training whose pixels, after all rules above, also occur in validation or
            test; for that the test images are read, compared and not kept.
        fraction: Share of each class that is trained on, above 0 and up to 1.
        split_seed: Which images are carved out, and which stay for a fraction.

    Raises:
        DatasetError: The data are missing or wrong; the file or folder is named.
    """
    from sweeper.datasets import _folders, _images, _trees, _unusable
    from sweeper.datasets._assembly import assembled
    from sweeper.datasets._splits import check_choice, check_seed, check_whole

    check_whole("image_folder", "size", size, 8, 1024)
    check_choice("image_folder", "color", color, ("auto", "grey", "rgb"))
    check_choice("image_folder", "fit", fit, _images.FITS)
    check_choice("image_folder", "unreadable", unreadable, _unusable.CHOICES)
    check_seed("image_folder", split_seed)
    root = Path(path).expanduser()
    tree = _folders.find(root, validation_fraction=validation_fraction, test_fraction=test_fraction, split_seed=split_seed)
    manner = _images.Manner(size=size, is_color=color == "rgb", fit=fit, skips=unreadable == "skip")
    manner, readings, num_color = _readings(tree, root, color, manner)
    num_images = sum(len(reading.files) for reading in readings)
    return assembled(
        "image_folder",
        where=str(root),
        train=readings[0].split,
        validation=readings[1].split,
        read_test=lambda: _trees.test(root, tree, manner),
        class_names=tree.class_names,
        leave_out_shared=leave_out_shared,
        fraction=fraction,
        split_seed=split_seed,
        notes=[
            *tree.notes,
            *_trees.left_out(readings),
            *_color_notes(num_color, num_images, manner.is_color),
            *_size_notes(readings, num_images, size, fit),
        ],
        is_carved=tree.is_carved,
    )


def _readings(tree: Tree, root: Path, color: str, manner: Manner) -> tuple[Manner, tuple[Reading, Reading], int]:
    """The manner with what `color` comes to, training and validation images, and how many of them are in colour by their file."""
    from sweeper.datasets import _images, _trees

    in_color = _images.in_color(tree.train + tree.validation)
    if color == "auto":
        manner = dataclasses.replace(manner, is_color=bool(in_color))
    readings = _trees.seen(root, tree, manner)
    num_color = sum(file in in_color for reading in readings for file in reading.files)
    if color == "auto" and in_color and not num_color:  # all that are in colour were left out
        manner = dataclasses.replace(manner, is_color=False)
        readings = _trees.seen(root, tree, manner)
    return manner, readings, num_color


def _color_notes(num_color: int, num_images: int, is_color: bool) -> list[str]:
    """What became of grey and of colour."""
    num_changed, before, now = (num_images - num_color, "grey", "rgb") if is_color else (num_color, "in colour", "grey")
    if not num_changed:
        return []
    return [f"{num_changed:,} of {num_images:,} training and validation images are {before}; all were made {now}."]


def _size_notes(readings: Sequence[Reading], num_images: int, size: int, fit: str) -> list[str]:
    """How many images changed their size, and what became of those that were not square."""
    num_resized = sum(reading.num_resized for reading in readings)
    num_oblong = sum(reading.num_oblong for reading in readings)
    if not num_resized:
        return []
    became = {
        "crop": "lost what lies outside the centre square (fit: pad or stretch keeps it)",
        "pad": "have black bars beside them",
        "stretch": "were distorted",
    }[fit]
    return [
        f"{num_resized:,} of {num_images:,} training and validation images were resized to {size}x{size}; {num_oblong:,} of "
        f"them were not square and {became}."
    ]
