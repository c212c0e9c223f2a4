"""The same task in Python with sweeper: a function in the place of `build(hp)`.

python ours.py
"""

from __future__ import annotations

from typing import Annotated, Literal

import keras
from keras import layers

import sweeper


def dense(
    input_shape,
    num_classes,
    *,
    units: Annotated[int, sweeper.Int(low=32, high=512)] = 128,
    activation: Literal["relu", "tanh"] = "relu",
    dropout: bool = False,
):
    """One hidden layer."""
    model = keras.Sequential([keras.Input(input_shape), layers.Flatten(), layers.Dense(units, activation=activation)])
    if dropout:
        model.add(layers.Dropout(0.25))
    model.add(layers.Dense(num_classes, dtype="float32"))
    return model


if __name__ == "__main__":
    study = sweeper.Study(
        name="clothes_python",
        dataset={"name": "fashion_mnist", "fraction": 0.1},
        arms={"dense": dense},
        trials=4,
        max_epochs=6,
        stopping={"rule": "none"},
    )
    results = study.run()
    print(results.recommend())
