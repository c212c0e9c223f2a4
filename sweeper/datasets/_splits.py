"""Which rows go where: splits carved by seed, and rows left out of training, and checks of the options for both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from sweeper.datasets import Split, _mapped, check_split
from sweeper.datasets._audit import digests
from sweeper.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]
    Pixels = NDArray[np.uint8] | NDArray[np.float32]


def check_seed(where: str, split_seed: object) -> None:
    """Raise `DatasetError` unless the seed is a whole number from 0."""
    if isinstance(split_seed, bool) or not isinstance(split_seed, int) or split_seed < 0:
        raise DatasetError(f"{where}: split_seed is {split_seed!r}; allowed: a whole number from 0.")


def _enough(num_images: int, num_shares: int) -> str:
    """What would give every split an image of a class."""
    if num_images <= num_shares:
        return f"A class needs at least {num_shares + 1} images, one for each split."
    return f"Each must be at least {1 / num_images:.3f}, and all together, rounded, less than 1."


def check_share(where: str, name: str, value: object) -> None:
    """Raise `DatasetError` unless a share that is carved from a split lies between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise DatasetError(f"{where}: {name} is {value!r}; allowed: above 0 and below 1.")


def check_choice(where: str, name: str, value: object, allowed: Sequence[str]) -> None:
    """Raise `DatasetError` unless a text is one of those allowed."""
    if value not in allowed:
        raise DatasetError(f"{where}: {name} is {value!r}; allowed: {', '.join(allowed)}.")


def check_whole(where: str, name: str, value: object, lowest: int, highest: int) -> None:
    """Raise `DatasetError` unless a number is whole and in its range, ends included."""
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise DatasetError(f"{where}: {name} is {value!r}; allowed: a whole number from {lowest} to {highest}.")


def carved(
    labels: Rows,
    *,
    where: str,
    class_names: Sequence[str],
    split_seed: int,
    validation_fraction: float | None = None,
    test_fraction: float | None = None,
) -> tuple[Rows, Rows, Rows]:
    """Row numbers of the training, validation and test split, each in order, each with the same mixture of classes.

    Args:
        labels: (count,), labels of all rows.
        where: What to call the data in an error.
        class_names: One per class.
        split_seed: Which rows go where; the same everywhere for the same seed.
        validation_fraction: Share of each class for validation; None for no validation rows.
        test_fraction: Share of each class for the test split; None for no test rows.

    Raises:
        DatasetError: An argument outside its range, or a split would have no row of some class.
    """
    import numpy as np

    check_seed(where, split_seed)
    shares = {"validation_fraction": validation_fraction, "test_fraction": test_fraction}
    asked = {name: share for name, share in shares.items() if share is not None}
    for name, share in asked.items():
        check_share(where, name, share)
    # Raw words of a bit generator: unlike permutations and shuffles their stream never changes between NumPy versions.
    order = np.argsort(np.random.PCG64(split_seed).random_raw(len(labels)), kind="stable")
    parts: tuple[list[Rows], ...] = ([], [], [])
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        num_validation, num_test = (round(len(rows) * (share or 0)) for share in shares.values())
        counts = [len(rows) - num_validation - num_test, *(round(len(rows) * share) for share in asked.values())]
        if min(counts) < 1:
            told = " and ".join(f"{name} {share}" for name, share in asked.items())
            raise DatasetError(
                f"{where}: {told} leave a split without any of the {len(rows)} images of class "
                f"'{class_names[label]}'. {_enough(len(rows), len(asked))}"
            )
        test, validation, train = np.split(rows, (num_test, num_test + num_validation))
        for part, chosen in zip(parts, (train, validation, test), strict=True):
            part.append(chosen)
    train, validation, test = (np.sort(np.concatenate(part)) for part in parts)
    return train, validation, test


def validation_carved(
    split: Split, *, where: str, class_names: Sequence[str], validation_fraction: float, split_seed: int
) -> tuple[Split, Split]:
    """Training and validation split, carved from one; the given arrays are reused, so do not use them afterwards.

    Raises:
        DatasetError: As `carved`; labels outside the classes.
    """
    check_split(split, where=f"{where}, training split", num_classes=len(class_names))
    train, validation, _ = carved(
        split.labels, where=where, class_names=class_names, split_seed=split_seed, validation_fraction=validation_fraction
    )
    if _mapped.reference(split.images) is not None:
        return _kept(split, train), _kept(split, validation)
    held_out = Split(split.images[validation], split.labels[validation])
    return _kept(split, train), held_out


