"""VGG: a deep network of nothing but stages of 3x3 convolutions and pooling.

Two 3x3 convolutions have the receptive field of one 5x5 convolution, with fewer weights and one more ReLU in between. The
published networks have nine tenths of their weights in the first dense layers. The defaults are a small network for images of
8x8 to 48x48 that averages over positions instead; ``variant`` gives the networks of the paper.
"""

from __future__ import annotations

import keras

from architectures._blocks import (
    CUSTOM,
    batch_normalization,
    check_flag,
    check_image_and_classes,
    check_number,
    check_option,
    check_whole,
    hidden_layers,
    logits,
    of_imagenet,
    pooled,
    variants,
    whole_numbers,
)
from sweeper.catalog import architecture

LARGEST_FACTOR = 8
"""Filters double from stage to stage, up to this multiple of those of the first stage."""

_COMMON = {
    "width": 64,
    "batch_norm": False,
    "keep_biases": True,
    "dense_norm": False,
    "head": "dense",
    "dense_units": "4096-4096",
    "dropout": 0.5,
}

VARIANTS = {
    "11": {"convolutions_per_stage": "1-1-2-2-2", **_COMMON},
    "13": {"convolutions_per_stage": "2-2-2-2-2", **_COMMON},
    "16": {"convolutions_per_stage": "2-2-3-3-3", **_COMMON},
    "19": {"convolutions_per_stage": "2-2-4-4-4", **_COMMON},
}
"""Configurations A, B, D and E in table 1 of the paper."""


@architecture(
    paper="Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv:1409.1556",
    tiny={"convolutions_per_stage": "1-1", "width": 8, "dense_units": "16", "dropout": 0.0},
    rates=("dropout",),
    published=(
        of_imagenet("11", 132_863_336, 7_610_000_000),
        of_imagenet("13", 133_047_848, 11_310_000_000),
        of_imagenet("16", 138_357_544, 15_470_000_000),
        of_imagenet("19", 143_667_240, 19_630_000_000),
        of_imagenet("11", 132_868_840, 7_610_000_000, batch_norm=True),
        of_imagenet("13", 133_053_736, 11_310_000_000, batch_norm=True),
        of_imagenet("16", 138_365_992, 15_470_000_000, batch_norm=True),
        of_imagenet("19", 143_678_248, 19_630_000_000, batch_norm=True),
    ),
)
@variants(VARIANTS)
def vgg(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "custom",
    convolutions_per_stage: str = "1-1-2",
    width: int = 24,
    batch_norm: bool = True,
    keep_biases: bool = False,
    dense_norm: bool = True,
    head: str = "average",
    dense_units: str = "128",
    dropout: float = 0.5,
) -> keras.Model:
    """A VGG network; about 137 thousand parameters with its defaults.

    Every stage ends with 2x2 max pooling. A side of 1 stays 1, so images of any size fit any number of stages. The dense head
    sees every position that is left: 7x7 for images of 224x224 and five stages.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        variant: ``11``, ``13``, ``16`` or ``19`` for the networks of the paper, by their number of layers with weights, or
            ``custom`` for none. Other knobs override the variant.
        convolutions_per_stage: Convolutions of each stage, joined by hyphens, for example ``2-2-3-3-3``.
        width: Filters of the first stage, from 1; they double from stage to stage, up to eight times as many.
        batch_norm: Whether batch normalisation follows each convolution; the paper has none. Without it there are always biases.
        keep_biases: Whether convolutions keep their biases with batch normalisation, as in the published networks that have it;
            the biases change nothing there. Unused without `batch_norm`.
        dense_norm: Whether `batch_norm` holds for hidden dense layers as well; it does not in the published networks.
        head: ``average`` (the average over positions) or ``dense`` (hidden dense layers that see every position).
        dense_units: Units of each hidden dense layer, joined by hyphens, for example ``4096-4096``; only used with
            ``head="dense"``.
        dropout: Share of values dropped after each hidden dense layer, or after the average, 0 to below 1.

    Raises:
        KnobError: A knob has a value that is not allowed.

    Source: arXiv:1409.1556, section 2 and table 1.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    stages = whole_numbers("convolutions_per_stage", convolutions_per_stage, each="stage")
    check_whole("width", width, low=1)
    check_flag("batch_norm", batch_norm)
    check_flag("keep_biases", keep_biases)
    check_flag("dense_norm", dense_norm)
    check_option("head", head, ("average", "dense"))
    units = whole_numbers("dense_units", dense_units, each="layer")
    check_number("dropout", dropout, low=0, below=1)

    image = keras.Input(input_shape)
    x = image
    for stage, num_convolutions in enumerate(stages):
        filters = width * min(2**stage, LARGEST_FACTOR)
        for _ in range(num_convolutions):
            x = keras.layers.Conv2D(
                filters, 3, padding="same", use_bias=keep_biases or not batch_norm, kernel_initializer="he_normal"
            )(x)
            x = keras.layers.ReLU()(batch_normalization(x) if batch_norm else x)
        x = pooled(x, 2)
    if head == "dense":
        x = hidden_layers(x, units, dropout=dropout, is_normalised=batch_norm and dense_norm)
    else:
        x = keras.layers.Dropout(dropout)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, logits(x, num_classes), name="vgg")
