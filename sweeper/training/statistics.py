"""Mean and deviation of the channels of the training images, which every network standardises its input by."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 2**16
"""Values of a channel that are added at a time, half a megabyte of them."""


def channel_statistics(images: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of images as floats from 0 to 1; a channel that never changes has deviation 1.

    To the last bit what NumPy's `mean` and `std` give in float64, which make an array of eight bytes a value of all images.

    Args:
        images: (count, height, width, channels), uint8 or float32 from 0 to 1.
    """
    largest = 255.0 if images.dtype == np.uint8 else 1.0
    pixels = images.reshape(-1, images.shape[3])
    means, deviations = [], []
    for channel in range(pixels.shape[1]):
        values = pixels[:, channel]
        mean = np.float64(_added(values, np.float64(0), 1, is_alone=pixels.shape[1] == 1) / len(values))
        variance = _added(values, mean, 2, is_alone=pixels.shape[1] == 1) / len(values)
        means.append(float(mean) / largest)
        deviations.append(math.sqrt(variance) / largest)
    return tuple(means), tuple(1.0 if deviation < 1e-6 else deviation for deviation in deviations)


def _added(values: NDArray[Any], shift: np.float64, power: int, *, is_alone: bool) -> float:
    """The sum of the values less `shift`, or of their squares, in float64 and in the order in which NumPy adds a whole array.

    Where other channels lie between, that is one by one. An array of one channel is added in halves of halves, or, while its
    type is changed on the way, a buffer at a time.
    """

    def terms(begin: int, end: int) -> NDArray[np.float64]:
        found = values[begin:end] - shift
        return np.multiply(found, found, out=found) if power == 2 else found

    def halves(begin: int, end: int) -> float:
        if end - begin <= _BLOCK:
            return float(np.add.reduce(terms(begin, end)))
        half = (end - begin) // 2
        middle = begin + half - half % 8
        return halves(begin, middle) + halves(middle, end)

    if is_alone and power == 2:
        return halves(0, len(values))
    total, step = 0.0, np.getbufsize() if is_alone else _BLOCK
    for begin in range(0, len(values), step):
        block = terms(begin, min(begin + step, len(values)))
        if is_alone:
            total += float(np.add.reduce(block))
        else:
            block[0] += total
            total = float(np.add.accumulate(block, out=block)[-1])
    return total