def carved_anew(train: Split, validation: Split, split_seed: int) -> tuple[Split, Split, Rows]:
    """Both splits divided anew: in the same numbers class by class, so that whatever was made for their shapes still fits.

    Args:
        train: Training images.
        validation: Validation images, carved from the same source.
        split_seed: Which images go where, from 0.

    Returns:
        Training and validation split, in arrays of their own, and the numbers of the validation images: their places in the
        training images given, then in the validation images given.
    """
    import numpy as np

    labels = np.concatenate([train.labels, validation.labels])
    order = np.argsort(np.random.PCG64(split_seed).random_raw(len(labels)), kind="stable")
    parts = [
        np.split(order[labels[order] == label], [np.count_nonzero(validation.labels == label)]) for label in np.unique(labels)
    ]
    held_out, rest = (np.sort(np.concatenate(rows)) for rows in zip(*parts, strict=True))
    return _picked(train, validation, rest), _picked(train, validation, held_out), held_out


def _picked(first: Split, second: Split, rows: Rows) -> Split:
    """Rows of two splits, counted on from the first to the second, given in order."""
    import numpy as np

    from_first, from_second = rows[rows < len(first)], rows[rows >= len(first)] - len(first)
    images = np.empty((len(rows), *first.images.shape[1:]), first.images.dtype)
    np.take(first.images, from_first, axis=0, out=images[: len(from_first)])
    np.take(second.images, from_second, axis=0, out=images[len(from_first) :])
    return Split(images, np.concatenate([first.labels[from_first], second.labels[from_second]]))


def _kept(split: Split, rows: Rows) -> Split:
    """Some rows of a split, given in order. The images move up within their own array, so that there is never a second copy."""
    images = split.images
    if _mapped.reference(images) is not None:
        return dataclasses.replace(split, images=_mapped.chosen(images, rows), labels=split.labels[rows])
    if len(rows) < len(split) // 2 or not images.flags.writeable:
        return dataclasses.replace(
            split, images=images[rows], labels=split.labels[rows]
        )  # the copy is smaller than what it frees
    for start in range(0, len(rows), 1024):
        chosen = rows[start : start + 1024]
        images[start : start + len(chosen)] = images[chosen]
    return dataclasses.replace(split, images=images[: len(rows)], labels=split.labels[rows])


def reduced(
    train: Split,
    *,
    where: str,
    later: Callable[[], Collection[bytes]],
    class_names: Sequence[str],
    leave_out_shared: bool,
    fraction: float,
    split_seed: int,
) -> tuple[Split, list[str]]:
    """The training split without the rows that are not wanted, and a sentence on each reduction.

    The given array is reused, so do not use it afterwards.

    Args:
        train: All training rows.
        where: What to call the data in an error.
        later: Gives the digests of the images of the validation and test split; asked only for `leave_out_shared`.
        class_names: One per class.
        leave_out_shared: Leave out the rows whose pixels also occur in validation or test.
        fraction: Share of each class that stays, above 0 and up to 1, at least one image. For one seed the rows of a smaller
            fraction are among those of a larger one.
        split_seed: Which rows stay.

    Raises:
        DatasetError: An argument outside its range, or a class is left without an image.
    """
    import numpy as np

    check_seed(where, split_seed)
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction <= 1:
        raise DatasetError(f"{where}: fraction is {fraction!r}; allowed: above 0 and up to 1.")
    notes = []
    if leave_out_shared:
        seen = later()
        rows = np.array([row for row, digest in enumerate(digests(train.images)) if digest not in seen], dtype=np.int64)
        num_left_out = len(train) - len(rows)
        train = _kept(train, rows)
        notes.append(f"{num_left_out:,} images whose pixels also occur in validation or test were left out of training.")
        check_classes(train, where=f"{where}, training split without shared images", class_names=class_names)
    if fraction < 1:
        # A stream of its own: which rows stay must not depend on which rows were carved out.
        words = np.random.PCG64(np.random.SeedSequence([split_seed, 1])).random_raw(len(train))
        order = np.argsort(words, kind="stable")
        by_class = [order[train.labels[order] == label] for label in np.unique(train.labels)]
        chosen = [rows[: max(1, round(len(rows) * fraction))] for rows in by_class]
        num_before = len(train)
        train = _kept(train, np.sort(np.concatenate(chosen)))
        notes.append(f"Training uses {len(train):,} of its {num_before:,} images (fraction {fraction}, seed {split_seed}).")
    return train, notes


def check_classes(split: Split, *, where: str, class_names: Sequence[str]) -> Split:
    """The split itself, after checking that it has images of every class.

    Raises:
        DatasetError: A class has no image.
    """
    import numpy as np

    missing = np.flatnonzero(np.bincount(split.labels, minlength=len(class_names)) == 0).tolist()
    if missing:
        raise missing_class(where, class_names, missing[0])
    return split


def missing_class(where: str, class_names: Sequence[str], label: int) -> DatasetError:
    """The error for a split that has no image of one class."""
    named = "" if class_names[label] == str(label) else f" ('{class_names[label]}')"
    return DatasetError(
        f"{where}: class {label}{named} has no image. Every split needs images of every one of the {len(class_names)} classes."
    )
