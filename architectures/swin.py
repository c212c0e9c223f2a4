"""Hierarchical transformer whose attention stays within windows that are shifted from layer to layer.

Its cost grows with the number of patches instead of the square of it, and its map shrinks from stage to stage as in a network
of convolutions. Without a variant it is a small network for images of 8x8 to 48x48; ``variant`` gives the networks of the paper.
"""

from __future__ import annotations

import keras

from architectures._blocks import depth_rates, layer_norm, logits
from architectures._knobs import (
    CUSTOM,
    check_flag,
    check_image_and_classes,
    check_number,
    check_option,
    check_whole,
    of_imagenet,
    variants,
    whole_numbers,
)
from architectures._transformer import check_heads, encoder_layer
from architectures._windows import MergePatches, WindowAttention
from sweeper.catalog import architecture
from sweeper.errors import KnobError

EPSILON = 1e-5
"""Of layer normalisation, as in the reference implementation."""


def _sizes(depths: str, width: int, num_heads: str, stochastic_depth_rate: float) -> dict[str, str | int | float | bool]:
    return {
        "patch_size": 4,
        "window_size": 7,
        "shift_windows": True,
        "relative_position_bias": True,
        "merging": "concatenation",
        "depths": depths,
        "width": width,
        "num_heads": num_heads,
        "mlp_ratio": 4.0,
        "dropout": 0.0,
        "stochastic_depth_rate": stochastic_depth_rate,
    }


VARIANTS = {
    "tiny": _sizes("2-2-6-2", 96, "3-6-12-24", 0.2),
    "small": _sizes("2-2-18-2", 96, "3-6-12-24", 0.3),
    "base": _sizes("2-2-18-2", 128, "4-8-16-32", 0.5),
}
"""Section 3.3 of the paper: heads of 32 channels everywhere; stochastic depth as in its appendix A2.1."""


_SOURCE = (
    "parameters as listed for the ImageNet models of torchvision; multiply-accumulates from table 1 of the paper, "
    "which counts both products of attention"
)


