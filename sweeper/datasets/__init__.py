"""Datasets: one file each, giving a `Dataset`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sweeper.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class Split:
    """Images and their classes.

    Args:
        images: (count, height, width, channels), uint8 from 0 to 255, or float32 from 0 to 1.
        labels: (count,), int64 from 0 to the number of classes - 1.
        num_unreadable: Files of the split that cannot be used and were left out.
    """

    images: NDArray[np.uint8] | NDArray[np.float32]
    labels: NDArray[np.int64]
    num_unreadable: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to another process: of images in a file of the cache only where they lie; see `opened`."""
        from sweeper.datasets import _mapped

        place = _mapped.reference(self.images)
        return self.__dict__ if place is None else {**self.__dict__, "images": place}

    def opened(self) -> Split:
        """The split as it was sent, in the process that it was sent to: images in a file of the cache are mapped here.

        Raises:
            DatasetError: The file is not there.
        """
        from sweeper.datasets import _mapped

        place: Any = self.images
        return dataclasses.replace(self, images=place.opened()) if isinstance(place, _mapped.Reference) else self


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """Three splits of labelled images.

    Training and validation are there at once. The test split is read only when `read_test` is called: a search never does,
    so no decision of a search can depend on it.

    Args:
        name: Name in the catalog.
        train: What models are trained on.
        validation: What the search compares models on.
        read_test: Gives the test split; raises `DatasetError` where there is none.
        class_names: One name per class, in label order.
        has_test: Whether there is a test split.
        notes: What was done to the data on the way in, one sentence each: nothing is converted or left out silently.
        is_carved: Whether validation was carved from train by a seed, and nothing else depends on which images it got.
    """

    name: str
    train: Split
    validation: Split
    read_test: Callable[[], Split]
    class_names: tuple[str, ...]
    has_test: bool = True
    notes: tuple[str, ...] = ()
    is_carved: bool = False

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def can_be_carved(self) -> bool:
        """Whether another seed may carve training and validation anew; not from files of the cache: that would copy them."""
        return self.is_carved and not self.files

    @property
    def files(self) -> tuple[str, ...]:
        """The files in which training and validation images lie; those in memory are in none."""
        from sweeper.datasets import _mapped

        places = (_mapped.reference(split.images) for split in (self.train, self.validation))
        return tuple(place.file for place in places if place is not None)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        height, width, channels = self.train.images.shape[1:]
        return (height, width, channels)


def check_split(split: Split, *, where: str, num_classes: int, input_shape: tuple[int, ...] | None = None) -> Split:
    """The split itself, after checking that its images and labels fit together.

    Args:
        split: What was read.
        where: What to call it in an error.
        num_classes: Labels must lie below this.
        input_shape: (height, width, channels) the images must have; None for any.

    Raises:
        DatasetError: Wrong rank, type, range or length.
    """
    import numpy as np

    images, labels = split.images, split.labels
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise DatasetError(
            f"{where}: images have shape {images.shape}; allowed: (count, height, width, channels) with 1 or 3 channels."
        )
    if input_shape is not None and tuple(images.shape[1:]) != tuple(input_shape):
        raise DatasetError(f"{where}: images are {images.shape[1:]}, but the training images are {tuple(input_shape)}.")
    if len(images) == 0:
        raise DatasetError(f"{where}: there is no image in it. Every split needs images of every class.")
    if images.shape[1] * images.shape[2] < 2:
        raise DatasetError(f"{where}: images are {images.shape[1]}x{images.shape[2]} pixels; at least two pixels are needed.")
    if len(images) != len(labels) or labels.ndim != 1:
        raise DatasetError(f"{where}: {len(images)} images, but labels of shape {labels.shape}; each image needs one label.")
    if images.dtype not in (np.uint8, np.float32):
        raise DatasetError(f"{where}: images are {images.dtype}; allowed: uint8 from 0 to 255, or float32 from 0 to 1.")
    if images.dtype == np.float32:
        lowest, highest = float(images.min()), float(images.max())
        if np.isnan(lowest):
            wrong = [number for number, image in enumerate(images) if np.isnan(image).any()]
            raise DatasetError(
                f"{where}: {len(wrong):,} of {len(images):,} images have NaN in them, the first at index {wrong[0]}. Leave "
                "them out, or put numbers in place of NaN."
            )
        if lowest < 0 or highest > 1:
            raise DatasetError(
                f"{where}: float32 images must lie between 0 and 1, these lie between {lowest:g} and {highest:g}; "
                "divide 8-bit values by 255."
            )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise DatasetError(f"{where}: labels run from {labels.min()} to {labels.max()}; allowed: 0 to {num_classes - 1}.")
    return split
