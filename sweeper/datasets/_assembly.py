"""Makes a `Dataset` of splits that were read: checks everything, and leaves out of training what is not wanted there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from sweeper.datasets import Dataset, Split, _mapped, check_split
from sweeper.datasets._audit import digests
from sweeper.datasets._splits import check_classes, reduced, validation_carved


def assembled(
    name: str,
    *,
    where: str,
    train: Split,
    validation: Split,
    read_test: Callable[[], Split],
    class_names: tuple[str, ...],
    leave_out_shared: bool,
    fraction: float,
    split_seed: int,
    notes: Sequence[str] = (),
    test_digests: Collection[bytes] | None = None,
    is_carved: bool = False,
) -> Dataset:
    """The dataset, after checking its splits; the test split is checked when it is read.

    Args:
        name: Name in the catalog.
        where: What to call the data in an error.
        train: All training rows; their array is reused, so do not use it afterwards.
        validation: Validation rows.
        read_test: Gives the test split, unchecked.
        class_names: One per class.
        leave_out_shared: See `reduced`; then the test images are compared with the training images, and not kept.
        fraction: See `reduced`.
        split_seed: See `reduced`.
        notes: What was done to the data before.
        test_digests: Digests of the test images if already known, so that the test split need not be read.
        is_carved: Whether validation was carved from train. With shared images left out it is not carved anew: that would have to
            be done again, too.

    Raises:
        DatasetError: Something does not fit together.
    """
    shape = train.images.shape[1:]

    def checked(split: Split, which: str) -> Split:
        place = f"{where}, {which} split"
        check_split(split, where=place, num_classes=len(class_names), input_shape=shape)
        return check_classes(split, where=place, class_names=class_names)

    def checked_test() -> Split:
        return checked(read_test(), "test")

    def later() -> set[bytes]:
        of_test = digests(checked_test().images) if test_digests is None else test_digests
        return {*digests(validation.images), *of_test}

    checked(train, "training")
    checked(validation, "validation")
    train, done = reduced(
        train,
        where=where,
        later=later,
        class_names=class_names,
        leave_out_shared=leave_out_shared,
        fraction=fraction,
        split_seed=split_seed,
    )
    return Dataset(
        name=name,
        train=train,
        validation=validation,
        read_test=checked_test,
        class_names=class_names,
        notes=(*notes, *done, *_mapped.note([train.images, validation.images])),
        is_carved=is_carved and not leave_out_shared,
    )


def with_carved_validation(
    name: str,
    *,
    where: str,
    read: Callable[[str], Split],
    class_names: tuple[str, ...],
    validation_fraction: float,
    leave_out_shared: bool,
    fraction: float,
    split_seed: int,
) -> Dataset:
    """The dataset of a set that has a train and a test split; validation is carved from train.

    Args:
        name: Name in the catalog.
        where: What to call the data in an error.
        read: Gives the split called ``train`` or ``test``, in arrays of its own.
        class_names: One per class.
        validation_fraction: Share of each class that is carved from train.
        leave_out_shared: See `sweeper.datasets._splits.reduced`, as the rest.
        fraction: See there.
        split_seed: Which rows are carved out, and which stay for a fraction.

    Raises:
        DatasetError: Something does not fit together.
    """
    train, validation = validation_carved(
        read("train"), where=where, class_names=class_names, validation_fraction=validation_fraction, split_seed=split_seed
    )
    return assembled(
        name,
        where=where,
        train=train,
        validation=validation,
        read_test=lambda: read("test"),
        class_names=class_names,
        leave_out_shared=leave_out_shared,
        fraction=fraction,
        split_seed=split_seed,
        notes=[f"Carved from train by seed {split_seed}, class by class: {validation_fraction:g} of it for validation."],
        is_carved=True,
    )
