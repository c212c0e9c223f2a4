"""Convolutions, and the blocks that are made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from architectures._blocks.layers import batch_normalization, halving_pool, stochastic_depth

MOBILE_EPSILON = 1e-3
"""Of normalisation in the networks of inverted residual blocks, as in their reference implementations."""


def convolution(x: Any, filters: int, kernel_size: int, *, strides: int = 1, use_bias: bool = False) -> Any:
    """Convolution padded by the same amount on all sides, without bias unless no normalisation follows.

    ``padding="same"`` pads one side more than the other when the stride is 2, unlike the published networks that use this
    function, whose weights would then see the image shifted by a pixel.
    """
    x, padding = _padded(x, kernel_size, strides)
    return keras.layers.Conv2D(
        filters, kernel_size, strides=strides, padding=padding, use_bias=use_bias, kernel_initializer="he_normal"
    )(x)


def depthwise_convolution(x: Any, kernel_size: int, *, strides: int = 1, use_bias: bool = False) -> Any:
    """Convolution of each channel on its own, otherwise as `convolution`."""
    x, padding = _padded(x, kernel_size, strides)
    return keras.layers.DepthwiseConv2D(
        kernel_size, strides=strides, padding=padding, use_bias=use_bias, depthwise_initializer=fan_out()
    )(x)


def rectified_convolution(
    x: Any, filters: int, kernel_size: int, *, is_normalised: bool, strides: int = 1, epsilon: float = 1e-5
) -> Any:
    """Convolution and rectifier, as networks from before batch normalisation have them, or with it in between.

    Args:
        x: Feature map (batch, height, width, channels).
        filters: Channels it gives.
        kernel_size: Side of the window in pixels.
        is_normalised: As for `plain_block`.
        strides: Pixels from one window to the next; with 1 it keeps the size, else it pads nothing.
        epsilon: Of the normalisation.
    """
    padding = "same" if strides == 1 else "valid"
    x = keras.layers.Conv2D(
        filters, kernel_size, strides=strides, padding=padding, use_bias=not is_normalised, kernel_initializer="he_normal"
    )(x)
    return keras.layers.ReLU()(batch_normalization(x, epsilon=epsilon) if is_normalised else x)


def activated_convolution(
    x: Any, filters: int, *, activation: str, kernel_size: int = 1, strides: int = 1, norm_momentum: float
) -> Any:
    """Convolution without bias, normalisation and activation as in the networks of inverted residual blocks.

    ``padding="same"`` pads as their reference implementations do, with any stride: where the stride is 2 and a side even, one
    pixel less before the first than behind the last.
    """
    x = keras.layers.Conv2D(filters, kernel_size, strides=strides, padding="same", use_bias=False, kernel_initializer=fan_out())(
        x
    )
    x = batch_normalization(x, momentum=norm_momentum, epsilon=MOBILE_EPSILON)
    return x if activation == "linear" else keras.layers.Activation(activation)(x)


def _padded(x: Any, kernel_size: int, strides: int) -> tuple[Any, str]:
    """What a convolution gets, and the padding it does itself."""
    if strides > 1 and kernel_size > 1:
        return keras.layers.ZeroPadding2D(kernel_size // 2)(x), "valid"
    return x, "same"


def large_stem(image: Any, width: int) -> Any:
    """The first layers of networks for large images: 7x7 convolution and 3x3 max pooling, each with stride 2."""
    return halving_pool(keras.layers.ReLU()(batch_normalization(convolution(image, width, 7, strides=2))))


def plain_block(
    x: Any,
    filters: int,
    *,
    convolutions: int,
    kernel_size: int,
    is_normalised: bool = True,
    attend: Callable[[Any], Any] | None = None,
    dropout: float = 0.0,
) -> Any:
    """Convolutions with rectifiers, then attention, 2x2 max pooling and dropout.

    It pools only while both sides of the map are at least 2, so images of any size fit any number of blocks: the map ends at
    one pixel high or wide, and further blocks keep it there.

    Args:
        x: Feature map (batch, height, width, channels).
        filters: Channels it gives.
        convolutions: How many convolutions.
        kernel_size: Side of their window in pixels.
        is_normalised: Whether each is followed by batch normalisation; only without it they have biases, which normalisation
            would remove.
        attend: Weighs the map, as those of `architectures._blocks.attention` do; None for nothing.
        dropout: Share of values dropped at the end.
    """
    for _ in range(convolutions):
        x = rectified_convolution(x, filters, kernel_size, is_normalised=is_normalised)
    if attend is not None:
        x = attend(x)
    if min(x.shape[1:3]) >= 2:
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
    """A block that is wide inside and narrow between blocks; it has a shortcut only where the shape stays the same.

    A 1x1 convolution widens, a depthwise one filters each channel on its own, and another 1x1 one narrows again, behind which
    there is no activation, because it would lose what few channels carry.

    Args:
        x: Feature map (batch, height, width, channels).
        channels: Channels it gives.
        expansion: Channels inside per channel that comes in; with 1 nothing is widened.
        kernel_size: Side of the depthwise window in pixels.
        strides: Of the depthwise convolution; a side of 1 stays 1.
        activation: Behind the first two convolutions.
        norm_momentum: As for `batch_normalization`.
        attend: Weighs the wide map, as those of `architectures._blocks.attention` do; None for nothing.
        drop_rate: As for `stochastic_depth`.

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


def fan_out() -> keras.initializers.Initializer:
    """A new one for each layer, since layers that share one start alike.

    Scaled by what goes out of a kernel, because Keras takes the channels of a depthwise kernel for channels that are summed,
    and would start it many times too small.
    """
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="truncated_normal")


def scaled(channels: int, factor: float) -> int:
    """Channels times a factor, as the nearest multiple of 8 that takes away no more than a tenth."""
    wanted = channels * factor
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded
