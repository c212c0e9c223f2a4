"""Reads a person's own images as those of a dataset are: of its size, its colour and its type."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.datasets import Dataset, _images
from sweeper.errors import DatasetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_NAMED = 20
"""Files that an error names."""


def read(dataset: Dataset, files: Sequence[Path], *, fit: str) -> NDArray[Any]:
    """The images, (count, height, width, channels).

    Args:
        dataset: What they are to be like.
        files: Images of any size and colour.
        fit: What becomes of one that is not square, one of `sweeper.datasets._images.FITS`.

    Raises:
        DatasetError: A file cannot be read, or the dataset's images are not square.
    """
    import numpy as np

    height, width, channels = dataset.input_shape
    if height != width:
        raise DatasetError(f"images of {dataset.name} are {height}x{width}; only square ones can be made of yours.")
    if folders := [file for file in files if file.is_dir()]:
        raise DatasetError(f"{folders[0]} is a folder; name image files, for example {folders[0]}/*.png")
    found = _images.read([(file, 0) for file in files], _images.Manner(size=height, is_color=channels == 3, fit=fit))
    if found.faults:
        named = "\n".join(f"  - {fault.file}: {fault.why}" for fault in found.faults[:MOST_NAMED])
        count = len(found.faults)
        raise DatasetError(f"{count} {'image' if count == 1 else 'images'} cannot be read:\n{named}")
    images, wanted = found.split.images, dataset.train.images.dtype
    return images if images.dtype == wanted else np.divide(images, 255, dtype=wanted)
