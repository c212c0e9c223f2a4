"""Knobs of the families: published variants, and checks that refuse a wrong value with one sentence."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, cast

from sweeper.catalog import Published
from sweeper.errors import KnobError, did_you_mean

Arguments = ParamSpec("Arguments")

CUSTOM = "custom"
"""The `variant` that stands for no published network: every size is the value of its own knob."""


TORCHVISION = "parameters and multiply-accumulates as listed for the ImageNet models of torchvision"


def of_imagenet(
    variant: str,
    parameters: int,
    macs: int,
    *,
    source: str = TORCHVISION,
    side: int = 224,
    macs_tolerance: float = 0.03,
    **others: str | bool | int,
) -> Published:
    """A published network for colour images and the 1000 classes of ImageNet.

    Args:
        variant: Its name.
        parameters: As for `Published`.
        macs: As for `Published`.
        source: As for `Published`.
        side: Of its square images, in pixels.
        macs_tolerance: As for `Published`.
        others: Knobs beside the variant.
    """
    return Published(
        arguments={"variant": variant, **others},
        input_shape=(side, side, 3),
        num_classes=1000,
        parameters=parameters,
        macs=macs,
        macs_tolerance=macs_tolerance,
        source=source,
    )


def variants(
    sizes: Mapping[str, Mapping[str, Any]],
) -> Callable[[Callable[Arguments, Any]], Callable[Arguments, Any]]:
    """Let the knob `variant` of an architecture stand for the sizes of a published network.

    The sizes of the variant take the place of the defaults of the other knobs, so a knob the caller names keeps its own value.
    They are kept on the function as `sizes`.

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

        build_variant.sizes = sizes  # type: ignore[attr-defined]
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
