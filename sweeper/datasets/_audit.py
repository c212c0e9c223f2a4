"""Counts what a dataset holds, and what in it distorts results: repeated images, contradicting labels, empty pictures."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sweeper.datasets import Dataset


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """Counts over the splits of one dataset. "The same pixels" means every value of every pixel is equal.

    Args:
        counts: Images of each class, in label order, for each split there is: train, validation, test.
        shared_train_validation: Validation images whose pixels also occur in train.
        shared_train_test: Test images whose pixels also occur in train; None without a test split.
        shared_validation_test: Test images whose pixels also occur in validation; None without a test split.
        conflicting_groups: Groups of images with the same pixels, over all splits, that carry more than one label.
        flat_images: Images of a single colour, over all splits.
        unreadable: Files of each split that cannot be used and were left out.
    """

    counts: dict[str, tuple[int, ...]]
    shared_train_validation: int
    shared_train_test: int | None
    shared_validation_test: int | None
    conflicting_groups: int
    flat_images: int
    unreadable: dict[str, int]


def audit(dataset: Dataset) -> Audit:
    """Counts per class and split, and of what distorts results. Reads the test split, if there is one."""
    import numpy as np

    splits = {"train": dataset.train, "validation": dataset.validation}
    if dataset.has_test:
        splits["test"] = dataset.read_test()
    found = {name: digests(split.images) for name, split in splits.items()}
    in_train, in_validation = set(found["train"]), set(found["validation"])
    labels: dict[bytes, set[int]] = {}
    for name, split in splits.items():
        for digest, label in zip(found[name], split.labels.tolist(), strict=True):
            labels.setdefault(digest, set()).add(label)
    later = found.get("test")
    return Audit(
        counts={name: tuple(np.bincount(split.labels, minlength=dataset.num_classes).tolist()) for name, split in splits.items()},
        shared_train_validation=sum(digest in in_train for digest in found["validation"]),
        shared_train_test=None if later is None else sum(digest in in_train for digest in later),
        shared_validation_test=None if later is None else sum(digest in in_validation for digest in later),
        conflicting_groups=sum(len(different) > 1 for different in labels.values()),
        flat_images=sum(_num_flat(split.images) for split in splits.values()),
        unreadable={name: split.num_unreadable for name, split in splits.items()},
    )


def digests(images: NDArray[np.uint8] | NDArray[np.float32]) -> list[bytes]:
    """One 16-byte name per image, the same for the same pixels."""
    return [digest(image.tobytes()) for image in images]


def digest(pixels: bytes) -> bytes:
    """The name of one image, from the bytes of its pixels."""
    return hashlib.blake2b(pixels, digest_size=16).digest()


def _num_flat(images: NDArray[np.uint8] | NDArray[np.float32]) -> int:
    # Image by image: comparing all at once would make another array of the size of the data.
    return sum(bool((image == image[:1, :1]).all()) for image in images)
