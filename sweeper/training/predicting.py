"""A trained model, made again from its checkpoint, and what it says of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from sweeper.study.space import Value
from sweeper.training.checkpoint import Checkpoint, assign
from sweeper.training.optimizer import JoinedOptimizer
from sweeper.training.program import build
from sweeper.training.recipe import Recipe
from sweeper.training.task import Task
from sweeper.training.weights.pretrained import Pretrained


def restored(
    architecture: str,
    configuration: Mapping[str, Value],
    task: Task,
    stored: Checkpoint,
    pretrained: Pretrained | None = None,
) -> tuple[Any, Any]:
    """The model of a trial, and the network in it, with the weights that validation and test had.

    These are their moving average, where the recipe asks for one.

    Args:
        architecture: Name in the catalog.
        configuration: All knobs of the trial.
        task: What it was trained for.
        stored: Its last checkpoint.
        pretrained: The weights it began with, if it did: they say how its images are scaled.

    Raises:
        ValueError: The checkpoint is of another network.
    """
    model, network = build(architecture, configuration, task, init_seed=0, augmentation_seed=0, pretrained=pretrained)
    recipe = Recipe.of(configuration)
    if pretrained:
        pretrained.freeze(network, recipe.trained)
    assign(model.variables, stored.model)
    if recipe.ema_momentum:
        optimizer = JoinedOptimizer(recipe, model.trainable_variables)
        optimizer.assign(stored.optimizer)
        optimizer.put_average()
    return model, network


def probabilities(model: Any, images: NDArray[Any], num_classes: int) -> NDArray[np.float32]:
    """The probability of each class for each image, (count, classes).

    Args:
        model: The first that `restored` gives.
        images: (count, height, width, channels), of the type and range of the training images.
        num_classes: Number of classes.
    """
    found = []
    for begin in range(0, len(images), 32):
        part = images[begin : begin + 32]
        packed = model([part, np.zeros((len(part), num_classes), np.float32)], training=False)
        found.append(ops.convert_to_numpy(ops.softmax(packed[:, :num_classes])))
    return np.concatenate(found)
