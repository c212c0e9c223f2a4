"""Network of inverted residual blocks for mobile devices: narrow between blocks, wide and depthwise inside them.

Nearly all multiply-accumulates are in 1x1 convolutions. A shortcut connects the narrow ends of a block, so memory only has to
hold narrow maps between two blocks. The defaults are a small network for images of 8x8 to 48x48; ``variant`` gives the networks
of the paper.
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
"""ReLU clipped at 6, which low-precision numbers can hold."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Stage:
    """Consecutive blocks, before scaling; `strides` is for the first of them."""

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
    "multiply-accumulates from the table of checkpoints of the paper's reference implementation, whose parameters, in "
    "millions, leave out the scales and shifts of normalisation; all parameters as in MobileNetV2 of Keras Applications"
)


@architecture(
    paper="Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381",
    tiny={"width_multiplier": 0.25, "blocks_per_stage": "1-2-1", "head_filters": 32, "dropout": 0.0},
    rates=("dropout",),
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

    It has up to seven stages, four of which halve the map. A side of 1 stays 1, so images of any size fit. Convolutions have no
    biases, because batch normalisation follows each of them.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        variant: ``1.0``, ``0.75``, ``0.5``, ``0.35`` or ``1.4`` for the networks of the paper, by their width multiplier, or
            ``custom`` for none. Other knobs override the variant.
        width_multiplier: Factor of all numbers of channels, which are rounded to multiples of 8, from 0.1.
        blocks_per_stage: Blocks of each stage, joined by hyphens, for example ``1-2-3-4-3-3-1``. With fewer than seven numbers
            the last stages are left out. The default does so, because four halvings leave one pixel of a small image.
        expansion: Channels inside a block per input channel, from 1; the first stage has no widening.
        head_filters: Filters of the last convolution, rounded to a multiple of 8, from 1. As in the paper, a width multiplier
            above 1 increases them, but one below 1 does not decrease them.
        dropout: Share of values dropped before the head, 0 to below 1.
        norm_momentum: Share of the running statistics of batch normalisation that a step keeps, 0 to below 1. The paper gives
            none. With the 0.999 of Keras Applications they are only useful after thousands of steps.
        stem: ``small`` (3x3, keeps the size) or ``large`` (3x3 with stride 2).

    Raises:
        KnobError: A knob has a value that is not allowed.

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
            "Remove some of them."
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
