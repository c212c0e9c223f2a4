"""Network of inverted residual blocks for telephones: narrow between blocks, wide and depthwise inside them.

Nearly all its multiply-accumulates are in 1x1 convolutions, and a shortcut connects the narrow ends, which are all that memory
has to hold between two blocks. Without a variant it is a small network for images of 8x8 to 48x48; ``variant`` gives the
networks of the paper.
"""

from __future__ import annotations

import dataclasses

import keras

from architectures._blocks import (
    CUSTOM,
    activated_convolution,
    check_image_and_classes,
    check_number,
    check_option,
    check_whole,
    inverted_residual,
    logits,
    of_imagenet,
    scaled,
    variants,
    whole_numbers,
)
from sweeper.catalog import architecture
from sweeper.errors import KnobError

STEM_FILTERS = 32
"""Filters of the first convolution, before scaling."""

ACTIVATION = "relu6"
"""A rectifier that ends at 6, which numbers of few bits can hold."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Stage:
    """Blocks in a row, before scaling; `strides` belong to the first of them."""

    channels: int
    strides: int


STAGES = (
    _Stage(channels=16, strides=1),
    _Stage(channels=24, strides=2),
    _Stage(channels=32, strides=2),
    _Stage(channels=64, strides=2),
    _Stage(channels=96, strides=1),
    _Stage(channels=160, strides=2),
    _Stage(channels=320, strides=1),
)
"""Table 2 of the paper."""


def _sizes(width_multiplier: float) -> dict[str, str | int | float]:
    return {
        "width_multiplier": width_multiplier,
        "blocks_per_stage": "1-2-3-4-3-3-1",
        "expansion": 6,
        "head_filters": 1280,
        "dropout": 0.2,
        "stem": "large",
    }


VARIANTS = {str(multiplier): _sizes(multiplier) for multiplier in (1.0, 0.75, 0.5, 0.35, 1.4)}
"""Table 2 of the paper; multipliers from its section 6.1, dropout from its reference implementation."""


_SOURCE = (
    "multiply-accumulates from the table of checkpoints of the paper's reference implementation, whose millions of "
    "parameters leave out the scales and shifts of normalisation; all of them as MobileNetV2 of Keras Applications has them"
)


@architecture(
    paper="Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381",
    tiny={"width_multiplier": 0.25, "blocks_per_stage": "1-2-1", "head_filters": 32, "dropout": 0.0},
    published=(
        of_imagenet("1.0", 3_504_872, 300_000_000, source=_SOURCE),
        of_imagenet("0.75", 2_636_424, 209_000_000, source=_SOURCE),
        of_imagenet("0.5", 1_968_680, 97_000_000, source=_SOURCE),
        of_imagenet("0.35", 1_677_128, 59_000_000, source=_SOURCE),
        of_imagenet("1.4", 6_108_776, 582_000_000, source=_SOURCE),
    ),
)
@variants(VARIANTS)
def mobilenet_v2(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "custom",
    width_multiplier: float = 0.75,
    blocks_per_stage: str = "1-2-3",
    expansion: int = 6,
    head_filters: int = 320,
    dropout: float = 0.2,
    norm_momentum: float = 0.9,
    stem: str = "small",
) -> keras.Model:
    """A MobileNetV2; about 53 thousand parameters with its defaults.

    Up to seven stages, four of which halve the map (a side of 1 stays 1, so images of any size fit). Convolutions have no
    biases, because normalisation follows each of them.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        variant: ``1.0``, ``0.75``, ``0.5``, ``0.35`` or ``1.4`` for the networks of the paper by their width multiplier, where
            any other knob given beside it wins; ``custom`` for none.
        width_multiplier: Factor of all numbers of channels, which are rounded to multiples of 8, from 0.1.
        blocks_per_stage: Blocks of each stage with hyphens between them, for example ``1-2-3-4-3-3-1``; with fewer than seven
            numbers the last stages are left out, as without a variant, since four halvings leave one pixel of small images.
        expansion: Channels inside a block per channel that comes in, from 1; in the first stage nothing is widened.
        head_filters: Filters of the last convolution, rounded to a multiple of 8, from 1. As in the paper a width multiplier
            above 1 makes them more, but one below 1 does not make them fewer.
        dropout: Share of values dropped before the head, 0 to below 1.
        norm_momentum: Part of the running statistics of normalisation that a step keeps, 0 to below 1. The paper names none;
            with the 0.999 of Keras Applications they are of use after thousands of steps only.
        stem: ``small`` (3x3, keeps the size) or ``large`` (3x3 with stride 2).

    Raises:
        KnobError: A knob outside what it may be.

    Source: arXiv:1801.04381, section 3, table 2 and section 6.1.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    check_number("width_multiplier", width_multiplier, low=0.1)
    check_whole("expansion", expansion, low=1)
    check_whole("head_filters", head_filters, low=1)
    check_number("dropout", dropout, low=0, below=1)
    check_number("norm_momentum", norm_momentum, low=0, below=1)
    check_option("stem", stem, ("small", "large"))
    repeats = whole_numbers("blocks_per_stage", blocks_per_stage, each="stage")
    if len(repeats) > len(STAGES):
        raise KnobError(
            f"'blocks_per_stage' is {blocks_per_stage!r}, {len(repeats)} stages; allowed: one to {len(STAGES)} numbers. "
            "Leave some of them out."
        )

    image = keras.Input(input_shape)
    x = activated_convolution(
        image,
        scaled(STEM_FILTERS, width_multiplier),
        kernel_size=3,
        strides=2 if stem == "large" else 1,
        activation=ACTIVATION,
        norm_momentum=norm_momentum,
    )
    for position, (stage, num_blocks) in enumerate(zip(STAGES, repeats, strict=False)):
        for block in range(num_blocks):
            x = inverted_residual(
                x,
                scaled(stage.channels, width_multiplier),
                expansion=1 if position == 0 else expansion,
                kernel_size=3,
                strides=stage.strides if block == 0 else 1,
                activation=ACTIVATION,
                norm_momentum=norm_momentum,
            )
    head = scaled(head_filters, max(1.0, width_multiplier))
    x = activated_convolution(x, head, activation=ACTIVATION, norm_momentum=norm_momentum)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(image, logits(x, num_classes), name="mobilenet_v2")
