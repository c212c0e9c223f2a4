"""Light convolutional network with squeeze-and-excitation, averaged over positions.

It has the blocks of the plain network (`architectures.cnn`), each with a gate that weights its channels. There is no hidden dense
layer: the head averages over positions, so nearly all parameters are in convolutions. It is the usual small network for facial
expressions; ``attention="none"`` is its ablation. ``variant="fer_guide"`` is that of a well-known guide to them.
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
    logits,
    of_fer_guide,
    plain_block,
    remade,
    squeeze_excitation,
    variants,
    whole_numbers,
)
from sweeper.catalog import architecture

VARIANTS = {
    FER_GUIDE: {
        "widths": "32-64",
        "convolutions_per_block": 1,
        "kernel_size": 3,
        "batch_norm": False,
        "attention": "se",
        "squeeze_ratio": 8,
        "last_pooling": False,
        "dropout": 0.0,
        "head_dropout": 0.0,
    }
}


@architecture(
    paper="Hu et al., Squeeze-and-Excitation Networks, arXiv:1709.01507",
    tiny={"widths": "8-16", "dropout": 0.0, "head_dropout": 0.0},
    rates=("dropout", "head_dropout"),
    published=(of_fer_guide(20_659),),
)
@variants(VARIANTS)
def cnn_se(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "custom",
    widths: str = "32-64-128-128",
    convolutions_per_block: int = 1,
    kernel_size: int = 3,
    batch_norm: bool = True,
    attention: str = "se",
    squeeze_ratio: int = 8,
    last_pooling: bool = True,
    dropout: float = 0.1,
    head_dropout: float = 0.3,
) -> keras.Model:
    """A light convolutional network with channel attention; about 250 thousand parameters with its defaults.

    A block is convolutions with batch normalisation and ReLU, then squeeze-and-excitation, 2x2 max pooling and dropout. It pools
    only while both sides of the map are at least 2, so images of any size fit any number of blocks.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        variant: ``fer_guide``, which also starts as Keras's own defaults do, or ``custom`` for none. Other knobs override it.
        widths: Filters of each block, joined by hyphens, for example ``32-64-128``.
        convolutions_per_block: Convolutions of each block, from 1.
        kernel_size: Side of the convolution window in pixels, from 1.
        batch_norm: Whether batch normalisation follows each convolution. Without it these have biases.
        attention: ``se`` for squeeze-and-excitation after the convolutions of each block, or ``none``.
        squeeze_ratio: Channels per hidden unit of ``se``, from 1; at least four units are kept.
        last_pooling: Whether the last block halves the map, too.
        dropout: Share of values dropped after each block, 0 to below 1.
        head_dropout: Share of averaged channels dropped before the logits, 0 to below 1.

    Raises:
        KnobError: A knob has a value that is not allowed.

    Source: arXiv:1709.01507, section 3, with the gate after the convolutions of a block.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    filters_of_blocks = whole_numbers("widths", widths, each="block")
    check_whole("convolutions_per_block", convolutions_per_block, low=1)
    check_whole("kernel_size", kernel_size, low=1)
    check_flag("batch_norm", batch_norm)
    check_option("attention", attention, ("se", "none"))
    check_whole("squeeze_ratio", squeeze_ratio, low=1)
    check_flag("last_pooling", last_pooling)
    check_number("dropout", dropout, low=0, below=1)
    check_number("head_dropout", head_dropout, low=0, below=1)

    image = keras.Input(input_shape)
    x = image
    for number, filters in enumerate(filters_of_blocks, start=1):
        x = plain_block(
            x,
            filters,
            convolutions=convolutions_per_block,
            kernel_size=kernel_size,
            is_normalised=batch_norm,
            attend=functools.partial(squeeze_excitation, ratio=squeeze_ratio) if attention == "se" else None,
            pools=last_pooling or number < len(filters_of_blocks),
            dropout=dropout,
        )
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(head_dropout)(x)
    model = keras.Model(image, logits(x, num_classes), name="cnn_se")
    return remade(model, kernel_initializer=KERAS_DEFAULTS["kernel_initializer"]) if variant == FER_GUIDE else model
