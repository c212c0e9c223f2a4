"""Convolutional network built like a transformer: large depthwise convolutions, then a perceptron on each position.

A block filters every channel on its own with a large window, normalises each position over its channels, and passes it through a
perceptron. A block has one normalisation and one activation. There are no statistics over the batch, so small batches train as
well as large ones. The defaults are a small network for images of 8x8 to 48x48; ``variant`` gives the networks of the paper.
"""

from __future__ import annotations

import keras

from architectures._blocks import (
    CUSTOM,
    LayerScale,
    check_image_and_classes,
    check_number,
    check_option,
    check_whole,
    depth_rates,
    fan_out,
    layer_norm,
    logits,
    of_imagenet,
    stochastic_depth,
    variants,
    whole_numbers,
)
from sweeper.catalog import architecture
from sweeper.errors import KnobError

EXPANSION = 4
"""Hidden units of a block's perceptron, per channel."""

PATCHES = {"patch2": 2, "patch4": 4}
"""Side of the patches of each stem of patches, in pixels."""


def _sizes(depths: str, widths: str, stochastic_depth_rate: float) -> dict[str, str | int | float]:
    return {
        "depths": depths,
        "widths": widths,
        "kernel_size": 7,
        "layer_scale": 1e-6,
        "stochastic_depth_rate": stochastic_depth_rate,
        "stem": "patch4",
    }


VARIANTS = {
    "tiny": _sizes("3-3-9-3", "96-192-384-768", 0.1),
    "small": _sizes("3-3-27-3", "96-192-384-768", 0.4),
    "base": _sizes("3-3-27-3", "128-256-512-1024", 0.5),
    "large": _sizes("3-3-27-3", "192-384-768-1536", 0.5),
}
"""Section 3 of the paper; layer scale and stochastic depth as for its training on ImageNet-1K (table 5)."""


@architecture(
    paper="Liu et al., A ConvNet for the 2020s, arXiv:2201.03545",
    tiny={"depths": "1-1-1", "widths": "8-16-16", "kernel_size": 3, "stochastic_depth_rate": 0.0},
    rates=("stochastic_depth_rate",),
    published=(
        of_imagenet("tiny", 28_589_128, 4_460_000_000),
        of_imagenet("small", 50_223_688, 8_680_000_000),
        of_imagenet("base", 88_591_464, 15_360_000_000),
        of_imagenet("large", 197_767_336, 34_360_000_000),
    ),
)
@variants(VARIANTS)
def convnext(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "custom",
    depths: str = "2-2-2",
    widths: str = "24-48-96",
    kernel_size: int = 7,
    layer_scale: float = 0.0,
    stochastic_depth_rate: float = 0.0,
    stem: str = "patch2",
) -> keras.Model:
    """A ConvNeXt; about 237 thousand parameters with its defaults.

    Every stage but the first begins with 2x2 patches, which halve the map, rounded down as in the paper's implementation. A side
    shorter than a patch is padded with zeros to one patch, so images of any size fit, with the same parameters.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        variant: ``tiny``, ``small``, ``base`` or ``large`` for the sizes of the paper, or ``custom`` for none. Other knobs
            override the variant.
        depths: Blocks of each stage, joined by hyphens, for example ``3-3-9-3``.
        widths: Channels of each stage, joined by hyphens, for example ``96-192-384-768``; as many numbers as in `depths`.
        kernel_size: Side of the depthwise windows in pixels, odd, 3 to 11.
        layer_scale: Initial value of the learned factors at the end of each residual branch, 0 to 1; with 0 there are none. The
            paper has 1e-6, so that a network of dozens of blocks starts as its shortcuts alone. A network of a few blocks does
            not need that: it learns small digits equally fast with and without it.
        stochastic_depth_rate: Probability that the residual branch of the last block is dropped for an image while training, 0
            to below 1. It rises linearly from 0 in the first block.
        stem: ``small`` (3x3, keeps the size), ``patch2`` or ``patch4`` (patches of 2x2 or 4x4 pixels that do not overlap).

    Raises:
        KnobError: A knob has a value that is not allowed, or `depths` and `widths` differ in how many numbers they have.

    Source: arXiv:2201.03545, section 2 and figure 4; layer scale as in arXiv:2103.17239, stochastic depth as in
        arXiv:1603.09382, section 3.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    stages = whole_numbers("depths", depths, each="stage")
    channels = whole_numbers("widths", widths, each="stage")
    if len(stages) != len(channels):
        raise KnobError(
            f"'depths' is {depths!r} and 'widths' is {widths!r}, {len(stages)} stages and {len(channels)}; allowed: as many "
            "numbers in each. Change 'depths' or 'widths'."
        )
    check_whole("kernel_size", kernel_size, low=3, high=11)
    if kernel_size % 2 == 0:
        raise KnobError(f"'kernel_size' is {kernel_size}; allowed: an odd number from 3 to 11. Change 'kernel_size'.")
    check_number("layer_scale", layer_scale, low=0, high=1)
    check_number("stochastic_depth_rate", stochastic_depth_rate, low=0, below=1)
    check_option("stem", stem, ("small", *PATCHES))

    image = keras.Input(input_shape)
    x = layer_norm(_stem(image, channels[0], stem))
    drop_rates = iter(depth_rates(stochastic_depth_rate, sum(stages)))
    for stage, (num_blocks, width) in enumerate(zip(stages, channels, strict=True)):
        if stage > 0:
            x = _patches(layer_norm(x), width, 2)
        for _ in range(num_blocks):
            x = _block(x, kernel_size=kernel_size, layer_scale=layer_scale, drop_rate=next(drop_rates))
    x = layer_norm(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, logits(x, num_classes), name="convnext")


def _stem(image: keras.KerasTensor, width: int, stem: str) -> keras.KerasTensor:
    if stem == "small":
        return keras.layers.Conv2D(width, 3, padding="same")(image)
    return _patches(image, width, PATCHES[stem])


def _patches(x: keras.KerasTensor, width: int, size: int) -> keras.KerasTensor:
    """One vector for each patch of `size` positions a side; the last rows and columns that fill no patch are left out."""
    missing = [max(0, size - side) for side in x.shape[1:3]]
    if any(missing):
        x = keras.layers.ZeroPadding2D([(0, number) for number in missing])(x)
    return keras.layers.Conv2D(width, size, strides=size)(x)


def _block(x: keras.KerasTensor, *, kernel_size: int, layer_scale: float, drop_rate: float) -> keras.KerasTensor:
    """A residual block: a depthwise convolution mixes positions, then a perceptron mixes the channels of each position."""
    width = x.shape[-1]
    branch = keras.layers.DepthwiseConv2D(kernel_size, padding="same", depthwise_initializer=fan_out())(x)
    branch = keras.layers.Dense(EXPANSION * width, activation="gelu")(layer_norm(branch))
    branch = keras.layers.Dense(width)(branch)
    if layer_scale > 0:
        branch = LayerScale(layer_scale)(branch)
    return keras.layers.Add()([x, stochastic_depth(branch, drop_rate)])
