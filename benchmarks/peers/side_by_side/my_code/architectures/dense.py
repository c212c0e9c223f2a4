"""One hidden layer, the network of Keras Tuner's introduction."""

from __future__ import annotations

from typing import Annotated, Literal

import keras
from keras import layers

from sweeper.study.space import Int


def dense(
    input_shape,
    num_classes,
    *,
    units: Annotated[int, Int(low=32, high=512)] = 128,
    activation: Literal["relu", "tanh"] = "relu",
    dropout: bool = False,
):
    """One hidden layer."""
    model = keras.Sequential([keras.Input(input_shape), layers.Flatten(), layers.Dense(units, activation=activation)])
    if dropout:
        model.add(layers.Dropout(0.25))
    model.add(layers.Dense(num_classes, dtype="float32"))
    return model
