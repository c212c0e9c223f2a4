"""The numbers of a program that are no part of its structure: a compiled program is given those of each trial.

Rates of dropout and stochastic depth, strengths of augmentation, weight decay, momentum, clipping and smoothing shape no array.
So they are no constants of the program but an input: one vector. While a program is traced, `Values.given` puts its elements
where layers and the optimizer keep their numbers. What is 0 is no number here but absent: another structure, without the part.

RandAugment's strength stays a constant: eleven operations derive theirs from it when their layer is made.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from sweeper.training.augmentation import Cutout
from sweeper.training.objective import Smoothing
from sweeper.training.recipe import Recipe

ATTRIBUTES: dict[type, tuple[str, ...]] = {
    layers.Dropout: ("rate",),
    layers.RandomTranslation: ("height_lower", "height_upper", "width_lower", "width_upper"),
    layers.RandomRotation: ("factor",),
    layers.RandomBrightness: ("factor",),
    Cutout: ("scale",),
    layers.MixUp: ("alpha",),
    layers.CutMix: ("factor",),
}
"""Where each kind of layer keeps its numbers: a float, or a pair of floats."""

OF_OPTIMIZER = ("weight_decay", "momentum", "ema_momentum")
"""Where an optimizer keeps its own."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """What a program computes with, beside what stands in its layers and its optimizer.

    Args:
        smoothing: Of the labels.
        clip_norm: Largest global norm of the gradients; None for no clipping.
    """

    smoothing: Smoothing
    clip_norm: Any


class Values:
    """The numbers of one model, its optimizer and its recipe, always in the same order.

    Args:
        model: Built; its layers hold the numbers of its configuration.
        optimizer: Of Keras, without a wrapper.
        recipe: What it is trained with.
        num_classes: Number of classes.
    """

    def __init__(self, model: Any, optimizer: Any, recipe: Recipe, num_classes: int):
        self._recipe, self._num_classes = recipe, num_classes
        owners = [(layer, name) for layer in _layers_of(model) for name in _attributes(layer)]
        owners += [(optimizer, name) for name in OF_OPTIMIZER if getattr(optimizer, name, None)]
        self._owners = owners

    @property
    def vector(self) -> NDArray[np.float32]:
        """All of them, float32."""
        smoothing = Smoothing.of(self._recipe, self._num_classes)
        own = [smoothing.kept, smoothing.spread, self._recipe.clip_norm]
        return np.array([*own, *(number for owner in self._owners for number in _numbers(*owner))], np.float32)

    @contextlib.contextmanager
    def given(self, vector: Any) -> Iterator[Given]:
        """Within the block, layers and optimizer compute with the elements of `vector`, a tensor like `Values.vector`."""
        kept, spread, clip_norm = vector[0], vector[1], vector[2]
        position, before = 3, []
        for owner, name in self._owners:
            count = len(_numbers(owner, name))
            numbers = [vector[position + index] for index in range(count)]
            position += count
            before.append((owner, name, getattr(owner, name)))
            _put(owner, name, numbers[0] if count == 1 else tuple(numbers))
        try:
            yield Given(smoothing=Smoothing(kept=kept, spread=spread), clip_norm=clip_norm if self._recipe.clip_norm else None)
        finally:
            for owner, name, value in before:
                if isinstance(owner, layers.Dropout):
                    del owner.call
                else:
                    setattr(owner, name, value)


def _layers_of(model: Any) -> list[Any]:
    """Every layer of a model, those inside others too, in the order in which they were made."""
    return list(model._flatten_layers(include_self=False))


def _attributes(layer: Any) -> tuple[str, ...]:
    """The names under which a layer keeps numbers of its own; none when it does nothing."""
    if isinstance(layer, layers.Dropout) and layer.rate == 0:
        return ()
    return next((names for kind, names in ATTRIBUTES.items() if isinstance(layer, kind)), ())


def _numbers(owner: Any, name: str) -> tuple[float, ...]:
    found = getattr(owner, name)
    return tuple(found) if isinstance(found, (tuple, list)) else (found,)


def _put(owner: Any, name: str, value: Any) -> None:
    if not isinstance(owner, layers.Dropout):
        setattr(owner, name, value)
        return

    def call(inputs: Any, training: bool = False) -> Any:
        # Keras asks of the rate whether it is above 0, which no tensor in a program answers.
        if not training:
            return inputs
        shape = ops.shape(inputs)
        if owner.noise_shape is not None:
            shape = tuple(own or whole for own, whole in zip(owner.noise_shape, shape, strict=True))
        is_kept = keras.random.uniform(shape, dtype="float32", seed=owner.seed_generator) >= value
        return ops.where(is_kept, inputs * ops.cast(1.0 / (1.0 - value), inputs.dtype), ops.cast(0.0, inputs.dtype))

    owner.call = call