@architecture(
    paper="Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, arXiv:2103.14030",
    tiny={
        "patch_size": 2,
        "window_size": 2,
        "depths": "1-2-1",
        "width": 8,
        "num_heads": "1-2-4",
        "dropout": 0.0,
        "stochastic_depth_rate": 0.0,
    },
    published=(
        of_imagenet("tiny", 28_288_354, 4_500_000_000, source=_SOURCE),
        of_imagenet("small", 49_606_258, 8_700_000_000, source=_SOURCE),
        of_imagenet("base", 87_768_224, 15_400_000_000, source=_SOURCE),
    ),
)
@variants(VARIANTS)
def swin(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "custom",
    patch_size: int = 2,
    window_size: int = 4,
    shift_windows: bool = True,
    relative_position_bias: bool = True,
    merging: str = "concatenation",
    depths: str = "2-2-2",
    width: int = 24,
    num_heads: str = "2-4-8",
    mlp_ratio: float = 2.0,
    dropout: float = 0.0,
    stochastic_depth_rate: float = 0.1,
) -> keras.Model:
    """A Swin transformer; about 223 thousand parameters with its defaults on 32x32x3.

    Images of any size from one patch on fit: sides that no whole number of patches, windows or pairs of tokens fills are padded
    below and on the right, and no token attends to padding. A window is never larger than the map; along a side that one window
    covers nothing is shifted. A side of 1 stays 1 from stage to stage.

    Args:
        input_shape: (height, width, channels) of a standardised float image; both sides at least `patch_size`.
        num_classes: Number of classes.
        variant: ``tiny``, ``small`` or ``base`` for the sizes of the paper, where any other knob given beside it wins; ``custom``
            for none.
        patch_size: Side of a patch in pixels, from 1.
        window_size: Side of a window in tokens, from 1.
        shift_windows: Whether the windows of every other layer of a stage are shifted by half their side; without it tokens of
            different windows only meet by merging.
        relative_position_bias: Whether attention knows the distance of two tokens in rows and columns; without it no token knows
            where in its window it is.
        merging: What makes one token of 2x2 between two stages: ``concatenation`` of their channels, or ``average``; then
            normalisation and a dense layer to twice the channels.
        depths: Layers of each stage with hyphens between them, for example ``2-2-6-2``.
        width: Channels of the first stage, from 1; each further stage has twice as many.
        num_heads: Heads of attention of each stage with hyphens between them, as many numbers as `depths` has; each divides the
            channels of its stage.
        mlp_ratio: Hidden units of the perceptron per channel, from 0.1.
        dropout: Share of values dropped after the patch embedding and after every dense layer but the projections to queries,
            keys and values, and those of merging; 0 to below 1.
        stochastic_depth_rate: Share of images for which either branch of the last layer is dropped while training, 0 to below 1;
            earlier layers have proportionally less, the first none.

    Raises:
        KnobError: A knob outside what it may be, an image smaller than a patch, or heads that do not fit the stages.

    Source: arXiv:2103.14030, section 3, and its reference implementation, which refuses sides that are not padded here.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    check_whole("patch_size", patch_size, low=1)
    check_whole("window_size", window_size, low=1)
    check_flag("shift_windows", shift_windows)
    check_flag("relative_position_bias", relative_position_bias)
    check_option("merging", merging, ("concatenation", "average"))
    stages = whole_numbers("depths", depths, each="stage")
    check_whole("width", width, low=1)
    heads = whole_numbers("num_heads", num_heads, each="stage")
    check_number("mlp_ratio", mlp_ratio, low=0.1)
    check_number("dropout", dropout, low=0, below=1)
    check_number("stochastic_depth_rate", stochastic_depth_rate, low=0, below=1)
    _check_stages(depths, stages, num_heads, heads, width)
    _check_image(input_shape, patch_size)

    image = keras.Input(input_shape)
    x = _embed_patches(image, patch_size, width)
    x = keras.layers.Dropout(dropout)(x)
    drop_rates = iter(depth_rates(stochastic_depth_rate, sum(stages)))
    for stage, (num_layers, stage_heads) in enumerate(zip(stages, heads, strict=True)):
        if stage > 0:
            x = _merge(x, merging)
        for layer in range(num_layers):
            x = encoder_layer(
                x,
                WindowAttention(
                    stage_heads, window_size, shift=shift_windows and layer % 2 == 1, has_position_bias=relative_position_bias
                ),
                mlp_units=max(1, round(x.shape[-1] * mlp_ratio)),
                dropout=dropout,
                drop_rate=next(drop_rates),
                epsilon=EPSILON,
            )
    x = keras.layers.GlobalAveragePooling2D()(layer_norm(x, epsilon=EPSILON))
    return keras.Model(image, logits(x, num_classes), name="swin")


def _embed_patches(image: keras.KerasTensor, patch_size: int, width: int) -> keras.KerasTensor:
    """Each patch as a token; an image that no whole number of patches fills is padded below and on the right."""
    padding = [(0, -side % patch_size) for side in image.shape[1:3]]
    if padding != [(0, 0), (0, 0)]:
        image = keras.layers.ZeroPadding2D(padding)(image)
    return layer_norm(keras.layers.Conv2D(width, patch_size, strides=patch_size)(image), epsilon=EPSILON)


def _merge(x: keras.KerasTensor, merging: str) -> keras.KerasTensor:
    """Twice the channels on half the sides."""
    channels = x.shape[-1]
    # Keras averages over what there is of a window at the border of an odd map, not over padding.
    x = MergePatches()(x) if merging == "concatenation" else keras.layers.AveragePooling2D(2, padding="same")(x)
    return keras.layers.Dense(2 * channels, use_bias=False)(layer_norm(x, epsilon=EPSILON))


def _check_stages(depths: str, stages: list[int], num_heads: str, heads: list[int], width: int) -> None:
    if len(heads) != len(stages):
        raise KnobError(
            f"'num_heads' is {num_heads!r} and 'depths' is {depths!r}; allowed: as many numbers in one as in the other, one a "
            f"stage. Change one of them."
        )
    for stage, stage_heads in enumerate(heads):
        check_heads(width * 2**stage, stage_heads, where=f" in stage {stage + 1} of {num_heads!r}")


def _check_image(input_shape: tuple[int, int, int], patch_size: int) -> None:
    height, width, _ = input_shape
    if min(height, width) < patch_size:
        raise KnobError(
            f"'patch_size' is {patch_size}, and an image of {height}x{width} pixels holds no such patch; allowed for this "
            f"image: 1 to {min(height, width)}. Change 'patch_size', or make the images at least {patch_size}x{patch_size}."
        )
