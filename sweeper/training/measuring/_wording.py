"""Layers in words, short enough for a diagram: ``conv 3×3 64 /2``, ``batch norm``, ``attention 4 heads``."""

from __future__ import annotations

import re
from typing import Any

import keras

layers = keras.layers

NAMES: dict[type[Any], str] = {
    layers.BatchNormalization: "batch norm",
    layers.LayerNormalization: "layer norm",
    layers.GroupNormalization: "group norm",
    layers.ReLU: "relu",
    layers.Flatten: "flatten",
    layers.GlobalAveragePooling1D: "average over positions",
    layers.GlobalAveragePooling2D: "average over positions",
    layers.GlobalMaxPooling1D: "maximum over positions",
    layers.GlobalMaxPooling2D: "maximum over positions",
    layers.ZeroPadding2D: "",
}
"""Layers shown without numbers; padding is left out, because the convolution behind it is shown."""

WINDOWS: dict[type[Any], str] = {
    layers.Conv1D: "conv",
    layers.Conv2D: "conv",
    layers.Conv3D: "conv",
    layers.Conv2DTranspose: "transposed conv",
    layers.DepthwiseConv1D: "depthwise",
    layers.DepthwiseConv2D: "depthwise",
    layers.SeparableConv1D: "separable conv",
    layers.SeparableConv2D: "separable conv",
    layers.MaxPooling1D: "max pool",
    layers.MaxPooling2D: "max pool",
    layers.AveragePooling1D: "average pool",
    layers.AveragePooling2D: "average pool",
}
"""Layers that go over positions with a window."""


def words(operation: keras.Operation) -> str:
    """A layer or operation in a few words; empty for what changes nothing of interest."""
    kind = type(operation)
    if kind in NAMES:
        return NAMES[kind]
    if kind in WINDOWS:
        return _window(operation, WINDOWS[kind])
    if kind is layers.Dense:
        return f"dense {operation.units}{_activation(operation)}"
    if kind is layers.Activation:
        return str(keras.activations.serialize(operation.activation))
    if kind is layers.Dropout:
        if not operation.rate:
            return ""
        # Rates often rise from layer to layer; with them in the text nothing would repeat.
        return "stochastic depth" if operation.noise_shape else "dropout"
    if kind is layers.MultiHeadAttention:
        return f"attention {operation.num_heads} heads"
    if isinstance(operation, keras.Model):
        return f"model {operation.name} ({len(operation.layers)} layers)"
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", kind.__name__).lower()
    if name.endswith("attention") and hasattr(operation, "num_heads"):
        shifted = "shifted " if getattr(operation, "is_shifted", False) else ""
        return f"{shifted}{name} {operation.num_heads} heads"
    return "select" if name == "get item" else name


def _window(layer: Any, name: str) -> str:
    size = layer.pool_size if hasattr(layer, "pool_size") else layer.kernel_size
    filters = f" {layer.filters}" if getattr(layer, "filters", None) else ""
    groups = getattr(layer, "groups", 1)
    strides = max(layer.strides)
    return (
        f"{name} {'×'.join(map(str, size))}{filters}"
        + (f" in {groups} groups" if groups > 1 else "")
        + (f" /{strides}" if strides != 1 else "")
        + (_activation(layer) if hasattr(layer, "activation") else "")
    )


def _activation(layer: Any) -> str:
    name = keras.activations.serialize(layer.activation)
    return "" if name == "linear" else f" {name}"
