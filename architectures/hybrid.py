"""Transformer behind a stem of convolutions, which turns small neighbourhoods of pixels into tokens.

Convolutions have locality built in; a transformer on patches has to learn it from data. A hybrid is therefore easier to train,
and needs fewer images.
"""

from __future__ import annotations

import keras

from architectures._blocks import (
    POSITIONS,
    batch_normalization,
    check_heads,
    check_image_and_classes,
    check_number,
    check_option,
    check_positions,
    check_whole,
    convolution,
    encoder,
    logits,
)
from sweeper.catalog import architecture


@architecture(
    paper="Xiao et al., Early Convolutions Help Transformers See Better, arXiv:2106.14881; Hassani et al., Escaping the Big Data "
    "Paradigm with Compact Transformers, arXiv:2104.05704",
    tiny={"stem_depth": 2, "stem_width": 4, "width": 16, "depth": 1, "num_heads": 2, "dropout": 0.0},
    rates=("dropout", "stochastic_depth_rate"),
)
def hybrid(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    stem_depth: int = 2,
    stem_width: int = 24,
    width: int = 64,
    depth: int = 3,
    num_heads: int = 4,
    mlp_ratio: float = 2.0,
    positions: str = "learned",
    pooling: str = "sequence",
    dropout: float = 0.1,
    stochastic_depth_rate: float = 0.0,
) -> keras.Model:
    """A transformer behind a stem of convolutions; about 119 thousand parameters with its defaults on 32x32x3.

    Each convolution of the stem (3x3, batch normalisation, ReLU) halves the map and doubles the channels. A map of 2x2 is not
    halved, because a single token has nothing to attend to, so images of any size fit any stem. Then a 1x1 convolution makes a
    token of each position of the map. The encoder has the layers of the vision transformer.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        stem_depth: Convolutions of the stem, from 1; one more leaves a quarter of the tokens.
        stem_width: Filters of the first convolution, from 1.
        width: Length of a token's vector, from 1; a multiple of `num_heads`, and of 4 with ``positions="sincos"``.
        depth: Transformer layers, from 1.
        num_heads: Attention heads, from 1.
        mlp_ratio: Hidden units of the perceptron per unit of `width`, from 0.1.
        positions: ``learned`` (a vector for each token), ``sincos`` (fixed sines and cosines of row and column, none for a class
            token), ``random`` (as ``learned``, but never trained) or ``none`` (only the convolutions see where the border of the
            image is).
        pooling: How tokens become one vector: ``sequence`` (a mean whose weights depend on the tokens), ``mean`` (the plain mean)
            or ``class_token`` (an extra token).
        dropout: Share of values dropped after the positions and after every dense layer except the projections to queries, keys
            and values, 0 to below 1.
        stochastic_depth_rate: Probability that a branch of the last layer is dropped for an image while training, 0 to below 1.
            It rises linearly from 0 in the first layer.

    Raises:
        KnobError: A knob has a value that is not allowed, or the heads do not divide the width.

    Source: the stem from arXiv:2106.14881, section 4; the pooling from arXiv:2104.05704, section 3.1; the sizes are our own.
    """
    check_image_and_classes(input_shape, num_classes)
    check_whole("stem_depth", stem_depth, low=1)
    check_whole("stem_width", stem_width, low=1)
    check_whole("width", width, low=1)
    check_whole("depth", depth, low=1)
    check_whole("num_heads", num_heads, low=1)
    check_number("mlp_ratio", mlp_ratio, low=0.1)
    check_option("positions", positions, POSITIONS)
    check_option("pooling", pooling, ("sequence", "mean", "class_token"))
    check_number("dropout", dropout, low=0, below=1)
    check_number("stochastic_depth_rate", stochastic_depth_rate, low=0, below=1)
    check_heads(width, num_heads)
    check_positions(positions, width)

    image = x = keras.Input(input_shape)
    for layer in range(stem_depth):
        strides = 2 if max(x.shape[1:3]) > 2 else 1
        x = keras.layers.ReLU()(batch_normalization(convolution(x, stem_width * 2**layer, 3, strides=strides)))
    x = keras.layers.Conv2D(width, 1)(x)
    x = encoder(
        x,
        depth=depth,
        num_heads=num_heads,
        mlp_ratio=mlp_ratio,
        positions=positions,
        pooling=pooling,
        dropout=dropout,
        stochastic_depth_rate=stochastic_depth_rate,
    )
    return keras.Model(image, logits(x, num_classes), name="hybrid")
