"""Residual network: blocks that learn what to add to their input.

The shortcut around each block lets gradients reach the first layers of a deep network. Without a variant it is a small network
for images of 8x8 to 48x48; ``variant`` gives the networks of the paper.
"""

from __future__ import annotations

import keras

from architectures._blocks import batch_normalization, convolution, large_stem, logits, squeeze_excitation
from architectures._knobs import CUSTOM, check_image_and_classes, check_number, check_option, check_whole, variants, whole_numbers
from sweeper.catalog import Published, architecture

EXPANSION = 4
"""Output channels of a bottleneck block per channel of its 3x3 convolution."""

VARIANTS = {
    "18": {"block": "basic", "blocks_per_stage": "2-2-2-2", "width": 64, "stem": "large"},
    "34": {"block": "basic", "blocks_per_stage": "3-4-6-3", "width": 64, "stem": "large"},
    "50": {"block": "bottleneck", "blocks_per_stage": "3-4-6-3", "width": 64, "stem": "large"},
}
"""Table 1 of the paper."""


def _published(variant: str, parameters: int, macs: int) -> Published:
    return Published(
        arguments={"variant": variant},
        input_shape=(224, 224, 3),
        num_classes=1000,
        parameters=parameters,
        macs=macs,
        source="parameters and multiply-accumulates as listed for the ImageNet models of torchvision",
    )


@architecture(
    paper="He et al., Deep Residual Learning for Image Recognition, arXiv:1512.03385",
    tiny={"blocks_per_stage": "1-1", "width": 8},
    published=(
        _published("18", 11_689_512, 1_810_000_000),
        _published("34", 21_797_672, 3_660_000_000),
        _published("50", 25_557_032, 4_090_000_000),
        Published(
            arguments={"variant": "50", "stride_on": "conv1x1"},
            input_shape=(224, 224, 3),
            num_classes=1000,
            parameters=25_557_032,
            macs=3_800_000_000,
            source="multiply-accumulates from table 1 of the paper; the place of the stride changes no parameter",
        ),
    ),
)
@variants(VARIANTS)
def resnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "custom",
    block: str = "basic",
    blocks_per_stage: str = "2-2-2",
    width: int = 16,
    stride_on: str = "conv3x3",
    stem: str = "small",
    attention: str = "none",
    squeeze_ratio: int = 8,
    dropout: float = 0.0,
) -> keras.Model:
    """A residual network; about 175 thousand parameters with its defaults.

    Every stage but the first halves the map (a side of 1 stays 1) and doubles the filters. Convolutions have no biases, because
    normalisation follows each of them.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        variant: ``18``, ``34`` or ``50`` for the sizes of the paper, where any other knob given beside it wins; ``custom`` for
            none.
        block: ``basic`` (two 3x3 convolutions) or ``bottleneck`` (1x1, 3x3 and 1x1 to four times the filters).
        blocks_per_stage: Blocks of each stage with hyphens between them, for example ``3-4-6-3``.
        width: Filters of the first stage's 3x3 convolutions; doubles from stage to stage.
        stride_on: Which convolution of a bottleneck halves the map: ``conv3x3``, as in most implementations, or ``conv1x1``, the
            first one, as in the models of the paper and in Keras Applications, which is cheaper but never looks at three of
            four positions; unused with ``block="basic"``.
        stem: ``small`` (3x3, keeps the size) or ``large`` (7x7 with stride 2, then 3x3 max pooling with stride 2).
        attention: ``none``, or ``se`` for squeeze-and-excitation at the end of each block's residual branch.
        squeeze_ratio: Channels per hidden unit of that attention, which keeps at least four, from 1; unused without it.
        dropout: Share of values dropped before the head, 0 to below 1.

    Raises:
        KnobError: A knob outside what it may be.

    Source: arXiv:1512.03385, section 3.3 and table 1; attention as in arXiv:1709.01507, figure 3.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    check_option("block", block, ("basic", "bottleneck"))
    check_whole("width", width, low=1)
    check_option("stride_on", stride_on, ("conv3x3", "conv1x1"))
    check_option("stem", stem, ("small", "large"))
    check_option("attention", attention, ("none", "se"))
    check_whole("squeeze_ratio", squeeze_ratio, low=1)
    check_number("dropout", dropout, low=0, below=1)
    stages = whole_numbers("blocks_per_stage", blocks_per_stage, each="stage")

    image = keras.Input(input_shape)
    x = _stem(image, width, stem)
    for stage, num_blocks in enumerate(stages):
        for position in range(num_blocks):
            strides = 2 if stage > 0 and position == 0 else 1
            ratio = squeeze_ratio if attention == "se" else None
            x = _residual_block(x, width * 2**stage, block=block, strides=strides, stride_on=stride_on, squeeze_ratio=ratio)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(image, logits(x, num_classes), name="resnet")


def _stem(image: keras.KerasTensor, width: int, stem: str) -> keras.KerasTensor:
    if stem == "large":
        return large_stem(image, width)
    return keras.layers.ReLU()(batch_normalization(convolution(image, width, 3)))


def _residual_block(
    x: keras.KerasTensor, filters: int, *, block: str, strides: int, stride_on: str, squeeze_ratio: int | None
) -> keras.KerasTensor:
    """Rectified sum of the shortcut and the residual branch; the shortcut is a 1x1 convolution where the shape changes."""
    channels = filters * EXPANSION if block == "bottleneck" else filters
    shortcut = x
    if strides != 1 or x.shape[-1] != channels:
        shortcut = batch_normalization(convolution(x, channels, 1, strides=strides))
    if block == "bottleneck":
        first, second = (strides, 1) if stride_on == "conv1x1" else (1, strides)
        x = keras.layers.ReLU()(batch_normalization(convolution(x, filters, 1, strides=first)))
        x = keras.layers.ReLU()(batch_normalization(convolution(x, filters, 3, strides=second)))
        x = batch_normalization(convolution(x, channels, 1))
    else:
        x = keras.layers.ReLU()(batch_normalization(convolution(x, filters, 3, strides=strides)))
        x = batch_normalization(convolution(x, channels, 3))
    if squeeze_ratio is not None:
        x = squeeze_excitation(x, ratio=squeeze_ratio)
    return keras.layers.ReLU()(keras.layers.Add()([shortcut, x]))
