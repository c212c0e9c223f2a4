"""The images behind stored predictions, read from the study's dataset when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sweeper.errors import DatasetError, NoDataError, UnknownNameError
from sweeper.study.spec import StudySpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sweeper.datasets import Split

Images = Callable[[str, Sequence[int]], list[tuple["NDArray[Any]", int]]]
"""From a split and numbers of images (see `sweeper.training.final`): each image (height, width, channels), and its class."""


def images_of(spec: StudySpec) -> Images:
    """Gives images of a study's dataset by the numbers that predictions have; reads nothing before it is called.

    What it gives raises `NoDataError` where the data are not there any more, or are others.

    Args:
        spec: The study as it was first launched.
    """

    def read(split: str, rows: Sequence[int]) -> list[tuple[NDArray[Any], int]]:
        from sweeper.driver.inputs import load_dataset

        try:
            dataset = load_dataset(spec)
            parts = [dataset.read_test()] if split == "test" else [dataset.train, dataset.validation]
        except (DatasetError, UnknownNameError) as error:
            raise NoDataError(f"the images of study '{spec.name}' cannot be read here: {error}") from None
        if max(rows, default=0) >= sum(map(len, parts)):
            raise NoDataError(
                f"the dataset {spec.dataset.name} has fewer images now than when study '{spec.name}' was confirmed."
            )
        return [_picked(parts, row) for row in rows]

    return read


def _picked(parts: Sequence[Split], row: int) -> tuple[NDArray[Any], int]:
    """An image of splits that are counted on from one to the next, and its class."""
    for part in parts:
        if row < len(part):
            return part.images[row], int(part.labels[row])
        row -= len(part)
    raise IndexError(row)
