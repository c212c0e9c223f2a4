"""Network of inverted residual blocks whose width and depth are scaled together.

Each block widens its input, filters each channel on its own (depthwise), weights the channels by squeeze-and-excitation, and
narrows the map again. It needs few parameters and multiply-accumulates, but many small steps, which hardware runs below its peak.
The defaults are a small network for images of 8x8 to 48x48; ``variant`` gives the networks of the paper.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import keras

from architectures._blocks import (
    CUSTOM,
    FER_GUIDE,
    activated_convolution,
    channel_gate,
    check_image_and_classes,
    check_number,
    check_option,
    check_whole,
    inverted_residual,
    logits,
    of_fer_guide,
    of_imagenet,
    scaled,
    variants,
)
from sweeper.catalog import architecture

STEM_FILTERS, HEAD_FILTERS = 32, 1280
"""Filters of the first and of the last convolution, before scaling."""

ACTIVATION = "swish"

WIDTH_BASE, DEPTH_BASE = 1.1, 1.2
"""Factors of width and depth per unit of the compound coefficient, found by a search for B0 (section 5 of the paper)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Stage:
    """Consecutive blocks, before scaling; `strides` is for the first of them."""

    num_blocks: int
    channels: int
    kernel_size: int
    strides: int
    expansion: int = 6


STAGES = (
    _Stage(num_blocks=1, channels=16, kernel_size=3, strides=1, expansion=1),
    _Stage(num_blocks=2, channels=24, kernel_size=3, strides=2),
    _Stage(num_blocks=2, channels=40, kernel_size=5, strides=2),
    _Stage(num_blocks=3, channels=80, kernel_size=3, strides=2),
    _Stage(num_blocks=3, channels=112, kernel_size=5, strides=1),
    _Stage(num_blocks=4, channels=192, kernel_size=5, strides=2),
    _Stage(num_blocks=1, channels=320, kernel_size=3, strides=1),
)
"""Table 1 of the paper; the strides, which it does not give, are from its reference implementation."""


def _sizes(width: float, depth: float, dropout: float) -> dict[str, str | int | float]:
    return {
        "width_coefficient": width,
        "depth_coefficient": depth,
        "attention": "se",
        "squeeze_ratio": 4,
        "dropout": dropout,
        "stochastic_depth_rate": 0.2,
        "norm_momentum": 0.99,
        "stem": "large",
    }


VARIANTS = {
    "b0": _sizes(1.0, 1.0, 0.2),
    "b1": _sizes(1.0, 1.1, 0.2),
    "b2": _sizes(1.1, 1.2, 0.3),
    "b3": _sizes(1.2, 1.4, 0.3),
    "b4": _sizes(1.4, 1.8, 0.4),
    "b5": _sizes(1.6, 2.2, 0.4),
    "b6": _sizes(1.8, 2.6, 0.5),
    "b7": _sizes(2.0, 3.1, 0.5),
    FER_GUIDE: _sizes(1.0, 1.0, 0.0),
}
"""Coefficients and dropout from the reference implementation; the paper says only how they were found. The guide's is B0."""


