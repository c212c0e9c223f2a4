"""The last layers of a network: hidden dense layers and the logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from architectures._blocks.layers import batch_normalization


def hidden_layers(x: Any, units: Sequence[int], *, dropout: float, is_normalised: bool = False) -> Any:
    """Flattens a map, then dense layers with ReLU, each followed by dropout.

    Args:
        x: Feature map (batch, height, width, channels).
        units: Units of each layer.
        dropout: Share of each layer's units dropped.
        is_normalised: Whether batch normalisation follows each layer. Only without it the layers have biases. The inputs are
            thousands of values that are never negative, so one step of Adam at its default rate moves their sum by several
            units. Without normalisation most ReLUs are therefore dead before the first epoch ends.
    """
    x = keras.layers.Flatten()(x)
    for number in units:
        x = keras.layers.Dense(number, use_bias=not is_normalised, kernel_initializer="he_normal")(x)
        x = keras.layers.ReLU()(batch_normalization(x) if is_normalised else x)
        x = keras.layers.Dropout(dropout)(x)
    return x


def logits(x: Any, num_classes: int, *, name: str = "logits") -> Any:
    """One logit per class, in float32 under any dtype policy, so that the loss does not overflow.

    An auxiliary head has another `name`.
    """
    return keras.layers.Dense(num_classes, dtype="float32", name=name)(x)
