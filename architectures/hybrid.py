"""Convolutions that make tokens of small neighbourhoods, then a transformer that mixes them.

The convolutions know that neighbouring pixels belong together, which a transformer on patches has to learn from data; it trains
more easily for that, and on fewer images.
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

    Each convolution of the stem (3x3, normalisation, rectifier) halves the map and doubles the channels; a map of 2x2 stays one,
    for a single token has nothing to attend to, so images of any size fit any stem. A 1x1 convolution then gives each place of
    the map as a token to the encoder, whose layers are those of the vision transformer.

    Args:
        input_shape: (height, width, channels) of a standardised float image.
        num_classes: Number of classes.
        stem_depth: Convolutions of the stem, from 1; one more means a quarter of the tokens.
        stem_width: Filters of the first of them, from 1.
        width: Length of a token's vector; a multiple of `num_heads`, and of 4 with ``positions="sincos"``.
        depth: Transformer layers, from 1.
        num_heads: Attention heads, from 1.
        mlp_ratio: Hidden units of the perceptron per unit of `width`, from 0.1.
        positions: ``learned`` for a vector of each token, ``sincos`` for fixed sines and cosines of row and column (none for a
            class token), ``none`` to leave it to the convolutions, which see the border of the image.
        pooling: ``sequence`` reads the answer from a mean whose weights depend on the tokens, ``mean`` from the plain one,
            ``class_token`` from an extra token.
        dropout: Share of values dropped after the positions and after every dense layer but the projections to queries, keys and
            values; 0 to below 1.
        stochastic_depth_rate: Share of images for which either branch of the last layer is dropped while training, 0 to below 1;
            earlier layers have proportionally less, the first none.

    Raises:
        KnobError: A knob outside what it may be, or heads that do not divide the width.

    Source: The stem from arXiv:2106.14881, section 4; the pooling from arXiv:2104.05704, section 3.1; the sizes are our own.
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
