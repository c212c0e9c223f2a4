"""Epochs of training and validation, batch by batch inside a compiled program; what the backends share.

Training takes whole batches only, so that a program has one shape: of images that do not fill the last batch none is seen in
this epoch, and since every epoch has an order of its own, these are others each time. A data set smaller than a batch is one
batch. Validation is exact: its last batch is filled up with images that are computed and not counted.
"""

from __future__ import annotations

import abc
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from keras import ops
from numpy.typing import NDArray

from sweeper.training.objective import accuracy, cross_entropy, minimised
from sweeper.training.optimizer import JoinedOptimizer
from sweeper.training.recipe import Recipe
from sweeper.training.values import Given, Values

CHUNK_S = 2.0
"""About how long a call of a program takes at most, in seconds, where one batch takes less: a signal waits for its end."""

LARGEST_RESIDENT = 2**30
"""Bytes of images up to which a split is on the device as a whole."""

LARGEST_PORTION = 2**28
"""Bytes of images of a larger one that are brought there at a time; there are a few copies of each for a moment."""

MEASURED = 3
"""Numbers of a training batch: the loss that is minimised, cross-entropy, accuracy."""


class Images:
    """A split as programs take it; all programs of a worker share it.

    Args:
        images: (count, height, width, channels), uint8 or float32.
        labels: (count,), whole numbers.
    """

    def __init__(self, images: NDArray[Any], labels: NDArray[Any]):
        self.images, self.labels = images, labels.astype(np.int32)
        self._placed: tuple[Any, Any] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def portions(self, batches: NDArray[np.int32], place: Callable[[NDArray[Any]], Any]) -> Iterator[Portion]:
        """The batches of an epoch with their images on the device: all at once, or portions of one shape, one after another.

        Args:
            batches: (count, ..., batch size): images by their numbers.
            place: Puts an array on the device.
        """
        if self.images.nbytes <= LARGEST_RESIDENT:
            if self._placed is None:
                self._placed = place(self.images), place(self.labels)
            yield Portion(*self._placed, batches, len(batches))
            return
        size = math.prod(batches.shape[1:])
        most = max(1, min(LARGEST_PORTION, LARGEST_RESIDENT) // (size * self.images[:1].nbytes))
        there = np.arange(most * size, dtype=np.int32).reshape(most, *batches.shape[1:])
        for first in range(0, len(batches), most):
            chosen = batches[first : first + most]
            numbers = np.resize(chosen, most * size)  # the last portion is filled up, so that there is one shape
            yield Portion(place(self.images[numbers]), place(self.labels[numbers]), there, len(chosen))


class Portion(NamedTuple):
    """Batches whose images are on the device.

    Args:
        images: On the device.
        labels: On the device.
        batches: (count, ..., batch size), int32: numbers of images in these two.
        num_batches: Batches that are meant; more than these are there to keep the shape.
    """

    images: Any
    labels: Any
    batches: NDArray[np.int32]
    num_batches: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """What a loop runs: a model as `sweeper.training.program.build` makes it, and what it is trained with.

    Args:
        model: On raw images and targets.
        optimizer: Of its trained variables.
        values: Its numbers that are an input of the program.
        recipe: What it is trained with.
        class_counts: Training images of each class.
        gives_probabilities: Whether validation also gives the probability of each class for each image.
    """

    model: Any
    optimizer: JoinedOptimizer
    values: Values
    recipe: Recipe
    class_counts: tuple[int, ...]
    gives_probabilities: bool = False

    @property
    def num_measures(self) -> int:
        """Numbers of a validation image: cross-entropy, accuracy, and the probabilities where they are asked for."""
        return 2 + self.gives_probabilities * len(self.class_counts)

    def forward(self, images: Any, labels: Any, given: Given) -> tuple[Any, Any]:
        """The loss of a batch, and its `MEASURED` numbers."""
        packed = self.model([images, self._one_hot(labels)], training=True)
        is_balanced = self.recipe.class_weights == "balanced"
        loss = ops.mean(minimised(packed, self.class_counts, given.smoothing, is_balanced=is_balanced))
        for penalty in self.model.losses:
            loss = loss + ops.cast(penalty, loss.dtype)
        return loss, ops.stack([loss, *(ops.mean(measured) for measured in self._measured(packed))])

    def measure(self, images: Any, labels: Any) -> Any:
        """The numbers of each image, (`num_measures`, batch)."""
        packed = self.model([images, self._one_hot(labels)], training=False)
        measured = ops.stack(self._measured(packed))
        if not self.gives_probabilities:
            return measured
        probabilities = ops.softmax(packed[:, : len(self.class_counts)])
        return ops.concatenate([measured, ops.transpose(probabilities)])

    def _one_hot(self, labels: Any) -> Any:
        return ops.one_hot(labels, len(self.class_counts), dtype="float32")

    def _measured(self, packed: Any) -> list[Any]:
        count = len(self.class_counts)
        return [cross_entropy(packed, count), ops.cast(accuracy(packed, count), "float32")]


class Loop(abc.ABC):
    """A compiled program that trains and validates.

    Args:
        parts: What it runs.
        train: Training images.
        validation: Validation images.
    """

    def __init__(self, parts: Parts, train: Images, validation: Images):
        self.parts = parts
        self._train, self._validation = train, validation
        self._size, self._validation_size = (min(parts.recipe.batch_size, len(split)) for split in (train, validation))
        self._chunk = {True: 1, False: 1}
        """Batches of a call, while training and while validating."""

    def compile(self) -> None:
        """Trace and compile now, so that no epoch's time contains it; changes no value."""
        vector = self.parts.values.vector
        for trains, split, batches in (
            (True, self._train, self._whole(self._any_order())),
            (False, self._validation, self._filled(self._validation)),
        ):
            self._call(trains, next(split.portions(batches, self._place)), 0, 0, vector)

    def train(self, order: NDArray[Any], vector: NDArray[np.float32]) -> dict[str, float]:
        """Train an epoch.

        Args:
            order: All training images, as numbers in the order of this epoch.
            vector: The trial's `Values.vector`.

        Returns:
            ``loss``, ``cross_entropy`` and ``accuracy``, means over the epoch as it went.
        """
        return training_means(self._run(True, self._train, self._whole(order), vector))

    def validate(self) -> dict[str, float]:
        """``cross_entropy`` and ``accuracy`` of the validation images with the weights that the model has."""
        return validation_means(self._numbers_of(self._validation), len(self._validation))

    def predict(self, images: Images | None = None) -> tuple[dict[str, float], NDArray[np.float32]]:
        """As `validate`, and the probabilities, (count, classes); `Parts.gives_probabilities` must be set.

        Args:
            images: Any, of the shape and type of the training images; None for the validation images.
        """
        split = images or self._validation
        found = self._numbers_of(split)
        probabilities = found[:, 2:].transpose(0, 2, 1).reshape(-1, found.shape[1] - 2)[: len(split)]
        return validation_means(found, len(split)), probabilities

    def use(self, train: Images, validation: Images) -> None:
        """Take other images from now on, as many as before of each."""
        assert (len(train), len(validation)) == (len(self._train), len(self._validation))
        self._train, self._validation = train, validation

    def _numbers_of(self, split: Images) -> NDArray[np.float32]:
        # The program of validation is given numbers too, which nothing in it computes with.
        return self._run(False, split, self._filled(split), self.parts.values.vector)

    def release(self) -> None:  # noqa: B027  # most leave nothing
        """Let go of what a trial leaves behind beside the variables; the next one brings all it needs."""

    def _any_order(self) -> NDArray[Any]:
        return np.arange(len(self._train))

    def _whole(self, order: NDArray[Any]) -> NDArray[np.int32]:
        count = len(order) // self._size
        return order[: count * self._size].reshape(count, self._size).astype(np.int32)

    def _filled(self, split: Images) -> NDArray[np.int32]:
        count = len(split)
        return np.resize(np.arange(count, dtype=np.int32), (math.ceil(count / self._validation_size), self._validation_size))

    def _run(self, trains: bool, split: Images, batches: NDArray[np.int32], vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """The numbers of all batches, in calls of about `CHUNK_S`."""
        found = []
        for portion in split.portions(batches, self._place):
            begin = 0
            while begin < portion.num_batches:
                started = time.perf_counter()
                end = min(begin + self._chunk[trains], portion.num_batches)
                found.append(self._call(trains, portion, begin, end, vector))
                took = (time.perf_counter() - started) / (end - begin)
                self._chunk[trains] = max(1, min(int(CHUNK_S / took), 2 * self._chunk[trains]))
                begin = end
        return np.concatenate(found)

    @abc.abstractmethod
    def _place(self, array: NDArray[Any]) -> Any:
        """An array on the device."""

    @abc.abstractmethod
    def _call(self, trains: bool, portion: Portion, begin: int, end: int, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the batches from `begin` to `end`.

        Returns:
            (batches, `MEASURED`) of training, (batches, `Parts.num_measures`, batch size) of validation.
        """


def training_means(found: NDArray[np.float32]) -> dict[str, float]:
    """``loss``, ``cross_entropy`` and ``accuracy`` from the numbers of batches, (batches, `MEASURED`)."""
    return dict(zip(("loss", "cross_entropy", "accuracy"), found.mean(axis=0, dtype=np.float64).tolist(), strict=True))


def validation_means(found: NDArray[np.float32], count: int) -> dict[str, float]:
    """``cross_entropy`` and ``accuracy`` of the first `count` images of batches, (batches, numbers, batch size)."""
    each = found[:, :2].transpose(1, 0, 2).reshape(2, -1)[:, :count]
    return dict(zip(("cross_entropy", "accuracy"), each.mean(axis=1, dtype=np.float64).tolist(), strict=True))
