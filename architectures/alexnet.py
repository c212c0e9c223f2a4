"""AlexNet: five convolutions and three dense layers; its results on ImageNet started the era of deep learning.

The first convolutions have large windows and strides, the later ones have 3x3 windows. Nearly all weights are in the dense
layers, nearly all arithmetic is in the convolutions. The defaults are a small network with batch normalisation for images of 8x8
to 48x48; ``variant`` gives the published network in one tower.
"""

from __future__ import annotations

import keras

from architectures._blocks import (
    CUSTOM,
    TORCHVISION,
    check_flag,
    check_image_and_classes,
    check_number,
    check_option,
    hidden_layers,
    logits,
    of_imagenet,
    pooled,
    rectified_convolution,
    scaled,
    variants,
    whole_numbers,
)
from sweeper.catalog import architecture
from sweeper.errors import KnobError

FILTERS = (64, 192, 384, 256, 256)
"""Filters of each convolution, before scaling."""

LARGE_KERNEL, LARGE_STRIDES, LARGE_PADDING = 11, 4, 2
"""Window, stride and padding of the first convolution with ``stem="large"``, in pixels."""

MAP_SIDE = 6
"""Side of the map that the dense layers see, with images of 224x224."""

VARIANTS = {
    "one_tower": {
        "width_multiplier": 1.0,
        "dense_units": "4096-4096",
        "batch_norm": False,
        "dropout": 0.5,
        "stem": "large",
    },
}
"""The network of arXiv:1404.5997, as most implementations have it."""


@architecture(
    paper="Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, NIPS 2012; in one tower: "
    "Krizhevsky, One Weird Trick for Parallelizing Convolutional Neural Networks, arXiv:1404.5997",
    tiny={"width_multiplier": 0.1, "dense_units": "16", "dropout": 0.0},
    rates=("dropout",),
    published=(
        of_imagenet(
            "one_tower",
            61_100_840,
            710_000_000,
            source=f"{TORCHVISION}; the network of two towers of the first paper has 60,965,224",
        ),
    ),
)
@variants(VARIANTS)
def alexnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "custom",
    width_multiplier: float = 0.25,
    dense_units: str = "128-128",
    batch_norm: bool = True,
    dropout: float = 0.5,
    stem: str = "small",
) -> keras.Model:
    """An AlexNet in one tower; about 246 thousand parameters with its defaults on 32x32x3 and 10 classes.

    3x3 max pooling with stride 2 follows the first, second and fifth convolution. Where the map is smaller than this window, the
    window shrinks to the map, so a side of 1 stays 1. The dense layers see every position that is left: 6x6 for images of
    224x224. A side of 12 positions or more is first averaged over windows of equal size, down to 6 to 11 positions, so that the
    dense layers do not grow without limit with the image. The last rows and columns that fill no window are left out.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        variant: ``one_tower`` for the network of arXiv:1404.5997, or ``custom`` for none. Other knobs override the variant.
        width_multiplier: Factor of the filters 64, 192, 384, 256 and 256, which are rounded to multiples of 8, from 0.1.
        dense_units: Units of each hidden dense layer, joined by hyphens, for example ``4096-4096``.
        batch_norm: Whether batch normalisation follows each convolution and hidden dense layer. Without it, as published, these
            have biases.
        dropout: Share of units dropped after each hidden dense layer, 0 to below 1.
        stem: First convolution: ``small`` (3x3, keeps the size) or ``large`` (11x11 with stride 4 on an image padded by two
            pixels, for images from 7x7).

    Raises:
        KnobError: A knob has a value that is not allowed, or the image is too small for ``stem="large"``.

    Source: arXiv:1404.5997 and the implementations of its network: they pad the first convolution, have no local response
        normalisation, and have 256 filters in the fourth convolution. Dropout as in section 4.2 of the paper of 2012.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    check_number("width_multiplier", width_multiplier, low=0.1)
    units = whole_numbers("dense_units", dense_units, each="layer")
    check_flag("batch_norm", batch_norm)
    check_number("dropout", dropout, low=0, below=1)
    check_option("stem", stem, ("small", "large"))
    smallest = LARGE_KERNEL - 2 * LARGE_PADDING
    if stem == "large" and min(input_shape[:2]) < smallest:
        raise KnobError(
            f"'stem' is 'large' on an image of {input_shape[0]}x{input_shape[1]}; allowed: 'large' from {smallest}x{smallest}, "
            "'small' with any size. Change 'stem' to 'small', or use larger images."
        )

    image = keras.Input(input_shape)
    first, second, *others = (scaled(filters, width_multiplier) for filters in FILTERS)
    if stem == "large":
        padded = keras.layers.ZeroPadding2D(LARGE_PADDING)(image)
        x = rectified_convolution(padded, first, LARGE_KERNEL, is_normalised=batch_norm, strides=LARGE_STRIDES)
    else:
        x = rectified_convolution(image, first, 3, is_normalised=batch_norm)
    x = pooled(x, 3)
    x = pooled(rectified_convolution(x, second, 5, is_normalised=batch_norm), 3)
    for filters in others:
        x = rectified_convolution(x, filters, 3, is_normalised=batch_norm)
    x = pooled(x, 3)
    windows = tuple(max(1, side // MAP_SIDE) for side in x.shape[1:3])
    if max(windows) > 1:
        x = keras.layers.AveragePooling2D(windows)(x)
    x = hidden_layers(x, units, dropout=dropout, is_normalised=batch_norm)
    return keras.Model(image, logits(x, num_classes), name="alexnet")
