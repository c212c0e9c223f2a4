"""Vision transformer: the image as a sequence of patches, mixed by self-attention.

It has no built-in locality, as convolutions have, so it needs more data or stronger regularisation. The defaults are a miniature
for images of 8x8 to 48x48; ``variant`` gives the published sizes, and the network of a well-known guide to facial expressions.
"""

from __future__ import annotations

import math

import keras

from architectures._blocks import (
    CUSTOM,
    FER_GUIDE,
    KERAS_DEFAULTS,
    POSITIONS,
    TORCHVISION,
    check_flag,
    check_heads,
    check_image_and_classes,
    check_number,
    check_option,
    check_positions,
    check_whole,
    encoder,
    logits,
    of_fer_guide,
    of_imagenet,
    remade,
    variants,
)
from sweeper.catalog import architecture
from sweeper.errors import KnobError

_DEIT_REGULARISED = {"dropout": 0.0, "stochastic_depth_rate": 0.1}

VARIANTS: dict[str, dict[str, str | int | float]] = {
    "tiny/16": {"patch_size": 16, "width": 192, "depth": 12, "num_heads": 3, "mlp_ratio": 4.0, **_DEIT_REGULARISED},
    "small/16": {"patch_size": 16, "width": 384, "depth": 12, "num_heads": 6, "mlp_ratio": 4.0, **_DEIT_REGULARISED},
    "base/16": {"patch_size": 16, "width": 768, "depth": 12, "num_heads": 12, "mlp_ratio": 4.0},
    "large/16": {"patch_size": 16, "width": 1024, "depth": 24, "num_heads": 16, "mlp_ratio": 4.0},
    "mini": {
        "patch_size": 4,
        "width": 64,
        "depth": 4,
        "num_heads": 4,
        "mlp_ratio": 2.0,
        "pooling": "class_token",
        "head": "linear",
        "dropout": 0.1,
    },
    FER_GUIDE: {
        "patch_size": 6,
        "width": 64,
        "depth": 2,
        "num_heads": 4,
        "head_size": 64,
        "mlp_ratio": 2.0,
        "activation": "relu",
        "norm_first": False,
        "pooling": "mean",
        "head": "linear",
        "dropout": 0.0,
    },
}
"""Base and large: table 1 of the paper; tiny and small: table 1 of arXiv:2012.12877; mini: the same sizes as the defaults."""

GUIDE_CHANNELS = 3
"""To which a 1x1 convolution maps the guide's grey images before they are cut into patches."""

_DEIT = "arXiv:2012.12877, table 5, and its reference implementation; both products of attention are counted"


