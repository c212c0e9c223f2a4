"""Your own images: any folder with one folder of images per class.

::

    photos/train/cat/1.jpg   photos/train/dog/...   photos/validation/cat/...   photos/test/cat/...
    photos/cat/1.jpg         photos/dog/...                                     (validation and test are carved by seed)

How images become one array, in this order:

1. Turned upright by their EXIF orientation.
2. 16-bit grey becomes 8-bit (0 to 65535 onto 0 to 255); transparency is laid on white; of an animation the first frame counts.
3. Colour as `color` says. Grey from colour is the usual luma, 0.299 red + 0.587 green + 0.114 blue; colour from grey repeats it.
4. The shorter side is made `size`, bilinear and antialiased, and the centre square is kept. An image that is `size` x `size`
   already stays as it is, bit for bit.

Names of the classes are the names of their folders, sorted. Names that begin with a dot are skipped, as are files beside the
class folders. Anything else that is not an image is an error, and so is an image that cannot be decoded, has a side of one pixel,
or would fill the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeper.catalog import dataset
from sweeper.datasets import Dataset

if TYPE_CHECKING:
    from sweeper.datasets._images import Reading


@dataset(source="a folder of yours", licence="that of your data")
def image_folder(
    *,
    path: str,
    size: int = 64,
    color: str = "auto",
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
        validation_fraction: Share of each class for validation where that is carved; null for 0.1.
        test_fraction: Likewise for the test split.
        leave_out_shared: Leave the images out of training whose pixels, after all rules above, also occur in validation or
            test; for that the test images are read, compared and not kept.
        fraction: Share of each class that is trained on, above 0 and up to 1.
        split_seed: Which images are carved out, and which stay for a fraction.

    Raises:
        DatasetError: The data are missing or wrong; the file or folder is named.
    """
    from sweeper.datasets import _folders, _images
    from sweeper.datasets._assembly import assembled
    from sweeper.datasets._splits import check_choice, check_seed, check_whole

    check_whole("image_folder", "size", size, 8, 1024)
    check_choice("image_folder", "color", color, ("auto", "grey", "rgb"))
    check_seed("image_folder", split_seed)
    root = Path(path).expanduser()
    tree = _folders.find(root, validation_fraction=validation_fraction, test_fraction=test_fraction, split_seed=split_seed)
    seen = tree.train + tree.validation
    num_color = _images.num_color(seen)
    is_color = num_color > 0 if color == "auto" else color == "rgb"
    train, validation = (_images.read(files, size=size, is_color=is_color) for files in (tree.train, tree.validation))
    notes = [
        *tree.notes,
        *_color_notes(num_color, len(seen), is_color),
        *_size_notes([train, validation], len(seen), size),
    ]
    return assembled(
        "image_folder",
        where=str(root),
        train=train.split,
        validation=validation.split,
        read_test=lambda: _images.read(tree.test, size=size, is_color=is_color).split,
        class_names=tree.class_names,
        leave_out_shared=leave_out_shared,
        fraction=fraction,
        split_seed=split_seed,
        notes=notes,
    )


def _color_notes(num_color: int, num_images: int, is_color: bool) -> list[str]:
    """What became of grey and of colour."""
    num_changed, before, now = (num_images - num_color, "grey", "rgb") if is_color else (num_color, "in colour", "grey")
    if not num_changed:
        return []
    return [f"{num_changed:,} of {num_images:,} training and validation images are {before}; all were made {now}."]


def _size_notes(readings: Sequence[Reading], num_images: int, size: int) -> list[str]:
    """How many images changed their size, and how many of them lost something."""
    num_resized = sum(reading.num_resized for reading in readings)
    num_cropped = sum(reading.num_cropped for reading in readings)
    if not num_resized:
        return []
    return [
        f"{num_resized:,} of {num_images:,} training and validation images were resized to {size}x{size}; {num_cropped:,} of "
        "them were not square and lost what lies outside the centre square."
    ]