@architecture(
    paper="Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, arXiv:1905.11946",
    tiny={"width_coefficient": 0.1, "depth_coefficient": 0.1, "dropout": 0.0, "stochastic_depth_rate": 0.0},
    rates=("dropout", "stochastic_depth_rate"),
    published=(
        of_imagenet("b0", 5_288_548, 390_000_000),
        of_imagenet("b1", 7_794_184, 690_000_000, side=240),
        of_imagenet("b2", 9_109_994, 1_090_000_000, side=288),
        of_imagenet("b3", 12_233_232, 1_830_000_000, side=300),
        of_imagenet("b4", 19_341_616, 4_390_000_000, side=380),
        of_imagenet("b5", 30_389_784, 10_270_000_000, side=456),
        of_imagenet("b6", 43_040_704, 19_070_000_000, side=528),
        of_imagenet("b7", 66_347_960, 37_750_000_000, side=600),
        of_fer_guide(4_015_939),
    ),
)
@variants(VARIANTS)
def efficientnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "custom",
    width_coefficient: float = 0.35,
    depth_coefficient: float = 0.5,
    phi: float = 0.0,
    attention: str = "se",
    squeeze_ratio: int = 4,
    dropout: float = 0.2,
    stochastic_depth_rate: float = 0.1,
    norm_momentum: float = 0.9,
    stem: str = "small",
) -> keras.Model:
    """An EfficientNet; about 334 thousand parameters with its defaults.

    It has seven stages, four of which halve the map. A side of 1 stays 1, so images of any size fit. Convolutions have no biases,
    because batch normalisation follows each of them.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        variant: ``b0`` to ``b7`` for the sizes of the paper, or ``custom`` for none. ``fer_guide`` is B0 as a well-known guide to
            facial expressions has it: without dropout before the head, on images that are divided by 255 inside the network, as
            Keras Applications does, and gates whose kernels start as all others. Other knobs override the variant.
        width_coefficient: Factor of all numbers of channels, which are rounded to multiples of 8, from 0.1.
        depth_coefficient: Factor of the number of blocks of each stage, which is rounded up, from 0.1.
        phi: Compound coefficient, 0 to 10. It multiplies the width by ``1.1**phi`` and the depth by ``1.2**phi``, in addition to
            the two coefficients. In the paper the sides of images grow by ``1.15**phi`` as well; here the images stay as they
            are, so provide larger ones yourself. The coefficients of B1 to B7 were rounded by hand and do not follow from it
            exactly.
        attention: ``se`` for squeeze-and-excitation in every block, or ``none``.
        squeeze_ratio: Input channels of a block (before widening) per hidden unit of ``se``, from 1.
        dropout: Share of values dropped before the head, 0 to below 1.
        stochastic_depth_rate: The residual branch of block i of n, counted from 0, is dropped for an image with probability i/n
            times this rate while training, 0 to below 1, as in the reference implementation. Blocks that change the shape have
            no shortcut and are never dropped.
        norm_momentum: Share of the running statistics of batch normalisation that a step keeps, 0 to below 1. The paper has
            0.99, with which they are only useful after hundreds of steps.
        stem: ``small`` (3x3, keeps the size) or ``large`` (3x3 with stride 2).

    Raises:
        KnobError: A knob has a value that is not allowed.

    Source: arXiv:1905.11946, equation 3, sections 4 and 5 and table 1, and its reference implementation; stochastic depth as in
        arXiv:1603.09382, section 3.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    check_number("width_coefficient", width_coefficient, low=0.1)
    check_number("depth_coefficient", depth_coefficient, low=0.1)
    check_number("phi", phi, low=0, high=10)
    check_option("attention", attention, ("se", "none"))
    check_whole("squeeze_ratio", squeeze_ratio, low=1)
    check_number("dropout", dropout, low=0, below=1)
    check_number("stochastic_depth_rate", stochastic_depth_rate, low=0, below=1)
    check_number("norm_momentum", norm_momentum, low=0, below=1)
    check_option("stem", stem, ("small", "large"))

    width, depth = width_coefficient * WIDTH_BASE**phi, depth_coefficient * DEPTH_BASE**phi
    is_guide = variant == FER_GUIDE
    image = keras.Input(input_shape)
    x = activated_convolution(
        keras.layers.Rescaling(1 / 255)(image) if is_guide else image,
        scaled(STEM_FILTERS, width),
        kernel_size=3,
        strides=2 if stem == "large" else 1,
        activation=ACTIVATION,
        norm_momentum=norm_momentum,
    )
    repeats = [math.ceil(stage.num_blocks * depth) for stage in STAGES]
    position = 0
    for stage, num_blocks in zip(STAGES, repeats, strict=True):
        for block in range(num_blocks):
            units = max(1, x.shape[-1] // squeeze_ratio)
            gate = functools.partial(channel_gate, units=units, activation=ACTIVATION, is_fan_out=is_guide)
            x = inverted_residual(
                x,
                scaled(stage.channels, width),
                expansion=stage.expansion,
                kernel_size=stage.kernel_size,
                strides=stage.strides if block == 0 else 1,
                activation=ACTIVATION,
                norm_momentum=norm_momentum,
                attend=gate if attention == "se" else None,
                drop_rate=stochastic_depth_rate * position / sum(repeats),
            )
            position += 1
    x = activated_convolution(x, scaled(HEAD_FILTERS, width), activation=ACTIVATION, norm_momentum=norm_momentum)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(image, logits(x, num_classes), name="efficientnet")
