"""Densely connected network: every layer gets the outputs of all earlier layers of its stage.

A layer adds a few channels (the growth rate) to its input instead of replacing it. Features are used again, so few parameters go
far, at the price of memory and many small steps. The defaults are a small network for images of 8x8 to 48x48; ``variant`` gives
the networks of the paper.
"""

from __future__ import annotations

import keras

from architectures._blocks import (
    CUSTOM,
    FER_GUIDE,
    KERAS_DEFAULTS,
    batch_normalization,
    check_flag,
    check_image_and_classes,
    check_number,
    check_option,
    check_whole,
    convolution,
    large_stem,
    logits,
    of_fer_guide,
    of_imagenet,
    remade,
    variants,
    whole_numbers,
)
from sweeper.catalog import architecture

BOTTLENECK = 4
"""Channels between the two convolutions of a dense layer, per channel that the layer adds."""

_COMMON = {"growth_rate": 32, "bottleneck": True, "compression": 0.5, "stem_width": 64, "stem": "large"}

VARIANTS = {
    "121": {"blocks_per_stage": "6-12-24-16", **_COMMON},
    "169": {"blocks_per_stage": "6-12-32-32", **_COMMON},
    "201": {"blocks_per_stage": "6-12-48-32", **_COMMON},
    FER_GUIDE: {"blocks_per_stage": "6-12-24-16", **_COMMON},
}
"""Table 1 of the paper; the guide's is the first of them as Keras Applications builds it."""

APPLICATIONS_DEFAULTS = {"kernel_initializer": KERAS_DEFAULTS["kernel_initializer"], "momentum": 0.99, "epsilon": 1.001e-5}
"""What Keras Applications has in the layers of a DenseNet."""


@architecture(
    paper="Huang et al., Densely Connected Convolutional Networks, arXiv:1608.06993",
    tiny={"blocks_per_stage": "2-1", "growth_rate": 8, "stem_width": 8},
    rates=("dropout",),
    published=(
        of_imagenet("121", 7_978_856, 2_830_000_000),
        of_imagenet("169", 14_149_480, 3_360_000_000),
        of_imagenet("201", 20_013_928, 4_290_000_000),
        of_fer_guide(6_954_759),
    ),
)
@variants(VARIANTS)
def densenet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "custom",
    blocks_per_stage: str = "4-4-4",
    growth_rate: int = 12,
    bottleneck: bool = True,
    compression: float = 0.5,
    stem_width: int = 24,
    stem: str = "small",
    dropout: float = 0.0,
) -> keras.Model:
    """A densely connected network; about 102 thousand parameters with its defaults.

    Between two stages a transition reduces the channels and halves the map. A side of 1 stays 1, so images of any size fit any
    number of stages. Batch normalisation and ReLU come before each convolution, which has no bias.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        variant: ``121``, ``169`` or ``201`` for the sizes of the paper, or ``custom`` for none. ``fer_guide`` is 121 with the
            statistics and the initial kernels of Keras Applications, as a well-known guide to facial expressions has it. Other
            knobs override the variant.
        blocks_per_stage: Dense layers of each stage, joined by hyphens, for example ``6-12-24-16``.
        growth_rate: Channels that each dense layer adds, from 1.
        bottleneck: Whether a 1x1 convolution to four times the growth rate comes before each 3x3 convolution.
        compression: Share of channels that a transition keeps, 0.1 to 1.
        stem_width: Filters of the first convolution, from 1; in the paper twice the growth rate.
        stem: ``small`` (3x3, keeps the size) or ``large`` (7x7 with stride 2, then 3x3 max pooling with stride 2).
        dropout: Share of values dropped after every convolution but the first, 0 to below 1.

    Raises:
        KnobError: A knob has a value that is not allowed.

    Source: arXiv:1608.06993, section 3 and table 1; dropout as in section 4.2.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    stages = whole_numbers("blocks_per_stage", blocks_per_stage, each="stage")
    check_whole("growth_rate", growth_rate, low=1)
    check_flag("bottleneck", bottleneck)
    check_number("compression", compression, low=0.1, high=1)
    check_whole("stem_width", stem_width, low=1)
    check_option("stem", stem, ("small", "large"))
    check_number("dropout", dropout, low=0, below=1)

    image = keras.Input(input_shape)
    # The first dense layer begins with normalisation, so a small stem needs none of its own.
    x = large_stem(image, stem_width) if stem == "large" else convolution(image, stem_width, 3)
    for stage, num_layers in enumerate(stages):
        if stage > 0:
            x = _transition(x, compression=compression, dropout=dropout)
        for _ in range(num_layers):
            x = _dense_layer(x, growth_rate, has_bottleneck=bottleneck, dropout=dropout)
    x = keras.layers.ReLU()(batch_normalization(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, logits(x, num_classes), name="densenet")
    return remade(model, **APPLICATIONS_DEFAULTS) if variant == FER_GUIDE else model


def _dense_layer(x: keras.KerasTensor, growth_rate: int, *, has_bottleneck: bool, dropout: float) -> keras.KerasTensor:
    """The input with the new channels appended."""
    found = x
    if has_bottleneck:
        found = _activate_and_convolve(found, BOTTLENECK * growth_rate, 1, dropout=dropout)
    found = _activate_and_convolve(found, growth_rate, 3, dropout=dropout)
    return keras.layers.Concatenate()([x, found])


def _transition(x: keras.KerasTensor, *, compression: float, dropout: float) -> keras.KerasTensor:
    """Fewer channels, and half the height and width."""
    x = _activate_and_convolve(x, max(1, int(x.shape[-1] * compression)), 1, dropout=dropout)
    return keras.layers.AveragePooling2D(tuple(min(2, side) for side in x.shape[1:3]))(x)


def _activate_and_convolve(x: keras.KerasTensor, filters: int, kernel_size: int, *, dropout: float) -> keras.KerasTensor:
    x = convolution(keras.layers.ReLU()(batch_normalization(x)), filters, kernel_size)
    # A dropout layer of rate 0 would cost time after each of up to 200 convolutions when the program is traced.
    return keras.layers.Dropout(dropout)(x) if dropout > 0 else x
