"""Reads the images of a tree of folders, and says of all files at once which of them cannot be used."""

from __future__ import annotations

import dataclasses

from sweeper.datasets import Split
from sweeper.datasets._folders import Tree
from sweeper.datasets._images import Manner, Reading, faults_of, read
from sweeper.datasets._unusable import Fault, note, report


def seen(where: object, tree: Tree, manner: Manner) -> tuple[Reading, Reading]:
    """The training and the validation images. Test images are opened only to complete a report of faults.

    Args:
        where: What to call the data in an error.
        tree: Which files there are.
        manner: How they become images.

    Raises:
        DatasetError: Files cannot be used, those of the test split included.
    """
    train, validation = read(tree.train, manner), read(tree.validation, manner)
    strays = [fault for faults in tree.strays.values() for fault in faults]
    if not manner.skips and (strays or train.faults or validation.faults):
        num_files = len(strays) + len({*tree.train, *tree.validation, *tree.test})
        raise report(where, [*strays, *train.faults, *validation.faults, *faults_of(tree.test, manner)], num_files)
    return _with_strays(train, tree, "train"), _with_strays(validation, tree, "validation")


def test(where: object, tree: Tree, manner: Manner) -> Split:
    """The test images, as `seen`.

    Raises:
        DatasetError: Files cannot be used.
    """
    reading = _with_strays(read(tree.test, manner), tree, "test")
    if reading.faults and not manner.skips:
        raise report(where, reading.faults, len(tree.test))
    return reading.split


def left_out(readings: tuple[Reading, Reading]) -> tuple[str, ...]:
    """A sentence on the files of training and validation that were left out; none where there is none."""
    faults = [fault for reading in readings for fault in reading.faults]
    return note(faults, len(faults) + sum(len(reading.files) for reading in readings))


def _with_strays(reading: Reading, tree: Tree, split: str) -> Reading:
    faults: list[Fault] = [*reading.faults, *tree.strays.get(split, ())]
    return dataclasses.replace(reading, faults=faults, split=dataclasses.replace(reading.split, num_unreadable=len(faults)))
