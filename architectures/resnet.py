"""Residual network: blocks that learn what to add to their input.

The shortcut around each block lets gradients reach the first layers of a deep network. ``skip=False`` removes it, which shows its
effect. The defaults are a small network for images of 8x8 to 48x48; ``variant`` gives the networks of the paper, and that of a
well-known guide to facial expressions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras

from architectures._blocks import (
    ATTENTION_KINDS,
    CUSTOM,
    FER_GUIDE,
    KERAS_DEFAULTS,
    LayerScale,
    apply_attention,
    batch_normalization,
    check_flag,
    check_image_and_classes,
    check_number,
    check_option,
    check_whole,
    convolution,
    depth_rates,
    depthwise_convolution,
    halving_pool,
    layer_norm,
    logits,
    of_fer_guide,
    of_imagenet,
    remade,
    stochastic_depth,
    variants,
    whole_numbers,
)
from sweeper.catalog import architecture
from sweeper.errors import KnobError

EXPANSION = 4
"""Output channels of a bottleneck block per channel of its 3x3 convolution."""

VARIANTS = {
    "18": {"block": "basic", "blocks_per_stage": "2-2-2-2", "width": 64, "stem": "large"},
    "34": {"block": "basic", "blocks_per_stage": "3-4-6-3", "width": 64, "stem": "large"},
    "50": {"block": "bottleneck", "blocks_per_stage": "3-4-6-3", "width": 64, "stem": "large"},
    "101": {"block": "bottleneck", "blocks_per_stage": "3-4-23-3", "width": 64, "stem": "large"},
    "152": {"block": "bottleneck", "blocks_per_stage": "3-8-36-3", "width": 64, "stem": "large"},
    FER_GUIDE: {"block": "basic", "blocks_per_stage": "1-1-1", "width": 32, "stem": "plain"},
}
"""Table 1 of the paper, and a guide's."""


_TABLE_1 = "multiply-accumulates from table 1 of the paper; the place of the stride changes no parameter"


