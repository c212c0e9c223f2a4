"""Attention modules that several families share: gates that weigh the channels and the positions of a feature map.

Each gives a map of the shape it gets. The first three stand at the end of a block's residual branch; BAM stands between two
stages, before the map is halved.
"""

from __future__ import annotations

import math
from typing import Any

import keras

from architectures._blocks.layers import batch_normalization

ATTENTION_KINDS = ("none", "se", "eca", "cbam", "bam")
"""What `apply_attention` can be told."""


def apply_attention(x: Any, kind: str, *, ratio: int = 16, batch_norm: bool = True) -> Any:
    """A feature map (batch, height, width, channels) weighed by one of `ATTENTION_KINDS`; with ``none`` the map itself.

    Args:
        x: The map.
        kind: One of `ATTENTION_KINDS`.
        ratio: Channels per hidden unit, from 1, of which at least four are kept; ``eca`` has none.
        batch_norm: As for `bottleneck_attention`; the other kinds normalise nothing.
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
    """Channels weighted by what the whole map shows of them.

    Args:
        x: Feature map (batch, height, width, channels).
        ratio: Channels per hidden unit of the gate; at least four units are kept, because fewer rectifiers are easily all
            shut from the start, and then nothing ever opens them.

    Source: Hu et al., Squeeze-and-Excitation Networks, arXiv:1709.01507, section 3.
    """
    return channel_gate(x, units=hidden_units(x, ratio), activation="relu")


def hidden_units(x: Any, ratio: int) -> int:
    """Hidden units of a gate over the channels of a map."""
    return max(4, int(x.shape[-1]) // ratio)


def channel_gate(x: Any, *, units: int, activation: str) -> Any:
    """Channels weighted by a gate with so many hidden units of this activation.

    Source: Hu et al., Squeeze-and-Excitation Networks, arXiv:1709.01507, section 3.
    """
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = keras.layers.Dense(units, activation=activation, kernel_initializer="he_normal")(gate)
    gate = keras.layers.Dense(x.shape[-1], activation="sigmoid")(gate)
    return keras.layers.Multiply()([x, gate])


def efficient_channel_attention(x: Any) -> Any:
    """Channels weighted by their averages and those of a few neighbours: one small kernel that slides over the channels.

    Source: Wang et al., ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks, arXiv:1910.03151,
        section 3.2.
    """
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    # One row of channels, each a position of its own.
    gate = keras.layers.Permute((1, 3, 2))(gate)
    window = (1, neighbourhood(x.shape[-1]))
    gate = keras.layers.Conv2D(1, window, padding="same", use_bias=False, activation="sigmoid")(gate)
    return keras.layers.Multiply()([x, keras.layers.Permute((1, 3, 2))(gate)])


def neighbourhood(channels: int) -> int:
    """Channels that efficient channel attention looks at for one weight: an odd number that grows with their logarithm.

    Source: arXiv:1910.03151, section 3.2, with gamma 2 and b 1; between two odd numbers the larger, as in its reference
        implementation.
    """
    size = int((math.log2(channels) + 1) / 2)
    return size if size % 2 else size + 1


def convolutional_attention(x: Any, *, ratio: int) -> Any:
    """CBAM: first channels are weighted, then positions, each by averages and maxima.

    One perceptron gives the gate of the channels from both their averages and their maxima over positions. A 7x7 convolution
    without bias gives that of the positions from the average and the maximum over channels.

    Args:
        x: Feature map (batch, height, width, channels).
        ratio: As for `squeeze_excitation`.

    Source: Woo et al., CBAM: Convolutional Block Attention Module, arXiv:1807.06521, section 3. Its reference implementation
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
    """BAM: one weight for every value, from a score of its channel and a score of its position; the map itself is added.

    A perceptron scores the channels by their averages. Positions are scored by a 1x1 convolution to the hidden units, two 3x3
    convolutions with dilation 4, which see far around, and a 1x1 convolution to one channel.

    Args:
        x: Feature map (batch, height, width, channels); the last one of a stage.
        ratio: As for `squeeze_excitation`, for both scores.
        batch_norm: Whether batch normalisation brings the two scores to one scale; without it they have biases instead.

    Source: Park et al., BAM: Bottleneck Attention Module, arXiv:1807.06514, section 3, equations 1 to 4. Its reference
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
