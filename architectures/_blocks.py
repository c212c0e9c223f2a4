"""What several families share: checks of knobs, published variants, convolutions, normalisation, attention and the head."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, cast

import keras

from sweeper.errors import KnobError, did_you_mean

Arguments = ParamSpec("Arguments")

CUSTOM = "custom"
"""The `variant` that stands for no published network: every size is the value of its own knob."""


def variants(
    sizes: Mapping[str, Mapping[str, Any]],
) -> Callable[[Callable[Arguments, Any]], Callable[Arguments, Any]]:
    """Let the knob `variant` of an architecture stand for the sizes of a published network.

    The sizes of the variant take the place of the defaults of the other knobs, so a knob the caller names keeps its own value.

    Args:
        sizes: Knobs of each published network, by the text that `variant` takes.

    Raises:
        KnobError: (when the architecture is called) a variant nobody published.
    """

    def decorate(build: Callable[Arguments, Any]) -> Callable[Arguments, Any]:
        @functools.wraps(build)
        def build_variant(*args: Arguments.args, **knobs: Arguments.kwargs) -> Any:
            variant = cast(str, knobs.get("variant", CUSTOM))
            check_option("variant", variant, (CUSTOM, *sizes))
            return cast(Any, build)(*args, **{**sizes.get(variant, {}), **knobs})

        return build_variant

    return decorate


def check_image_and_classes(input_shape: Sequence[int], num_classes: int) -> None:
    """Raise `KnobError` unless there is an image of (height, width, channels) and at least one class."""
    sides_are_right = all(isinstance(side, int) and not isinstance(side, bool) and side >= 1 for side in input_shape)
    if len(input_shape) != 3 or not sides_are_right:
        raise KnobError(
            f"input_shape is {tuple(input_shape)}; allowed: (height, width, channels), three whole numbers from 1. "
            "Give the shape of one image, without the batch."
        )
    check_whole("num_classes", num_classes, low=1)


def check_whole(name: str, value: object, *, low: int, high: int | None = None) -> None:
    """Raise `KnobError` unless the knob `name` is a whole number from `low` to `high`, both included."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or cast(int, value) < low or (high is not None and cast(int, value) > high):
        limits = f"from {low}" if high is None else f"from {low} to {high}"
        raise KnobError(f"'{name}' is {value!r}; allowed: a whole number {limits}. Change '{name}'.")


def check_number(name: str, value: object, *, low: float, below: float = math.inf, high: float | None = None) -> None:
    """Raise `KnobError` unless the knob `name` is a number from `low`, included, to `below`, excluded, or `high`, included."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not low <= cast(float, value) < below or (high is not None and cast(float, value) > high):
        end = "" if math.isinf(below) else f" to below {below:g}"
        limits = f"from {low:g} to {high:g}" if high is not None else f"from {low:g}{end}" if end else f"{low:g} or more"
        raise KnobError(f"'{name}' is {value!r}; allowed: a number, {limits}. Change '{name}'.")


def check_flag(name: str, value: object) -> None:
    """Raise `KnobError` unless the knob `name` is true or false."""
    if not isinstance(value, bool):
        raise KnobError(f"'{name}' is {value!r}; allowed: true, false. Change '{name}'.")


def check_option(name: str, value: object, options: Sequence[str]) -> None:
    """Raise `KnobError` unless the knob `name` is one of a few texts."""
    if value not in options:
        hint = did_you_mean(str(value), options)
        raise KnobError(f"'{name}' is {value!r}.{hint} Allowed: {', '.join(options)}. Change '{name}'.")


def whole_numbers(name: str, text: object, *, each: str) -> list[int]:
    """The numbers in a knob of text such as ``2-2-2``, which an option of a search space can hold and a list cannot.

    Args:
        name: The knob.
        text: Its value: whole numbers from 1 with hyphens between them.
        each: What has one number, for the error.

    Raises:
        KnobError: Anything else.
    """
    if not isinstance(text, str) or not re.fullmatch(r"[1-9]\d*(-[1-9]\d*)*", text):
        raise KnobError(
            f"'{name}' is {text!r}; allowed: text of whole numbers from 1 with hyphens between them, one number a {each}, "
            f"for example '2-2-2'. Change '{name}' (in YAML, put it in quotes)."
        )
    return [int(number) for number in text.split("-")]


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


def logits(x: Any, num_classes: int) -> Any:
    """One unnormalised score per class, in float32 whatever the dtype policy, so that the loss does not overflow."""
    return keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
