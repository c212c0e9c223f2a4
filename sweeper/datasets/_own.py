"""Images and labels in memory as a dataset: what a dataset of a user's own usually needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sweeper.datasets import Dataset, Split
from sweeper.datasets._assembly import assembled
from sweeper.datasets._splits import carved


def from_arrays(
    name: str,
    images: Any,
    labels: Any,
    *,
    class_names: Sequence[str] | None = None,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    fraction: float = 1.0,
) -> Dataset:
    """A dataset of images and labels, split so that each split has the same mixture of classes.

    Args:
        name: Name of the function that returns it.
        images: (count, height, width, 1 or 3), uint8 from 0 to 255 or float32 from 0 to 1; (count, height, width) if grey.
        labels: (count,), whole numbers from 0.
        class_names: One per class; None for their numbers.
        validation_fraction: Share of each class for validation, above 0 and below 1.
        test_fraction: Share of each class for the test split, above 0 and below 1.
        split_seed: Which images go where, from 0; the same everywhere for the same seed.
        fraction: Share of each class of the training split that is trained on, above 0 and up to 1.

    Raises:
        DatasetError: Arrays of other shapes or types, or an argument outside its range.
    """
    import numpy as np

    images, labels = np.asarray(images), np.asarray(labels).astype(np.int64)
    images = images[..., None] if images.ndim == 3 else images
    names = tuple(map(str, range(int(labels.max(initial=0)) + 1))) if class_names is None else tuple(class_names)
    train, validation, test = carved(
        labels,
        where=name,
        class_names=names,
        split_seed=split_seed,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
    )
    return assembled(
        name,
        where=name,
        train=Split(images[train], labels[train]),
        validation=Split(images[validation], labels[validation]),
        read_test=lambda: Split(images[test], labels[test]),
        class_names=names,
        leave_out_shared=False,
        fraction=fraction,
        split_seed=split_seed,
        is_carved=True,
    )