@architecture(
    paper="He et al., Deep Residual Learning for Image Recognition, arXiv:1512.03385",
    tiny={"blocks_per_stage": "1-1", "width": 8},
    rates=("stochastic_depth_rate", "dropout"),
    published=(
        of_imagenet("18", 11_689_512, 1_810_000_000),
        of_imagenet("34", 21_797_672, 3_660_000_000),
        of_imagenet("50", 25_557_032, 4_090_000_000),
        of_imagenet("101", 44_549_160, 7_800_000_000),
        of_imagenet("152", 60_192_808, 11_510_000_000),
        of_imagenet("50", 25_557_032, 3_800_000_000, stride_on="conv1x1", source=_TABLE_1),
        of_imagenet("101", 44_549_160, 7_600_000_000, stride_on="conv1x1", source=_TABLE_1),
        of_imagenet("152", 60_192_808, 11_300_000_000, stride_on="conv1x1", source=_TABLE_1),
        of_fer_guide(308_295),
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
    kernel: str = "3x3",
    stride_on: str = "conv3x3",
    stem: str = "small",
    norm: str = "batch",
    activation: str = "relu",
    attention: str = "none",
    squeeze_ratio: int = 8,
    skip: bool = True,
    stochastic_depth_rate: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """A residual network; about 175 thousand parameters with its defaults.

    Every stage but the first halves the map and doubles the filters; a side of 1 stays 1. Convolutions have biases only where no
    normalisation follows.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        variant: ``18``, ``34``, ``50``, ``101`` or ``152`` for the sizes of the paper, ``fer_guide`` for that of the guide, or
            ``custom`` for none. Other knobs override the variant. ``fer_guide`` has Keras's own defaults: biases beside
            normalisation, its momentum of 0.99 and epsilon of 0.001, kernels that start smaller, and with stride 2 less padding
            on one side.
        block: ``basic`` (two 3x3 convolutions) or ``bottleneck`` (1x1, 3x3 and 1x1 to four times the filters).
        blocks_per_stage: Blocks of each stage, joined by hyphens, for example ``3-4-6-3``.
        width: Filters of the first stage's 3x3 convolutions, from 1; they double from stage to stage.
        kernel: ``3x3``, or ``7x7_depthwise`` for depthwise 7x7 convolutions in place of the 3x3 ones. A 1x1 convolution mixes the
            channels before or after each: those of the bottleneck, or an additional one in a basic block.
        stride_on: Which convolution of a bottleneck halves the map. ``conv3x3`` is usual. ``conv1x1``, the first one, is that of
            the paper's models and of Keras Applications; it is cheaper, but ignores three of four positions. Unused with
            ``block="basic"``.
        stem: ``small`` (3x3, keeps the size), ``plain`` (the same with biases and without normalisation) or ``large`` (7x7 with
            stride 2, then 3x3 max pooling with stride 2).
        norm: ``batch``; ``layer`` (over the channels of each position); or ``none``, where a learned number, initially one over
            the square root of the number of blocks, scales each residual branch instead.
        activation: ``relu``, ``gelu`` or ``swish``, everywhere except in attention.
        attention: ``none``; ``se`` (squeeze-and-excitation), ``eca`` (efficient channel attention) or ``cbam`` (channels, then
            positions) at the end of each block's residual branch; ``bam`` (both at once) between two stages.
        squeeze_ratio: Channels per hidden unit of ``se``, ``cbam`` and ``bam``, from 1; at least four units are kept.
        skip: Whether blocks have shortcuts. Without them it is the plain network of the paper. It is otherwise the same, but has
            no projections of the shortcuts and, with ``norm="none"``, no scales of the branches.
        stochastic_depth_rate: Probability that the residual branch of the last block is dropped for an image while training, 0
            to below 1. It rises linearly from 0 in the first block, unlike in the paper. Unused without ``skip``.
        dropout: Share of values dropped before the head, 0 to below 1.

    Raises:
        KnobError: A knob has a value that is not allowed, or ``attention="bam"`` with only one stage.

    Source: arXiv:1512.03385, section 3.3 and table 1; attention as in arXiv:1709.01507, figure 3, and in `architectures._blocks`;
        scales in place of normalisation as in SkipInit, arXiv:2002.10444; stochastic depth as in arXiv:1603.09382, section 3.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    check_option("block", block, ("basic", "bottleneck"))
    stages = whole_numbers("blocks_per_stage", blocks_per_stage, each="stage")
    check_whole("width", width, low=1)
    check_option("kernel", kernel, ("3x3", "7x7_depthwise"))
    check_option("stride_on", stride_on, ("conv3x3", "conv1x1"))
    check_option("stem", stem, ("small", "plain", "large"))
    check_option("norm", norm, ("batch", "layer", "none"))
    check_option("activation", activation, ("relu", "gelu", "swish"))
    check_option("attention", attention, ATTENTION_KINDS)
    check_whole("squeeze_ratio", squeeze_ratio, low=1)
    check_flag("skip", skip)
    check_number("stochastic_depth_rate", stochastic_depth_rate, low=0, below=1)
    check_number("dropout", dropout, low=0, below=1)
    if attention == "bam" and len(stages) == 1:
        raise KnobError(
            f"'attention' is 'bam', which needs two stages, and 'blocks_per_stage' is {blocks_per_stage!r}; allowed: two stages "
            "or more, or another attention. Change 'blocks_per_stage' or 'attention'."
        )

    style = _Style(
        block=block,
        kernel=kernel,
        stride_on=stride_on,
        norm=norm,
        activation=activation,
        attention=attention,
        squeeze_ratio=squeeze_ratio,
        skip=skip,
        num_blocks=sum(stages),
        pads_equally=variant != FER_GUIDE,
    )
    image = keras.Input(input_shape)
    x = _stem(image, width, stem, style)
    drop_rates = iter(depth_rates(stochastic_depth_rate, style.num_blocks))
    for stage, num_blocks in enumerate(stages):
        x = _stage(x, stage, num_blocks, width, style, drop_rates)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(dropout)(x)
    model = keras.Model(image, logits(x, num_classes), name="resnet")
    return remade(model, **KERAS_DEFAULTS) if variant == FER_GUIDE else model


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Style:
    """What all blocks have in common: the knobs, the number of blocks, and the layers that the knobs choose."""

    block: str
    kernel: str
    stride_on: str
    norm: str
    activation: str
    attention: str
    squeeze_ratio: int
    skip: bool
    num_blocks: int
    pads_equally: bool

    def convolve(self, x: Any, filters: int, kernel_size: int, *, strides: int = 1) -> Any:
        """Convolution and normalisation."""
        has_bias, pads_equally = self.norm == "none", self.pads_equally
        x = convolution(x, filters, kernel_size, strides=strides, use_bias=has_bias, pads_equally=pads_equally)
        return self._normalize(x)

    def filter_channels(self, x: Any, *, strides: int) -> Any:
        """Depthwise 7x7 convolution and normalisation."""
        return self._normalize(depthwise_convolution(x, 7, strides=strides, use_bias=self.norm == "none"))

    def activate(self, x: Any) -> Any:
        """The activation."""
        return keras.layers.Activation(self.activation)(x)

    def attend(self, x: Any) -> Any:
        """The attention."""
        return apply_attention(x, self.attention, ratio=self.squeeze_ratio, batch_norm=self.norm == "batch")

    def _normalize(self, x: Any) -> Any:
        if self.norm == "batch":
            return batch_normalization(x)
        return layer_norm(x) if self.norm == "layer" else x


def _stem(image: Any, width: int, stem: str, style: _Style) -> Any:
    if stem == "large":
        return halving_pool(style.activate(style.convolve(image, width, 7, strides=2)))
    if stem == "plain":
        return style.activate(convolution(image, width, 3, use_bias=True))
    return style.activate(style.convolve(image, width, 3))


def _stage(x: Any, stage: int, num_blocks: int, width: int, style: _Style, drop_rates: Iterator[float]) -> Any:
    if style.attention == "bam" and stage > 0:
        x = style.attend(x)
    for number in range(num_blocks):
        strides = 2 if stage > 0 and number == 0 else 1
        x = _block(x, width * 2**stage, style, strides=strides, drop_rate=next(drop_rates))
    return x


def _block(x: Any, filters: int, style: _Style, *, strides: int, drop_rate: float) -> Any:
    """The activation of shortcut plus residual branch; the shortcut is a 1x1 convolution where the shape changes."""
    channels = filters * EXPANSION if style.block == "bottleneck" else filters
    shortcut = x
    if style.skip and (strides != 1 or x.shape[-1] != channels):
        shortcut = style.convolve(x, channels, 1, strides=strides)
    x = (_bottleneck_branch if style.block == "bottleneck" else _basic_branch)(x, filters, style, strides)
    if style.attention != "bam":
        x = style.attend(x)
    if style.skip:
        if style.norm == "none":
            x = LayerScale(style.num_blocks**-0.5, is_shared=True)(x)
        x = keras.layers.Add()([shortcut, stochastic_depth(x, drop_rate)])
    return style.activate(x)


def _bottleneck_branch(x: Any, filters: int, style: _Style, strides: int) -> Any:
    first, second = (strides, 1) if style.stride_on == "conv1x1" else (1, strides)
    x = style.activate(style.convolve(x, filters, 1, strides=first))
    is_depthwise = style.kernel == "7x7_depthwise"
    x = style.filter_channels(x, strides=second) if is_depthwise else style.convolve(x, filters, 3, strides=second)
    return style.convolve(style.activate(x), filters * EXPANSION, 1)


def _basic_branch(x: Any, filters: int, style: _Style, strides: int) -> Any:
    return _spatial(style.activate(_spatial(x, filters, style, strides)), filters, style, 1)


def _spatial(x: Any, filters: int, style: _Style, strides: int) -> Any:
    """A 3x3 convolution, or a depthwise 7x7 convolution and a 1x1 convolution in its place."""
    if style.kernel == "3x3":
        return style.convolve(x, filters, 3, strides=strides)
    return style.convolve(style.activate(style.filter_channels(x, strides=strides)), filters, 1)
