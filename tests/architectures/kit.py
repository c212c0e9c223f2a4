"""What the tests of architectures share: the smallest instances, and points of the search spaces."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from sweeper import catalog
from sweeper.errors import KnobError
from sweeper.study.space import Choice, Configuration, Float, Int, Knob, Space, Value
from sweeper.training.measuring import measure

NAMES = catalog.names("architecture")


SPACES = [name for name in catalog.names("space") if catalog.load("space", name).architecture in NAMES]


SHAPES = ((8, 8, 1), (28, 28, 1), (32, 32, 3), (48, 48, 1), (20, 12, 3))
"""Digits, MNIST, CIFAR, FER, and an image that is not square."""


PUBLISHED = [(name, published) for name in NAMES for published in catalog.load("architecture", name).published]


SPACES_OF_VARIANTS = [name for name in SPACES if "variant" in catalog.load("space", name).model]


def build(name: str, shape: tuple[int, int, int] = (8, 8, 1), num_classes: int = 10, **knobs: Any) -> keras.Model:
    """The smallest instance of an architecture, with some of its knobs changed."""
    function = catalog.load("architecture", name)
    return function(shape, num_classes, **{**function.tiny, **knobs})


def outputs(model: keras.Model, batch: Any, **options: Any) -> list[Any]:
    """What a model gives, as a list: logits, then those of auxiliary heads."""
    given = model(batch, **options)
    return given if isinstance(given, list) else [given]


def images(shape: tuple[int, int, int], number: int = 16) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=(number, *shape)).astype("float32")


NEEDED: dict[tuple[str, str], dict[str, Any]] = {
    ("lenet", "padding"): {"widths": "4"},
    ("vgg", "dense_norm"): {"head": "dense"},
}
"""Knobs without which another one does nothing, or small images are too small, where no search space says so."""

NUMBERS: dict[str, dict[str, Any]] = {"convnext": {"layer_scale": 0.1}}
"""Numbers that add something to a network, not only more of it."""


def variations(name: str) -> Iterator[dict[str, Any]]:
    """No change, then each text or boolean option of the architecture, one at a time; numbers in text are mere sizes.

    What an option needs to have an effect comes with it.
    """
    yield {}
    needed = dict(NEEDED)
    for space in (catalog.load("space", space_name) for space_name in SPACES):
        for knob_name, knob in space.model.items() if space.architecture == name else ():
            if knob.condition is not None:
                parent, values = knob.condition
                needed[name, knob_name] = {parent: values[0]}
    for knob_name, parameter in catalog.parameters("architecture", name).items():
        value = {knob_name: parameter.default, **catalog.load("architecture", name).tiny}[knob_name]
        for option in _options(name, knob_name, value):
            yield {**needed.get((name, knob_name), {}), knob_name: option}
    if name in NUMBERS:
        yield NUMBERS[name]


def _options(name: str, knob: str, value: Any) -> list[Any]:
    """What a flag or a text may be instead: for a text what the architecture lists when it refuses another one."""
    if isinstance(value, bool):
        return [not value]
    if not isinstance(value, str) or knob == "variant":
        return []
    with pytest.raises(KnobError) as refusal:
        build(name, **{knob: "no such option"})
    listed = re.search(r"Allowed: (.+)\. Change", str(refusal.value))
    return [option for option in listed.group(1).split(", ") if option != value] if listed else []


def corners(knob: Knob) -> tuple[Value, ...]:
    """All options of a choice; both ends of a range."""
    if isinstance(knob, Choice):
        return knob.options
    assert isinstance(knob, (Int, Float))
    return (knob.low, knob.high)


def draw(knob: Knob, generator: random.Random) -> Value:
    if isinstance(knob, Choice):
        return generator.choice(knob.options)
    if isinstance(knob, Int):
        return generator.randint(knob.low, knob.high)
    assert isinstance(knob, Float)
    return generator.uniform(knob.low, knob.high)


def points(space: Space) -> Iterator[Configuration]:
    """The default, every other corner of every knob of the model beside the defaults, and a few random points."""
    yield space.default()
    for name, knob in space.model.items():
        for value in [value for value in corners(knob) if value != knob.default]:
            fixed: Configuration = {name: value}
            child = knob
            while child.condition is not None:
                parent, values = child.condition
                fixed[parent] = values[0]
                child = space.model[parent]
            yield space.default(fixed)
    yield from random_points(space, 3)


def random_points(space: Space, number: int) -> Iterator[Configuration]:
    generator = random.Random(0)
    for _ in range(number):
        configuration: Configuration = {}
        for name, knob in space.knobs.items():
            if name in space.active(configuration):
                configuration[name] = draw(knob, generator)
        yield configuration


def weighted(model: keras.Model) -> list[tuple[tuple[int, ...], int, int]]:
    """Of every convolution and dense layer in order: shape it gives, without the batch, its parameters, and its MACs."""
    return [
        (call.shape, call.operation.count_params(), call.macs)
        for call in measure.calls(model)
        if isinstance(call.operation, (keras.layers.Conv2D, keras.layers.Dense))
    ]


def layer_shapes(model: keras.Model, kind: Any) -> list[tuple[int | None, ...]]:
    return [layer.output.shape for layer in model.layers if isinstance(layer, kind)]
