"""Convolutions, and the blocks that are made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from architectures._blocks.layers import batch_normalization, fan_out, halving_pool, stochastic_depth

MOBILE_EPSILON = 1e-3
"""Epsilon of batch normalisation in MobileNetV2 and EfficientNet, as in their reference implementations."""


def convolution(
    x: Any, filters: int, kernel_size: int, *, strides: int = 1, use_bias: bool = False, pads_equally: bool = True
) -> Any:
    """Convolution padded equally on all sides. It has no bias by default, because normalisation usually follows.

    With stride 2, ``padding="same"`` pads one side more than the other. The published networks that use this function do not:
    their weights would see the image shifted by a pixel. Without `pads_equally` it is used all the same.
    """
    x, padding = _padded(x, kernel_size, strides) if pads_equally else (x, "same")
    return keras.layers.Conv2D(
        filters, kernel_size, strides=strides, padding=padding, use_bias=use_bias, kernel_initializer="he_normal"
    )(x)


def depthwise_convolution(x: Any, kernel_size: int, *, strides: int = 1, use_bias: bool = False) -> Any:
    """Convolution of each channel on its own; otherwise the same as `convolution`."""
    x, padding = _padded(x, kernel_size, strides)
    return keras.layers.DepthwiseConv2D(
        kernel_size, strides=strides, padding=padding, use_bias=use_bias, depthwise_initializer=fan_out()
    )(x)


def rectified_convolution(
    x: Any,
    filters: int,
    kernel_size: int,
    *,
    is_normalised: bool,
    strides: int = 1,
    padding: str | None = None,
    epsilon: float = 1e-5,
) -> Any:
    """Convolution and ReLU, with or without batch normalisation in between.

    Args:
        x: Feature map (batch, height, width, channels).
        filters: Output channels.
        kernel_size: Side of the window in pixels.
        is_normalised: Whether batch normalisation follows the convolution. Only without it the convolution has a bias.
        strides: Pixels from one window to the next.
        padding: ``same`` or ``valid``; None for ``same`` with a stride of 1, and ``valid`` with more.
        epsilon: Epsilon of the normalisation.
    """
    padding = padding or ("same" if strides == 1 else "valid")
    x = keras.layers.Conv2D(
        filters, kernel_size, strides=strides, padding=padding, use_bias=not is_normalised, kernel_initializer="he_normal"
    )(x)
    return keras.layers.ReLU()(batch_normalization(x, epsilon=epsilon) if is_normalised else x)


def activated_convolution(
    x: Any, filters: int, *, activation: str, kernel_size: int = 1, strides: int = 1, norm_momentum: float
) -> Any:
    """Convolution without bias, batch normalisation and activation, as in MobileNetV2 and EfficientNet.

    ``padding="same"`` pads as their reference implementations do, with any stride. With stride 2 and an even side, it pads one
    pixel less before the first than after the last.
    """
    x = keras.layers.Conv2D(filters, kernel_size, strides=strides, padding="same", use_bias=False, kernel_initializer=fan_out())(
        x
    )
    x = batch_normalization(x, momentum=norm_momentum, epsilon=MOBILE_EPSILON)
    return x if activation == "linear" else keras.layers.Activation(activation)(x)


def _padded(x: Any, kernel_size: int, strides: int) -> tuple[Any, str]:
    """The input of a convolution, padded if needed, and the value of its ``padding``."""
    if strides > 1 and kernel_size > 1:
        return keras.layers.ZeroPadding2D(kernel_size // 2)(x), "valid"
    return x, "same"


def large_stem(image: Any, width: int) -> Any:
    """First layers for large images: 7x7 convolution and 3x3 max pooling, each with stride 2."""
    return halving_pool(keras.layers.ReLU()(batch_normalization(convolution(image, width, 7, strides=2))))


def plain_block(
    x: Any,
    filters: int,
    *,
    convolutions: int,
    kernel_size: int,
    padding: str = "same",
    is_normalised: bool = True,
    attend: Callable[[Any], Any] | None = None,
    pools: bool = True,
    dropout: float = 0.0,
) -> Any:
    """Convolutions with ReLU, then attention, 2x2 max pooling and dropout.

    The block pools only while both sides of the map are at least 2, so images of any size fit any number of blocks. Once the map
    is one pixel high or wide, further blocks keep its size.

    Args:
        x: Feature map (batch, height, width, channels).
        filters: Output channels.
        convolutions: Number of convolutions.
        kernel_size: Side of their windows in pixels.
        padding: ``same``, or ``valid`` for none.
        is_normalised: Whether batch normalisation follows each convolution. Only without it they have biases, because
            normalisation would remove them.
        attend: Weights the map, as the functions of `architectures._blocks.attention` do; None for no attention.
        pools: Whether it pools at all.
        dropout: Share of values dropped at the end.
    """
    for _ in range(convolutions):
        x = rectified_convolution(x, filters, kernel_size, is_normalised=is_normalised, padding=padding)
    if attend is not None:
        x = attend(x)
    if pools and min(x.shape[1:3]) >= 2:
        x = keras.layers.MaxPooling2D(2)(x)
    return keras.layers.Dropout(dropout)(x)


def inverted_residual(
    x: Any,
    channels: int,
    *,
    expansion: int,
    kernel_size: int,
    strides: int,
    activation: str,
    norm_momentum: float,
    attend: Callable[[Any], Any] | None = None,
    drop_rate: float = 0.0,
) -> Any:
    """A block that is wide inside and narrow at its ends. It has a shortcut only where the shape stays the same.

    A 1x1 convolution widens the map, a depthwise convolution filters each channel on its own, and another 1x1 convolution
    narrows the map again. No activation follows the last one, because it would lose information in so few channels.

    Args:
        x: Feature map (batch, height, width, channels).
        channels: Output channels.
        expansion: Channels inside the block per input channel; with 1 there is no widening.
        kernel_size: Side of the depthwise window in pixels.
        strides: Stride of the depthwise convolution; a side of 1 stays 1.
        activation: Activation after the first two convolutions.
        norm_momentum: Momentum of batch normalisation.
        attend: Weights the wide map, as the functions of `architectures._blocks.attention` do; None for no attention.
        drop_rate: Rate of `stochastic_depth`.

    Source: Sandler et al., MobileNetV2, arXiv:1801.04381, section 3.3 and table 1.
    """
    shortcut = x
    channels_in = x.shape[-1]
    if expansion != 1:
        x = activated_convolution(x, channels_in * expansion, activation=activation, norm_momentum=norm_momentum)
    x = keras.layers.DepthwiseConv2D(
        kernel_size, strides=strides, padding="same", use_bias=False, depthwise_initializer=fan_out()
    )(x)
    x = batch_normalization(x, momentum=norm_momentum, epsilon=MOBILE_EPSILON)
    x = keras.layers.Activation(activation)(x)
    if attend is not None:
        x = attend(x)
    x = activated_convolution(x, channels, activation="linear", norm_momentum=norm_momentum)
    if strides != 1 or channels_in != channels:
        return x
    return keras.layers.Add()([shortcut, stochastic_depth(x, drop_rate)])


def scaled(channels: int, factor: float) -> int:
    """Channels times a factor, rounded to the nearest multiple of 8, at least 8; rounded up where down removes over a tenth."""
    wanted = channels * factor
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded
