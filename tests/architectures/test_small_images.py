"""Images smaller than a network was made for: it adapts, or says in one sentence which it takes; Keras never has to."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sweeper import catalog
from sweeper.errors import KnobError
from tests.architectures.kit import NAMES

pytestmark = pytest.mark.usefixtures("framework", "shapes_alone")

SHAPES = ((1, 1, 1), (5, 1, 3), (2, 3, 1), (7, 9, 3), (16, 16, 1), (31, 33, 3))


def check(name: str, shape: tuple[int, int, int], knobs: dict[str, Any]) -> None:
    try:
        model = catalog.load("architecture", name)(shape, 3, **knobs)
    except KnobError as error:
        message = str(error)
        assert f"{shape[0]}x{shape[1]}" in message, f"the size of the image is not in: {message}"
        assert re.search(r"allowed|smallest", message), f"what is allowed is not in: {message}"
    else:
        assert model.output_shape == (None, 3)


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_instance_takes_small_images_or_says_why_not(name: str, shape: tuple[int, int, int]) -> None:
    check(name, shape, catalog.load("architecture", name).tiny)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_default_and_published_networks_take_small_images_or_say_why_not(name: str) -> None:
    published = catalog.load("architecture", name).published
    for knobs in ({}, *(dict(entry.arguments) for entry in published[:1])):
        for shape in SHAPES:
            check(name, shape, knobs)
