"""The sizes that the images of a folder have of their own, before they are made one size."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweeper.datasets import _folders, _images
from sweeper.datasets._unusable import UnusableError

MOST = 2000
"""Images that are looked at, spread over all of them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnSizes:
    """Heights and widths of images as their files have them, in pixels.

    Args:
        looked_at: Images that were looked at.
        images: Images there are.
        height: The smallest, the median, the largest.
        width: Likewise.
        shorter_side: Likewise, of each image's shorter side.
        num_square: How many are square.
    """

    looked_at: int
    images: int
    height: tuple[int, int, int]
    width: tuple[int, int, int]
    shorter_side: tuple[int, int, int]
    num_square: int

    @property
    def is_one(self) -> bool:
        """Whether all of them are square and of one size."""
        return self.num_square == self.looked_at and self.shorter_side[0] == self.shorter_side[2]

    @property
    def words(self) -> str:
        """All of it in a sentence."""
        least, median, _ = self.shorter_side
        among = f"of {self.images:,} images" if self.looked_at == self.images else f"of {self.looked_at:,} images looked at"
        if self.is_one:
            return f"own sizes {among}: all {least}x{least}"
        ranges = f"{_range(self.height)} high, {_range(self.width)} wide"
        return (
            f"own sizes {among}: {ranges}; shorter side {median} at the median, {least} at least; {self.num_square:,} are square"
        )


def own_sizes(name: str, options: Mapping[str, Any]) -> OwnSizes | None:
    """The own sizes of the training and validation images of a dataset; None of one that does not resize.

    Files that cannot be opened are not counted.

    Args:
        name: Of the dataset.
        options: All its options.
    """
    if name != "image_folder":
        return None
    carving = {key: options[key] for key in ("validation_fraction", "test_fraction", "split_seed")}
    tree = _folders.find(Path(options["path"]).expanduser(), **carving)
    files = [file for file, _ in (*tree.train, *tree.validation)]
    sizes = []
    for file in files[:: max(-(-len(files) // MOST), 1)]:
        with contextlib.suppress(UnusableError):
            sizes.append(_images.size_of(file))
    if not sizes:
        return None
    return OwnSizes(
        looked_at=len(sizes),
        images=len(files),
        height=_three([height for height, _ in sizes]),
        width=_three([width for _, width in sizes]),
        shorter_side=_three([min(size) for size in sizes]),
        num_square=sum(height == width for height, width in sizes),
    )


def _three(values: list[int]) -> tuple[int, int, int]:
    return min(values), int(statistics.median(values)), max(values)


def _range(three: tuple[int, int, int]) -> str:
    return f"{three[0]:,}" if three[0] == three[2] else f"{three[0]:,} to {three[2]:,}"
