"""What every network of a study is trained for: the shape and scale of its images, its classes."""

from __future__ import annotations

import dataclasses

import numpy as np

from sweeper.datasets import Split
from sweeper.training.statistics import channel_statistics


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """What every program of a study has in common: the shape and scale of the data.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        image_dtype: ``uint8`` or ``float32``.
        mean: Per channel, of the training images as float from 0 to 1.
        deviation: Per channel, standard deviation of the same; 1 for a channel that never changes.
        class_counts: Training images of each class; every class has some.
    """

    input_shape: tuple[int, int, int]
    num_classes: int
    image_dtype: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    class_counts: tuple[int, ...]

    @classmethod
    def of(cls, train: Split, num_classes: int) -> Task:
        """The task of training images."""
        mean, deviation = channel_statistics(train.images)
        height, width, channels = train.images.shape[1:]
        return cls(
            input_shape=(height, width, channels),
            num_classes=num_classes,
            image_dtype=str(train.images.dtype),
            mean=mean,
            deviation=deviation,
            class_counts=tuple(np.bincount(train.labels, minlength=num_classes).tolist()),
        )

    @property
    def largest(self) -> float:
        """Largest value an image can have."""
        return 255.0 if self.image_dtype == "uint8" else 1.0
