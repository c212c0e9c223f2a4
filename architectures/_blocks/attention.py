"""Attention modules: gates that weight the channels and the positions of a feature map.

Each returns a map of the same shape. SE, ECA and CBAM belong at the end of a block's residual branch. BAM belongs between two
stages, before the map is halved.
"""

from __future__ import annotations

import math
from typing import Any

import keras

from architectures._blocks.layers import batch_normalization, fan_out

ATTENTION_KINDS = ("none", "se", "eca", "cbam", "bam")
"""Values of `kind` in `apply_attention`."""


def apply_attention(x: Any, kind: str, *, ratio: int = 16, batch_norm: bool = True) -> Any:
    """A feature map weighted by one kind of attention; with ``none`` the map itself.

    Args:
        x: Feature map (batch, height, width, channels).
        kind: One of `ATTENTION_KINDS`.
        ratio: Channels per hidden unit of the gate, from 1; at least four units are kept. Unused by ``eca``.
        batch_norm: Whether ``bam`` normalises, see `bottleneck_attention`. The other kinds have no normalisation.
    """
    if kind == "none":
        return x
    if kind == "se":
        return squeeze_excitation(x, ratio=ratio)
    if kind == "eca":
        return efficient_channel_attention(x)
    if kind == "cbam":
        return convolutional_attention(x, ratio=ratio)
    assert kind == "bam", kind
    return bottleneck_attention(x, ratio=ratio, batch_norm=batch_norm)


def squeeze_excitation(x: Any, *, ratio: int) -> Any:
    """Channels weighted by their averages over the whole map, through a small perceptron.

    Args:
        x: Feature map (batch, height, width, channels).
        ratio: Channels per hidden unit of the gate. At least four units are kept: with fewer, all ReLUs may be dead from the
            start, and they never recover.

    Source: Hu et al., Squeeze-and-Excitation Networks, arXiv:1709.01507, section 3.
    """
    return channel_gate(x, units=hidden_units(x, ratio), activation="relu")


def hidden_units(x: Any, ratio: int) -> int:
    """Number of hidden units of a gate over the channels of a map."""
    return max(4, int(x.shape[-1]) // ratio)


def channel_gate(x: Any, *, units: int, activation: str, is_fan_out: bool = False) -> Any:
    """Channels weighted by a perceptron with one hidden layer.

    Args:
        x: Feature map (batch, height, width, channels).
        units: Of the hidden layer.
        activation: Of the hidden layer.
        is_fan_out: Whether both kernels start as `fan_out` says, as in Keras Applications.

    Source: Hu et al., Squeeze-and-Excitation Networks, arXiv:1709.01507, section 3.
    """
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    first, second = (fan_out(), fan_out()) if is_fan_out else ("he_normal", "glorot_uniform")
    gate = keras.layers.Dense(units, activation=activation, kernel_initializer=first)(gate)
    gate = keras.layers.Dense(x.shape[-1], activation="sigmoid", kernel_initializer=second)(gate)
    return keras.layers.Multiply()([x, gate])


def efficient_channel_attention(x: Any) -> Any:
    """Channels weighted by their averages and those of a few neighbours: a small 1D kernel slides over the channels.

    Source: Wang et al., ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks, arXiv:1910.03151,
        section 3.2.
    """
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    # One row in which each channel is a position.
    gate = keras.layers.Permute((1, 3, 2))(gate)
    window = (1, neighbourhood(x.shape[-1]))
    gate = keras.layers.Conv2D(1, window, padding="same", use_bias=False, activation="sigmoid")(gate)
    return keras.layers.Multiply()([x, keras.layers.Permute((1, 3, 2))(gate)])


def neighbourhood(channels: int) -> int:
    """Size of the kernel of efficient channel attention: an odd number that grows with the logarithm of `channels`.

    Source: arXiv:1910.03151, section 3.2, with gamma 2 and b 1. Between two odd numbers it is the larger one, as in the
        reference implementation.
    """
    size = int((math.log2(channels) + 1) / 2)
    return size if size % 2 else size + 1


def convolutional_attention(x: Any, *, ratio: int) -> Any:
    """CBAM: channels are weighted first, then positions, each by averages and maxima.

    The gate of the channels is one perceptron, applied to their averages and to their maxima over positions. The gate of the
    positions is a 7x7 convolution without bias, over the average and the maximum of the channels.

    Args:
        x: Feature map (batch, height, width, channels).
        ratio: As in `squeeze_excitation`.

    Source: Woo et al., CBAM: Convolutional Block Attention Module, arXiv:1807.06521, section 3. The reference implementation
        also normalises the second gate.
    """
    hidden = keras.layers.Dense(hidden_units(x, ratio), activation="relu", kernel_initializer="he_normal")
    scores = keras.layers.Dense(x.shape[-1])
    average = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    maximum = keras.layers.GlobalMaxPooling2D(keepdims=True)(x)
    gate = keras.layers.Add()([scores(hidden(average)), scores(hidden(maximum))])
    x = keras.layers.Multiply()([x, keras.layers.Activation("sigmoid")(gate)])
    gate = keras.layers.Concatenate()([keras.ops.mean(x, axis=-1, keepdims=True), keras.ops.max(x, axis=-1, keepdims=True)])
    gate = keras.layers.Conv2D(1, 7, padding="same", use_bias=False, activation="sigmoid")(gate)
    return keras.layers.Multiply()([x, gate])


def bottleneck_attention(x: Any, *, ratio: int, batch_norm: bool = True) -> Any:
    """BAM: each value is weighted by a score of its channel plus a score of its position; the map itself is added.

    A perceptron scores the channels by their averages. A 1x1 convolution to the hidden units, two 3x3 convolutions with
    dilation 4 (for a large receptive field) and a 1x1 convolution to one channel score the positions.

    Args:
        x: Feature map (batch, height, width, channels), the last one of a stage.
        ratio: As in `squeeze_excitation`, for both scores.
        batch_norm: Whether batch normalisation brings the two scores to one scale; without it they have biases instead.

    Source: Park et al., BAM: Bottleneck Attention Module, arXiv:1807.06514, section 3, equations 1 to 4. The reference
        implementation differs: it multiplies the scores, and normalises hidden layers instead of scores.
    """
    units = hidden_units(x, ratio)
    channels = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    channels = keras.layers.Dense(units, activation="relu", kernel_initializer="he_normal")(channels)
    channels = keras.layers.Dense(x.shape[-1], use_bias=not batch_norm)(channels)
    positions = keras.layers.Conv2D(units, 1, activation="relu", kernel_initializer="he_normal")(x)
    for _ in range(2):
        positions = keras.layers.Conv2D(
            units, 3, dilation_rate=4, padding="same", activation="relu", kernel_initializer="he_normal"
        )(positions)
    positions = keras.layers.Conv2D(1, 1, use_bias=not batch_norm)(positions)
    if batch_norm:
        channels, positions = batch_normalization(channels), batch_normalization(positions)
    gate = keras.layers.Activation("sigmoid")(keras.layers.Add()([channels, positions]))
    return keras.layers.Add()([x, keras.layers.Multiply()([x, gate])])
