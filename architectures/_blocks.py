"""Layers and blocks that several families share: convolutions, normalisation, attention over channels, and the head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


def batch_normalization(x: Any, *, momentum: float = 0.9, epsilon: float = 1e-5) -> Any:
    """Batch normalisation whose running statistics settle within tens of steps.

    Keras's default momentum of 0.99 needs hundreds of steps, which on a small data set is several epochs of misleading
    validation results. Epsilon 1e-5 as in the reference implementations of most published networks.
    """
    return keras.layers.BatchNormalization(momentum=momentum, epsilon=epsilon)(x)


def convolution(x: Any, filters: int, kernel_size: int, *, strides: int = 1) -> Any:
    """Convolution without bias, padded by the same amount on all sides.

    ``padding="same"`` pads one side more than the other when the stride is 2, unlike the published networks that use this
    function, whose weights would then see the image shifted by a pixel.
    """
    if strides > 1 and kernel_size > 1:
        x = keras.layers.ZeroPadding2D(kernel_size // 2)(x)
        padding = "valid"
    else:
        padding = "same"
    return keras.layers.Conv2D(
        filters, kernel_size, strides=strides, padding=padding, use_bias=False, kernel_initializer="he_normal"
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


def large_stem(image: Any, width: int) -> Any:
    """The first layers of networks for large images: 7x7 convolution and 3x3 max pooling, each with stride 2.

    The padding keeps at least one position however small the image is.
    """
    x = keras.layers.ReLU()(batch_normalization(convolution(image, width, 7, strides=2)))
    return keras.layers.MaxPooling2D(3, strides=2)(keras.layers.ZeroPadding2D(1)(x))


def plain_block(
    x: Any,
    filters: int,
    *,
    convolutions: int,
    kernel_size: int,
    is_normalised: bool = True,
    squeeze_ratio: int | None = None,
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
        squeeze_ratio: As for `squeeze_excitation`; None for none.
        dropout: Share of values dropped at the end.
    """
    for _ in range(convolutions):
        x = keras.layers.Conv2D(filters, kernel_size, padding="same", use_bias=not is_normalised, kernel_initializer="he_normal")(
            x
        )
        x = keras.layers.ReLU()(batch_normalization(x) if is_normalised else x)
    if squeeze_ratio is not None:
        x = squeeze_excitation(x, ratio=squeeze_ratio)
    if min(x.shape[1:3]) >= 2:
        x = keras.layers.MaxPooling2D(2)(x)
    return keras.layers.Dropout(dropout)(x)


def pooled(x: Any, window: int, *, strides: int = 2, kind: str = "max") -> Any:
    """Pooling without padding whose window shrinks to a map smaller than it, so that images of any size fit.

    A side of one pixel stays one; a map of a single pixel is passed on.

    Args:
        x: Feature map (batch, height, width, channels).
        window: Side of the window in pixels; where the map is smaller, the side of the map.
        strides: Pixels from one window to the next.
        kind: ``max`` or ``average``.
    """
    sides = tuple(min(window, side) for side in x.shape[1:3])
    if max(sides) == 1:
        return x
    layer = keras.layers.MaxPooling2D if kind == "max" else keras.layers.AveragePooling2D
    return layer(sides, strides=strides)(x)


def hidden_layers(x: Any, units: Sequence[int], *, dropout: float, is_normalised: bool = False) -> Any:
    """All positions of a map, then dense layers with rectifiers, each followed by dropout.

    Args:
        x: Feature map (batch, height, width, channels).
        units: Of each layer.
        dropout: Share of each layer's units dropped.
        is_normalised: As for `plain_block`.
    """
    x = keras.layers.Flatten()(x)
    for number in units:
        x = keras.layers.Dense(number, use_bias=not is_normalised, kernel_initializer="he_normal")(x)
        x = keras.layers.ReLU()(batch_normalization(x) if is_normalised else x)
        x = keras.layers.Dropout(dropout)(x)
    return x


def squeeze_excitation(x: Any, *, ratio: int) -> Any:
    """Channels weighted by what the whole map shows of them.

    Args:
        x: Feature map (batch, height, width, channels).
        ratio: Channels per hidden unit of the gate; at least four units are kept, because fewer rectifiers are easily all
            shut from the start, and then nothing ever opens them.

    Source: Hu et al., Squeeze-and-Excitation Networks, arXiv:1709.01507, section 3.
    """
    return channel_gate(x, units=max(4, x.shape[-1] // ratio), activation="relu")


def channel_gate(x: Any, *, units: int, activation: str) -> Any:
    """Channels weighted by a gate with so many hidden units of this activation.

    Source: Hu et al., Squeeze-and-Excitation Networks, arXiv:1709.01507, section 3.
    """
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = keras.layers.Dense(units, activation=activation, kernel_initializer="he_normal")(gate)
    gate = keras.layers.Dense(x.shape[-1], activation="sigmoid")(gate)
    return keras.layers.Multiply()([x, gate])


def stochastic_depth(x: Any, rate: float) -> Any:
    """A residual branch that is dropped as a whole for some images of a batch while training.

    What is kept is scaled up, so that the branch is itself at inference.

    Args:
        x: What the branch gives (batch, height, width, channels), before it is added to the shortcut.
        rate: Share of images for which it is dropped, 0 to below 1; with 0 there is no layer.

    Source: Huang et al., Deep Networks with Stochastic Depth, arXiv:1603.09382, section 3.
    """
    if rate == 0:
        return x
    # One random number for each image: dropout whose mask is the same over all positions and channels.
    return keras.layers.Dropout(rate, noise_shape=(None,) + (1,) * (len(x.shape) - 1))(x)


def logits(x: Any, num_classes: int, *, name: str = "logits") -> Any:
    """One unnormalised score per class, in float32 whatever the dtype policy, so that the loss does not overflow.

    An auxiliary head has another name.
    """
    return keras.layers.Dense(num_classes, dtype="float32", name=name)(x)


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
