"""Small convolutional network: blocks of convolutions and pooling, then a dense layer.

The baseline for every other family. Each block repeats convolution, batch normalisation and ReLU, then halves the map. The number
of filters doubles from block to block. `architectures.cnn_se` has the same blocks with squeeze-and-excitation, and no hidden
dense layer. ``variant="fer_guide"`` is the small network of a well-known guide to facial expressions.
"""

from __future__ import annotations

import functools

import keras

from architectures._blocks import (
    CUSTOM,
    FER_GUIDE,
    KERAS_DEFAULTS,
    check_flag,
    check_image_and_classes,
    check_number,
    check_option,
    check_whole,
    hidden_layers,
    logits,
    of_fer_guide,
    plain_block,
    remade,
    squeeze_excitation,
    variants,
)
from sweeper.catalog import architecture
from sweeper.errors import KnobError

VARIANTS = {
    FER_GUIDE: {
        "num_blocks": 3,
        "width": 32,
        "convolutions_per_block": 1,
        "kernel_size": 3,
        "padding": "valid",
        "batch_norm": False,
        "attention": "none",
        "last_pooling": False,
        "dropout": 0.0,
        "head": "flatten",
        "dense_units": 128,
        "dense_dropout": 0.0,
    }
}


@architecture(
    paper="LeCun et al., Gradient-Based Learning Applied to Document Recognition, Proceedings of the IEEE 86(11), 1998",
    tiny={
        "num_blocks": 2,
        "width": 8,
        "convolutions_per_block": 1,
        "dense_units": 16,
        "dropout": 0.0,
        "dense_dropout": 0.0,
    },
    rates=("dropout", "dense_dropout"),
    published=(of_fer_guide(1_142_279),),
)
@variants(VARIANTS)
def cnn(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "custom",
    num_blocks: int = 3,
    width: int = 32,
    convolutions_per_block: int = 2,
    kernel_size: int = 3,
    padding: str = "same",
    batch_norm: bool = True,
    attention: str = "none",
    squeeze_ratio: int = 8,
    last_pooling: bool = True,
    dropout: float = 0.25,
    head: str = "flatten",
    dense_units: int = 128,
    dense_dropout: float = 0.5,
) -> keras.Model:
    """A plain convolutional network; about 0.9 million parameters with its defaults on 48x48x1 and 7 classes.

    A block halves the map only while both sides are at least 2, so images of any size fit any number of blocks. Once a side is 1,
    further blocks keep the size of the map.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        variant: ``fer_guide``, which also starts as Keras's own defaults do, or ``custom`` for none. Other knobs override it.
        num_blocks: Number of blocks, 1 to 8.
        width: Filters of the first block, from 1; they double from block to block.
        convolutions_per_block: Convolutions before each pooling, from 1.
        kernel_size: Side of the convolution window in pixels, from 1.
        padding: ``same`` (a convolution keeps the size of the map), or ``valid`` (a map shrinks by `kernel_size` - 1 at each).
        batch_norm: Whether batch normalisation follows each convolution and the hidden dense layer. Without it these have biases.
        attention: ``none``, or ``se`` for squeeze-and-excitation after the convolutions of each block.
        squeeze_ratio: Channels per hidden unit of ``se``, from 1; at least four units are kept.
        last_pooling: Whether the last block halves the map, too.
        dropout: Share of values dropped after each block, 0 to below 1.
        head: ``flatten`` (every position, then a hidden dense layer) or ``average`` (the average over positions).
        dense_units: Units of the hidden dense layer, from 1; only used with ``head="flatten"``.
        dense_dropout: Share of hidden units dropped, 0 to below 1; only used with ``head="flatten"``.

    Raises:
        KnobError: A knob has a value that is not allowed, or without padding the image is too small for the convolutions.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    check_whole("num_blocks", num_blocks, low=1, high=8)
    check_whole("width", width, low=1)
    check_whole("convolutions_per_block", convolutions_per_block, low=1)
    check_whole("kernel_size", kernel_size, low=1)
    check_option("padding", padding, ("same", "valid"))
    check_flag("batch_norm", batch_norm)
    check_option("attention", attention, ("none", "se"))
    check_whole("squeeze_ratio", squeeze_ratio, low=1)
    check_flag("last_pooling", last_pooling)
    check_number("dropout", dropout, low=0, below=1)
    check_option("head", head, ("flatten", "average"))
    check_whole("dense_units", dense_units, low=1)
    check_number("dense_dropout", dense_dropout, low=0, below=1)

    image = keras.Input(input_shape)
    x = image
    for block in range(num_blocks):
        if padding == "valid":
            _check_size(input_shape, x, block, convolutions_per_block * (kernel_size - 1))
        x = plain_block(
            x,
            width * 2**block,
            convolutions=convolutions_per_block,
            kernel_size=kernel_size,
            padding=padding,
            is_normalised=batch_norm,
            attend=functools.partial(squeeze_excitation, ratio=squeeze_ratio) if attention == "se" else None,
            pools=last_pooling or block < num_blocks - 1,
            dropout=dropout,
        )
    if head == "average":
        x = keras.layers.GlobalAveragePooling2D()(x)
    else:
        x = hidden_layers(x, [dense_units], dropout=dense_dropout, is_normalised=batch_norm)
    model = keras.Model(image, logits(x, num_classes), name="cnn")
    return remade(model, kernel_initializer=KERAS_DEFAULTS["kernel_initializer"]) if variant == FER_GUIDE else model


def _check_size(input_shape: tuple[int, int, int], x: keras.KerasTensor, block: int, needed: int) -> None:
    """Refuse a map of which the convolutions of a block leave nothing."""
    height, width = x.shape[1:3]
    if min(height, width) <= needed:
        raise KnobError(
            f"'padding' is 'valid', and of an image of {input_shape[0]}x{input_shape[1]} pixels {height}x{width} are left before "
            f"block {block + 1}, whose convolutions take {needed}; allowed here: 'same'. Change 'padding', lower 'num_blocks', "
            "'convolutions_per_block' or 'kernel_size', or make the images larger."
        )
