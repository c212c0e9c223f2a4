"""LeNet: two convolutions, each with 2x2 average pooling, then dense layers; the first widely used CNN.

It needs hardly any arithmetic, so it trains in seconds and shows what later families add. Its defaults take images of any size;
``variant`` gives the network of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from architectures._blocks import (
    CUSTOM,
    check_image_and_classes,
    check_option,
    logits,
    pooled,
    variants,
    whole_numbers,
)
from sweeper.catalog import Published, architecture
from sweeper.errors import KnobError

KERNEL_SIZE = 5
"""Side of each convolution window in pixels."""

VARIANTS = {
    "5": {"widths": "6-16", "dense_units": "120-84", "activation": "tanh", "pooling": "average", "padding": "valid"},
}
"""Figure 2 of the paper."""


@architecture(
    paper="LeCun et al., Gradient-Based Learning Applied to Document Recognition, Proceedings of the IEEE 86(11), 1998",
    tiny={"widths": "4-8", "dense_units": "16"},
    published=(
        Published(
            arguments={"variant": "5"},
            input_shape=(32, 32, 1),
            num_classes=10,
            parameters=61_706,
            macs=416_520,
            macs_tolerance=0.0,
            source="the layers of figure 2 of the paper, with all maps of C3 connected, pooling without weights and a dense "
            "output layer, as in most implementations (Dive into Deep Learning, section 7.6, for one); the paper itself has "
            "1,516 weights in C3 for 2,416, 44 in pooling, and prototypes as output",
        ),
    ),
)
@variants(VARIANTS)
def lenet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "custom",
    widths: str = "6-16",
    dense_units: str = "120-84",
    activation: str = "tanh",
    pooling: str = "average",
    padding: str = "same",
) -> keras.Model:
    """A LeNet; about 108 thousand parameters with its defaults on 28x28x1 and 10 classes.

    Each stage is a 5x5 convolution, the activation, and 2x2 pooling; a side of 1 stays 1. The first dense layer sees every
    position that is left. On the 32x32 pixels of the paper it is the layer that the paper calls C5.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        variant: ``5`` for LeNet-5 of the paper, or ``custom`` for none. Other knobs override the variant.
        widths: Filters of each convolution, joined by hyphens, for example ``6-16``.
        dense_units: Units of each hidden dense layer, joined by hyphens, for example ``120-84``.
        activation: ``tanh``, ``relu``, ``elu`` or ``swish``, after every layer except the last.
        pooling: ``average`` or ``max``.
        padding: ``same`` (images of any size) or ``valid`` (as in the paper: each convolution makes both sides four pixels
            shorter, so two of them need images from 14x14).

    Raises:
        KnobError: A knob has a value that is not allowed, or the image is too small for ``padding="valid"``.

    Source: section II.B and figure 2 of the paper.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    filters = whole_numbers("widths", widths, each="convolution")
    units = whole_numbers("dense_units", dense_units, each="layer")
    check_option("activation", activation, ("tanh", "relu", "elu", "swish"))
    check_option("pooling", pooling, ("average", "max"))
    check_option("padding", padding, ("same", "valid"))
    if padding == "valid":
        _check_size(input_shape, filters)

    image = keras.Input(input_shape)
    initializer = "lecun_normal" if activation == "tanh" else "he_normal"
    x = image
    for width in filters:
        x = keras.layers.Conv2D(width, KERNEL_SIZE, padding=padding, kernel_initializer=initializer)(x)
        x = pooled(keras.layers.Activation(activation)(x), 2, kind=pooling)
    x = keras.layers.Flatten()(x)
    for number in units:
        x = keras.layers.Activation(activation)(keras.layers.Dense(number, kernel_initializer=initializer)(x))
    return keras.Model(image, logits(x, num_classes), name="lenet")


def _check_size(input_shape: Sequence[int], filters: Sequence[int]) -> None:
    """Raise `KnobError` unless the image is large enough for all convolutions without padding."""
    smallest = KERNEL_SIZE
    for _ in filters[1:]:
        smallest = 2 * smallest + KERNEL_SIZE - 1
    height, width = input_shape[:2]
    if min(height, width) < smallest:
        raise KnobError(
            f"'padding' is 'valid' with {len(filters)} convolutions of {KERNEL_SIZE}x{KERNEL_SIZE} on an image of "
            f"{height}x{width}; allowed: 'valid' from {smallest}x{smallest}, 'same' with any size. Change 'padding' to 'same', "
            "or use larger images."
        )