@architecture(
    paper="Dosovitskiy et al., An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale, arXiv:2010.11929",
    tiny={"patch_size": 4, "width": 16, "depth": 1, "num_heads": 2, "dropout": 0.0},
    rates=("dropout", "stochastic_depth_rate"),
    published=(
        # The published 1.3 G is itself rounded by up to 4 %.
        of_imagenet("tiny/16", 5_717_416, 1_300_000_000, macs_tolerance=0.04, source=_DEIT),
        of_imagenet("small/16", 22_050_664, 4_600_000_000, source=_DEIT),
        of_imagenet("base/16", 86_567_656, 17_600_000_000, source=_DEIT),
        of_imagenet("large/16", 304_326_632, 61_550_000_000, source=f"{TORCHVISION}, which counts both products of attention"),
        of_fer_guide(173_837, positions="random"),
        of_fer_guide(177_933),
    ),
)
@variants(VARIANTS)
def vit(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "custom",
    patch_size: int = 4,
    width: int = 64,
    depth: int = 4,
    num_heads: int = 4,
    head_size: int = 0,
    mlp_ratio: float = 2.0,
    activation: str = "gelu",
    norm_first: bool = True,
    positions: str = "learned",
    pooling: str = "class_token",
    head: str = "linear",
    head_units: int = 64,
    dropout: float = 0.1,
    stochastic_depth_rate: float = 0.0,
) -> keras.Model:
    """A vision transformer; about 145 thousand parameters with its defaults on 48x48x1.

    Attention runs over all patches, so a model takes images of one size.

    Args:
        input_shape: (height, width, channels) of a standardised float image; both sides multiples of `patch_size`.
        num_classes: Number of classes.
        variant: ``tiny/16``, ``small/16``, ``base/16`` or ``large/16`` for published sizes, ``mini`` for a small one for images
            of 48x48, ``fer_guide`` for that of the guide, or ``custom`` for none. Other knobs override the variant.
            ``fer_guide`` maps images to three channels before it cuts them into patches, and has Keras's own defaults: an epsilon
            of 0.001 and smaller initial kernels.
        patch_size: Side of a patch in pixels, from 1.
        width: Length of a token's vector, from 1; a multiple of `num_heads` where `head_size` is 0, and of 4 with
            ``positions="sincos"``.
        depth: Transformer layers, from 1.
        num_heads: Attention heads, from 1.
        head_size: Length of each head's queries, keys and values, from 1; 0 for `width` by `num_heads`.
        mlp_ratio: Hidden units of the perceptron per unit of `width`, from 0.1.
        activation: ``gelu`` or ``relu`` in the perceptron.
        norm_first: Whether normalisation comes before attention and before the perceptron of each layer, as in the paper
            (pre-norm). Otherwise it comes after each sum (post-norm), as in the first transformers.
        positions: ``learned`` (a vector for each patch and the class token), ``sincos`` (fixed sines and cosines of row and
            column, none for the class token), ``random`` (as ``learned``, but never trained) or ``none`` (the network does not
            know where a patch was).
        pooling: How tokens become one vector: ``class_token`` (an extra token) or ``mean`` (the mean of all patches).
        head: ``linear``, or ``hidden`` for one hidden layer with tanh before the logits.
        head_units: Units of that hidden layer, from 1; only used with ``head="hidden"``.
        dropout: Share of values dropped after the positions and after every dense layer except the projections to queries, keys
            and values, 0 to below 1.
        stochastic_depth_rate: Probability that a branch of the last layer is dropped for an image while training, 0 to below 1.
            It rises linearly from 0 in the first layer.

    Raises:
        KnobError: A knob has a value that is not allowed, a side of the image is no multiple of the patch size, or the heads do
            not divide the width.

    Source: arXiv:2010.11929, section 3.1 and appendix B.1; fixed positions as in arXiv:2205.01580; stochastic depth as in
        arXiv:2012.12877, section 6; post-norm as in arXiv:1706.03762, section 3.1.
    """
    check_image_and_classes(input_shape, num_classes)
    check_option("variant", variant, (CUSTOM, *VARIANTS))
    check_whole("patch_size", patch_size, low=1)
    check_whole("width", width, low=1)
    check_whole("depth", depth, low=1)
    check_whole("num_heads", num_heads, low=1)
    check_whole("head_size", head_size, low=0)
    check_number("mlp_ratio", mlp_ratio, low=0.1, below=math.inf)
    check_option("activation", activation, ("gelu", "relu"))
    check_flag("norm_first", norm_first)
    check_option("positions", positions, POSITIONS)
    check_option("pooling", pooling, ("class_token", "mean"))
    check_option("head", head, ("linear", "hidden"))
    check_whole("head_units", head_units, low=1)
    check_number("dropout", dropout, low=0, below=1)
    check_number("stochastic_depth_rate", stochastic_depth_rate, low=0, below=1)
    _check_patches(input_shape, patch_size)
    check_heads(width, 1 if head_size else num_heads)
    check_positions(positions, width)

    image = keras.Input(input_shape)
    x = keras.layers.Conv2D(GUIDE_CHANNELS, 1)(image) if variant == FER_GUIDE else image
    x = keras.layers.Conv2D(width, patch_size, strides=patch_size)(x)
    x = encoder(
        x,
        depth=depth,
        num_heads=num_heads,
        mlp_ratio=mlp_ratio,
        positions=positions,
        pooling=pooling,
        dropout=dropout,
        stochastic_depth_rate=stochastic_depth_rate,
        head_size=head_size or None,
        norm_first=norm_first,
        activation=activation,
    )
    if head == "hidden":
        x = keras.layers.Dense(head_units, activation="tanh")(x)
    model = keras.Model(image, logits(x, num_classes), name="vit")
    return remade(model, **KERAS_DEFAULTS) if variant == FER_GUIDE else model


def _check_patches(input_shape: tuple[int, int, int], patch_size: int) -> None:
    height, width, _ = input_shape
    if height % patch_size or width % patch_size:
        common = math.gcd(height, width)
        fitting = [str(size) for size in range(1, common + 1) if common % size == 0]
        raise KnobError(
            f"'patch_size' is {patch_size}, which does not divide an image of {height}x{width} pixels; allowed for this image: "
            f"{', '.join(fitting)}. Choose one of these, or resize the images to a multiple of {patch_size}."
        )
