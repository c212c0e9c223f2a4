"""Checks of knobs. Each refuses a wrong value with a message that says what is allowed and what to change."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import cast

from sweeper.errors import KnobError, did_you_mean


def check_image_and_classes(input_shape: Sequence[int], num_classes: int) -> None:
    """Raise `KnobError` unless the shape is (height, width, channels) and there is at least one class."""
    sides_are_right = all(isinstance(side, int) and not isinstance(side, bool) and side >= 1 for side in input_shape)
    if len(input_shape) != 3 or not sides_are_right:
        raise KnobError(
            f"input_shape is {tuple(input_shape)}; allowed: (height, width, channels), three whole numbers from 1. "
            "Give the shape of one image, without the batch."
        )
    check_whole("num_classes", num_classes, low=1)


def check_whole(name: str, value: object, *, low: int, high: int | None = None) -> None:
    """Raise `KnobError` unless the knob `name` is a whole number from `low` to `high` (inclusive)."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or cast(int, value) < low or (high is not None and cast(int, value) > high):
        limits = f"from {low}" if high is None else f"from {low} to {high}"
        raise KnobError(f"'{name}' is {value!r}; allowed: a whole number {limits}. Change '{name}'.")


def check_number(name: str, value: object, *, low: float, below: float = math.inf, high: float | None = None) -> None:
    """Raise `KnobError` unless the knob `name` is a number from `low` to `high` (both inclusive) or to `below` (exclusive)."""
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
    """Raise `KnobError` unless the knob `name` is one of `options`."""
    if value not in options:
        hint = did_you_mean(str(value), options)
        raise KnobError(f"'{name}' is {value!r}.{hint} Allowed: {', '.join(options)}. Change '{name}'.")


def whole_numbers(name: str, text: object, *, each: str) -> list[int]:
    """The numbers in a text such as ``2-2-2``. Such a knob is text because an option of a search space cannot be a list.

    Args:
        name: The knob.
        text: Its value: whole numbers from 1, joined by hyphens.
        each: What each number stands for, such as ``stage``; used in the error.

    Raises:
        KnobError: The value is anything else.
    """
    if not isinstance(text, str) or not re.fullmatch(r"[1-9]\d*(-[1-9]\d*)*", text):
        raise KnobError(
            f"'{name}' is {text!r}; allowed: text of whole numbers from 1 joined by hyphens, one for each {each}, "
            f"for example '2-2-2'. Change '{name}' (in YAML, put it in quotes)."
        )
    return [int(number) for number in text.split("-")]


def check_heads(width: int, num_heads: int, *, where: str = "") -> None:
    """Raise `KnobError` unless the attention heads divide the width of a token; `where` tells which heads in the error."""
    if width % num_heads:
        raise KnobError(
            f"'num_heads' is {num_heads}{where}, which does not divide a 'width' of {width}; allowed: divisors of 'width'. "
            f"Change 'num_heads', or use a 'width' that is a multiple of {num_heads}."
        )


def check_positions(positions: str, width: int) -> None:
    """Raise `KnobError` where ``sincos`` positions do not fit the width of a token."""
    if positions == "sincos" and width % 4:
        raise KnobError(
            f"'width' is {width}, and 'positions' is 'sincos', which needs sines and cosines of rows and columns in equal "
            f"numbers; allowed: multiples of 4. Change 'width' or 'positions'."
        )
