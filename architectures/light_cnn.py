"""Network of depthwise-separable convolutions with far fewer than a million parameters, for real time on a CPU.

A separable convolution filters each channel on its own and then mixes the channels position by position, at about an eighth of
the cost of a plain 3x3 convolution. The defaults are a small network for images of 8x8 to 96x96; ``variant`` gives
mini-Xception, a network for emotions and gender.
"""

from __future__ import annotations

from typing import Any

import keras

from architectures._blocks import (
    CUSTOM,
    batch_normalization,
    check_flag,
    check_image_and_classes,
    check_number,
    check_option,
    check_whole,
    fan_out,
    logits,
    squeeze_excitation,
    variants,
    whole_numbers,
)
from sweeper.catalog import Published, architecture
from sweeper.errors import KnobError

EPSILON = 1e-3
"""Epsilon of batch normalisation, as in the implementation of mini-Xception."""

VARIANTS = {
    "mini_xception": {
        "widths": "16-32-64-128",
        "convolutions": 2,
        "kernel_size": 3,
        "residual": True,
        "width_multiplier": 1.0,
        "attention": "none",
        "stem": "unpadded",
        "stem_width": 8,
        "head": "convolution",
        "dropout": 0.0,
        "norm_momentum": 0.99,
    },
}
"""From the paper's implementation; the paper shows the network only roughly."""


