"""Images on the scale that a network is trained on."""

from __future__ import annotations

from typing import Any

import keras

from sweeper.training.recipe import Recipe
from sweeper.training.task import Task
from sweeper.training.weights.pretrained import Pretrained


def standardised(images: Any, task: Task, recipe: Recipe, pretrained: Pretrained | None) -> Any:
    """Images of a functional model as its network takes them.

    Args:
        images: Symbolic tensor (batch, height, width, channels), from 0 to `Task.largest`.
        task: Shape and scale of the data.
        recipe: Says how images are scaled, where there are no weights.
        pretrained: The weights the network began with, if it did: images are standardised as for the network these come from,
            grey ones as three equal channels.
    """
    if pretrained and task.input_shape[-1] == 1:
        images = keras.layers.Concatenate(name="repeat")([images] * 3)
    means, deviations = (pretrained.mean, pretrained.deviation) if pretrained else _scaling(task, recipe)
    scale = [1 / (task.largest * deviation) for deviation in deviations]
    offset = [-mean / deviation for mean, deviation in zip(means, deviations, strict=True)]
    images = keras.layers.Rescaling(scale, offset, name="standardise")(images)
    return keras.ops.flip(images, axis=-1) if pretrained and pretrained.is_bgr else images


def _scaling(task: Task, recipe: Recipe) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation that images are freed of, per channel, as shares of the largest value."""
    if recipe.scaling == "unit":
        return (0.0,) * len(task.mean), (1.0,) * len(task.mean)
    return task.mean, task.deviation
