"""The last layers of a network: hidden dense layers and the scores of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from architectures._blocks.layers import batch_normalization


def hidden_layers(x: Any, units: Sequence[int], *, dropout: float, is_normalised: bool = False) -> Any:
    """All positions of a map, then dense layers with rectifiers, each followed by dropout.

    Args:
        x: Feature map (batch, height, width, channels).
        units: Of each layer.
        dropout: Share of each layer's units dropped.
        is_normalised: As for `plain_block`. The inputs are thousands that are never negative: a single step of Adam at its
            default rate moves their sum by several units, so without normalisation most rectifiers are shut for good before the
            first epoch ends.
    """
    x = keras.layers.Flatten()(x)
    for number in units:
        x = keras.layers.Dense(number, use_bias=not is_normalised, kernel_initializer="he_normal")(x)
        x = keras.layers.ReLU()(batch_normalization(x) if is_normalised else x)
        x = keras.layers.Dropout(dropout)(x)
    return x


def logits(x: Any, num_classes: int, *, name: str = "logits") -> Any:
    """One unnormalised score per class, in float32 whatever the dtype policy, so that the loss does not overflow.

    An auxiliary head has another name.
    """
    return keras.layers.Dense(num_classes, dtype="float32", name=name)(x)
