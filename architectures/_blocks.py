"""What several families share: checks of knobs, published variants, normalisation, squeeze-and-excitation and the head."""

from __future__ import annotations

import functools
import math
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


def check_number(name: str, value: object, *, low: float, below: float) -> None:
    """Raise `KnobError` unless the knob `name` is a number from `low`, included, to `below`, excluded."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not low <= cast(float, value) < below:
        limits = f"{low:g} or more" if math.isinf(below) else f"from {low:g} to below {below:g}"
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


def batch_normalization(x: Any) -> Any:
    """Batch normalisation whose running statistics settle within tens of steps.

    Keras's default momentum of 0.99 needs hundreds of steps, which on a small data set is several epochs of misleading
    validation results. Epsilon 1e-5 as in the reference implementations of the published networks.
    """
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def squeeze_excitation(x: Any, *, ratio: int) -> Any:
    """Channels weighted by what the whole map shows of them.

    Args:
        x: Feature map (batch, height, width, channels).
        ratio: Channels per hidden unit of the gate; at least four units are kept, because fewer rectifiers are easily all
            shut from the start, and then nothing ever opens them.

    Source: Hu et al., Squeeze-and-Excitation Networks, arXiv:1709.01507, section 3.
    """
    channels = x.shape[-1]
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = keras.layers.Dense(max(4, channels // ratio), activation="relu", kernel_initializer="he_normal")(gate)
    gate = keras.layers.Dense(channels, activation="sigmoid")(gate)
    return keras.layers.Multiply()([x, gate])


def logits(x: Any, num_classes: int) -> Any:
    """One unnormalised score per class, in float32 whatever the dtype policy, so that the loss does not overflow."""
    return keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
