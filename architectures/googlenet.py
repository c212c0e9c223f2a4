"""GoogLeNet: inception blocks, which filter a map with windows of several sizes at once.

1x1 convolutions reduce the channels before the wide windows, so it needs a tenth of the weights of its contemporaries. For
training, auxiliary heads may predict the classes from the middle of the network as well, so that gradients have a shorter way to
the first layers. The defaults are a small network with batch normalisation for images of 8x8 to 48x48; ``variant`` gives the
network of the paper.
"""

from __future__ import annotations

import dataclasses

import keras

from architectures._blocks import (
    CUSTOM,
    check_flag,
    check_image_and_classes,
    check_number,
    check_option,
    check_whole,
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

STEM_FILTERS = (64, 64, 192)
"""Filters of the three convolutions before the first inception block, before scaling."""

AUXILIARY_FILTERS, AUXILIARY_UNITS, AUXILIARY_DROPOUT = 128, 1024, 0.7
"""Filters of the 1x1 convolution and units of the hidden layer (both before scaling), and dropout of each auxiliary head."""

EPSILON = 1e-3
"""Epsilon of batch normalisation, as in implementations that have it."""


@dataclasses.dataclass(frozen=True)
class _Inception:
    """Filters of one block before scaling, named as the columns of the paper's table."""

    conv1x1: int
    reduce3x3: int
    conv3x3: int
    reduce5x5: int
    conv5x5: int
    projection: int


STAGES = (
    (_Inception(64, 96, 128, 16, 32, 32), _Inception(128, 128, 192, 32, 96, 64)),
    (
        _Inception(192, 96, 208, 16, 48, 64),
        _Inception(160, 112, 224, 24, 64, 64),
        _Inception(128, 128, 256, 24, 64, 64),
        _Inception(112, 144, 288, 32, 64, 64),
        _Inception(256, 160, 320, 32, 128, 128),
    ),
    (_Inception(256, 160, 320, 32, 128, 128), _Inception(384, 192, 384, 48, 128, 128)),
)
"""Table 1 of the paper: blocks 3a and 3b, 4a to 4e, 5a and 5b."""

ALL_BLOCKS = "-".join(str(len(blocks)) for blocks in STAGES)

VARIANTS = {
    "v1": {
        "blocks_per_stage": "2-5-2",
        "width_multiplier": 1.0,
        "batch_norm": False,
        "wide_kernel": 5,
        "dropout": 0.4,
        "stem": "large",
    },
}
"""Table 1 of the paper."""


@architecture(
    paper="Szegedy et al., Going Deeper with Convolutions, arXiv:1409.4842",
    tiny={"blocks_per_stage": "1-1-1", "width_multiplier": 0.1, "dropout": 0.0},
    rates=("dropout",),
    published=(
        of_imagenet(
            "v1",
            6_998_552,
            1_580_000_000,
            source="the layers of table 1 of the paper, each with a bias; multiply-accumulates: its column ops sums to 1.50 G "
            "with 34 million in the first row, where the convolution of the figure and of this row's other columns has 118",
        ),
        of_imagenet("v1", 6_624_904, 1_500_000_000, batch_norm=True, wide_kernel=3),
    ),
)
@variants(VARIANTS)
def googlenet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "custom",
    blocks_per_stage: str = "1-3-1",
    width_multiplier: float = 0.25,
    batch_norm: bool = True,
    wide_kernel: int = 5,
    auxiliary_heads: bool = False,
    dropout: float = 0.4,
    stem: str = "small",
) -> keras.Model:
    """A GoogLeNet; about 163 thousand parameters with its defaults.

    3x3 max pooling halves the map between two stages. A side of 1 stays 1, so images of any size fit. There is one auxiliary head
    after the first block of the second stage and one after its last but one block; if that stage has one or two blocks, there is
    only the first head. The initial weights of the network itself are the same with and without the heads.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        variant: ``v1`` for the network of the paper, or ``custom`` for none. Other knobs override the variant.
        blocks_per_stage: How many of the first blocks of each of the three stages are used, joined by hyphens, at most
            ``2-5-2``.
        width_multiplier: Factor of all numbers of filters, which are rounded to multiples of 8, from 0.1.
        batch_norm: Whether batch normalisation follows each convolution; the paper has none. Without it convolutions have biases.
        wide_kernel: Side of the widest window of a block in pixels, from 1: 5 in the paper, 3 in some implementations.
        auxiliary_heads: Whether the logits of the auxiliary heads are further outputs of the model, after its own logits; only
            training uses them (see `sweeper.catalog.architecture`).
        dropout: Share of values dropped before the head, 0 to below 1; auxiliary heads always drop 0.7.
        stem: ``small`` (3x3, and the stem keeps the size) or ``large`` (7x7 with stride 2, and 3x3 max pooling with stride 2
            before and after the next two convolutions).

    Raises:
        KnobError: A knob has a value that is not allowed.

    Source: arXiv:1409.4842, section 5 and table 1. Local response normalisation, which figure 3 of the paper has after both parts
        of the stem, is left out, as in most implementations.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    repeats = _repeats(blocks_per_stage)
    check_number("width_multiplier", width_multiplier, low=0.1)
    check_flag("batch_norm", batch_norm)
    check_whole("wide_kernel", wide_kernel, low=1)
    check_flag("auxiliary_heads", auxiliary_heads)
    check_number("dropout", dropout, low=0, below=1)
    check_option("stem", stem, ("small", "large"))
    factor = width_multiplier

    image = keras.Input(input_shape)
    x = _stem(image, factor, batch_norm, stem)
    tapped = []
    for stage, (blocks, num_blocks) in enumerate(zip(STAGES, repeats, strict=True)):
        if stage > 0:
            x = _halved(x)
        for position, block in enumerate(blocks[:num_blocks]):
            x = _inception(x, block, factor=factor, is_normalised=batch_norm, wide_kernel=wide_kernel)
            if stage == 1 and position in (0, num_blocks - 2):
                tapped.append(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(dropout)(x)
    scores = logits(x, num_classes)
    if not auxiliary_heads:
        return keras.Model(image, scores, name="googlenet")
    # Built last, so that all other layers draw the same seeds with and without auxiliary heads.
    others = [_auxiliary_head(tap, num_classes, factor, batch_norm, number) for number, tap in enumerate(tapped, start=1)]
    return keras.Model(image, [scores, *others], name="googlenet")


def _repeats(blocks_per_stage: str) -> list[int]:
    repeats = whole_numbers("blocks_per_stage", blocks_per_stage, each="stage")
    is_within = len(repeats) == len(STAGES) and all(number <= len(blocks) for number, blocks in zip(repeats, STAGES, strict=True))
    if not is_within:
        raise KnobError(
            f"'blocks_per_stage' is {blocks_per_stage!r}; allowed: three numbers from '1-1-1' to '{ALL_BLOCKS}'. "
            "Change 'blocks_per_stage'."
        )
    return repeats


def _stem(image: keras.KerasTensor, factor: float, is_normalised: bool, stem: str) -> keras.KerasTensor:
    first, second, third = (scaled(filters, factor) for filters in STEM_FILTERS)
    if stem == "large":
        x = _halved(_convolution(keras.layers.ZeroPadding2D(3)(image), first, 7, is_normalised, strides=2))
    else:
        x = _convolution(image, first, 3, is_normalised)
    x = _convolution(_convolution(x, second, 1, is_normalised), third, 3, is_normalised)
    return _halved(x) if stem == "large" else x


def _inception(
    x: keras.KerasTensor, block: _Inception, *, factor: float, is_normalised: bool, wide_kernel: int
) -> keras.KerasTensor:
    """Four parallel branches: windows of three sizes and max pooling. Their channels are concatenated."""

    def convolution(source: keras.KerasTensor, filters: int, kernel_size: int) -> keras.KerasTensor:
        return _convolution(source, scaled(filters, factor), kernel_size, is_normalised)

    branches = [
        convolution(x, block.conv1x1, 1),
        convolution(convolution(x, block.reduce3x3, 1), block.conv3x3, 3),
        convolution(convolution(x, block.reduce5x5, 1), block.conv5x5, wide_kernel),
        convolution(keras.layers.MaxPooling2D(3, strides=1, padding="same")(x), block.projection, 1),
    ]
    return keras.layers.Concatenate()(branches)


def _auxiliary_head(x: keras.KerasTensor, num_classes: int, factor: float, is_normalised: bool, number: int) -> keras.KerasTensor:
    x = pooled(x, 5, strides=3, kind="average")
    x = _convolution(x, scaled(AUXILIARY_FILTERS, factor), 1, is_normalised)
    x = hidden_layers(x, [scaled(AUXILIARY_UNITS, factor)], dropout=AUXILIARY_DROPOUT)
    return logits(x, num_classes, name=f"auxiliary_{number}")


def _halved(x: keras.KerasTensor) -> keras.KerasTensor:
    """Max pooling that covers every pixel of the map, also the last one of an even side."""
    return keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)


def _convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, is_normalised: bool, *, strides: int = 1
) -> keras.KerasTensor:
    return rectified_convolution(x, filters, kernel_size, is_normalised=is_normalised, strides=strides, epsilon=EPSILON)