@architecture(
    paper="Arriaga et al., Real-time Convolutional Neural Networks for Emotion and Gender Classification, arXiv:1710.07557",
    tiny={"widths": "8-16", "stem_width": 8},
    rates=("dropout",),
    published=(
        Published(
            arguments={"variant": "mini_xception"},
            input_shape=(64, 64, 1),
            num_classes=7,
            parameters=56_951,
            source="the paper's implementation: 58,423 numbers, 1,472 of which are running statistics of normalisation",
        ),
    ),
)
@variants(VARIANTS)
def light_cnn(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "custom",
    widths: str = "16-32-64-128",
    convolutions: int = 2,
    kernel_size: int = 3,
    residual: bool = True,
    width_multiplier: float = 1.0,
    attention: str = "none",
    squeeze_ratio: int = 8,
    stem: str = "small",
    stem_width: int = 8,
    head: str = "dense",
    dropout: float = 0.0,
    norm_momentum: float = 0.9,
) -> keras.Model:
    """A network of separable convolutions; about 50 thousand parameters with its defaults.

    Every block halves the map. A side of 1 stays 1, so images of any size fit any number of blocks. Convolutions have no biases,
    because batch normalisation follows each of them.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        variant: ``mini_xception`` for the network of the paper, or ``custom`` for none. Other knobs override the variant.
        widths: Channels of each block, joined by hyphens, for example ``16-32-64-128``.
        convolutions: Separable convolutions of each block, 2 to 4.
        kernel_size: Side of their windows in pixels, 2 to 11.
        residual: Whether each block has a shortcut, a 1x1 convolution with stride 2. Without it ReLU follows the last convolution
            of a block as well.
        width_multiplier: Factor of the channels of stem and blocks, which are rounded, from 0.1.
        attention: ``none``, or ``se`` for squeeze-and-excitation after the last convolution of each block.
        squeeze_ratio: Channels per hidden unit of ``se``, from 1; at least four units are kept.
        stem: ``small`` (3x3, keeps the size), ``large`` (3x3 with stride 2) or ``unpadded`` (two 3x3 convolutions, each of which
            removes one pixel at every edge, for images from 5x5).
        stem_width: Filters of the stem, before scaling, from 1.
        head: ``dense`` (the average over all positions, then a dense layer) or ``convolution`` (logits at each position by a 3x3
            convolution, then their average).
        dropout: Share of values dropped before the head, 0 to below 1.
        norm_momentum: Share of the running statistics of batch normalisation that a step keeps, 0 to below 1. Mini-Xception has
            0.99, with which they are only useful after hundreds of steps.

    Raises:
        KnobError: A knob has a value that is not allowed, or the image is too small for ``stem="unpadded"``.

    Source: arXiv:1710.07557, section 3, and its implementation; separable convolutions as in MobileNet, arXiv:1704.04861, section
        3.1; attention as in arXiv:1709.01507.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    blocks = whole_numbers("widths", widths, each="block")
    check_whole("convolutions", convolutions, low=2, high=4)
    check_whole("kernel_size", kernel_size, low=2, high=11)
    check_flag("residual", residual)
    check_number("width_multiplier", width_multiplier, low=0.1)
    check_option("attention", attention, ("none", "se"))
    check_whole("squeeze_ratio", squeeze_ratio, low=1)
    check_option("stem", stem, ("small", "large", "unpadded"))
    check_whole("stem_width", stem_width, low=1)
    check_option("head", head, ("dense", "convolution"))
    check_number("dropout", dropout, low=0, below=1)
    check_number("norm_momentum", norm_momentum, low=0, below=1)
    if stem == "unpadded" and min(input_shape[:2]) < 5:
        raise KnobError(
            f"'stem' is 'unpadded', which leaves nothing of an image of {input_shape[0]}x{input_shape[1]} pixels; allowed: "
            "images of 5x5 or larger. Use larger images, or change 'stem' to 'small'."
        )

    def normalize(x: Any) -> Any:
        return batch_normalization(x, momentum=norm_momentum, epsilon=EPSILON)

    def block(x: Any, width: int) -> Any:
        """Separable convolutions, attention and pooling; plus the shortcut, if the block is residual."""
        shortcut = normalize(_convolution(x, width, 1, strides=2)) if residual else None
        for number in range(1, convolutions + 1):
            x = normalize(_separable_convolution(x, width, kernel_size))
            if number < convolutions or not residual:
                x = keras.layers.ReLU()(x)
        if attention == "se":
            x = squeeze_excitation(x, ratio=squeeze_ratio)
        x = keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)
        return keras.layers.Add()([x, shortcut]) if residual else x

    image = keras.Input(input_shape)
    x = image
    for _ in range(2 if stem == "unpadded" else 1):
        padding = "valid" if stem == "unpadded" else "same"
        x = _convolution(x, _scaled(stem_width, width_multiplier), 3, strides=2 if stem == "large" else 1, padding=padding)
        x = keras.layers.ReLU()(normalize(x))
    for width in blocks:
        x = block(x, _scaled(width, width_multiplier))
    return keras.Model(image, _head(x, num_classes, head, dropout), name="light_cnn")


def _scaled(channels: int, factor: float) -> int:
    """Channels times a factor, rounded to a whole number; steps of 8, as in wider networks, would be too coarse here."""
    return max(1, round(channels * factor))


def _convolution(x: Any, filters: int, kernel_size: int, *, strides: int, padding: str = "same") -> Any:
    return keras.layers.Conv2D(
        filters, kernel_size, strides=strides, padding=padding, use_bias=False, kernel_initializer="he_normal"
    )(x)


def _separable_convolution(x: Any, filters: int, kernel_size: int) -> Any:
    """Depthwise and 1x1 convolution, with no activation in between."""
    return keras.layers.SeparableConv2D(
        filters,
        kernel_size,
        padding="same",
        use_bias=False,
        depthwise_initializer=fan_out(),
        pointwise_initializer="he_normal",
    )(x)


def _head(x: Any, num_classes: int, head: str, dropout: float) -> Any:
    if head == "dense":
        return logits(keras.layers.Dropout(dropout)(keras.layers.GlobalAveragePooling2D()(x)), num_classes)
    x = keras.layers.Dropout(dropout)(x)
    # In float32 under any dtype policy, like all logits.
    x = keras.layers.Conv2D(num_classes, 3, padding="same", dtype="float32")(x)
    return keras.layers.GlobalAveragePooling2D(dtype="float32", name="logits")(x)
