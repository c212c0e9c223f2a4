"""Mean and deviation of the channels: NumPy's to the bit, in a fraction of the memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from sweeper.training.statistics import channel_statistics


def test_statistics_of_channels() -> None:
    images = np.zeros((2, 2, 2, 3), np.uint8)
    images[..., 1] = 255
    images[0, ..., 2] = 255
    mean, deviation = channel_statistics(images)
    assert mean == (0.0, 1.0, 0.5)
    assert deviation == (1.0, 1.0, 0.5)


def by_numpy(images: Any) -> Any:
    """As trials were standardised from the first release on."""
    largest = 255.0 if images.dtype == np.uint8 else 1.0
    mean = images.mean(axis=(0, 1, 2), dtype=np.float64) / largest
    deviation = images.std(axis=(0, 1, 2), dtype=np.float64) / largest
    deviation[deviation < 1e-6] = 1.0
    return tuple(map(float, mean)), tuple(map(float, deviation))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(1, 1, 2), (1, 8, 8), (7, 5, 9), (500, 28, 28), (1801, 31, 17), (900, 48, 48)])
def test_no_bit_differs_from_numpys(shape: tuple[int, int, int], channels: int) -> None:
    images = np.random.default_rng(sum(shape)).integers(0, 256, (*shape, channels), dtype=np.uint8)
    images[..., 0] //= 3
    for given in (images, images / np.float32(255), np.full_like(images, 7)):
        assert channel_statistics(given) == by_numpy(given)


def test_memory_does_not_grow_with_the_images() -> None:
    images = np.zeros((2000, 40, 40, 3), np.uint8)
    tracemalloc.start()
    channel_statistics(images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes / 4  # NumPy's own take eight times the images
