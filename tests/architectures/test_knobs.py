"""What every signature and every search space must hold, and the errors of wrong knobs."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest

import architectures
from sweeper import catalog
from sweeper.catalog import Parameter
from sweeper.errors import KnobError
from sweeper.study.space import TRAINING, Choice, Configuration, Space
from tests.architectures.kit import (
    NAMES,
    SHAPES,
    SPACES,
    SPACES_OF_VARIANTS,
    build,
    points,
)

pytestmark = pytest.mark.usefixtures("framework")


def wrong_values(parameter: Parameter) -> tuple[object, ...]:
    """Values no knob of this kind may have."""
    if isinstance(parameter.default, bool):
        return ("yes", 1, None)
    if isinstance(parameter.default, int):
        return (-1, 1.5, True, "large", None)
    if isinstance(parameter.default, float):
        return (-1.0, math.nan, math.inf, True, "much", None)
    return ("no such option", "", 3, None)


@pytest.mark.parametrize("name", NAMES)
def test_bad_knobs_are_refused_with_a_sentence(name: str) -> None:
    for parameter in catalog.parameters("architecture", name).values():
        for value in wrong_values(parameter):
            with pytest.raises(KnobError) as caught:
                build(name, **cast(Any, {parameter.name: value}))
            message = str(caught.value)
            assert f"'{parameter.name}'" in message
            assert repr(value) in message or str(value) in message
            assert "llowed" in message, f"the message does not say what is allowed: {message}"


@pytest.mark.parametrize("shape", [(8, 8), (0, 8, 1), (8, 8, 1, 1), (None, None, 1)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_bad_shapes_are_refused(name: str, shape: Any) -> None:
    with pytest.raises(KnobError, match="input_shape"):
        build(name, shape)


@pytest.mark.parametrize("name", NAMES)
def test_zero_classes_are_refused(name: str) -> None:
    with pytest.raises(KnobError, match="num_classes"):
        build(name, num_classes=0)


@pytest.mark.parametrize("name", NAMES)
def test_signature_is_readable_from_the_source(name: str) -> None:
    function = catalog.load("architecture", name)
    read = catalog.parameters("architecture", name)
    signature = inspect.signature(function)
    assert list(signature.parameters)[:2] == ["input_shape", "num_classes"]
    keywords = {key: value for key, value in signature.parameters.items() if value.kind is value.KEYWORD_ONLY}
    assert {key: value.default for key, value in keywords.items()} == {key: knob.default for key, knob in read.items()}
    assert not set(read) & set(TRAINING), "a knob has the name of a field of the training recipe"
    for parameter in read.values():
        assert isinstance(parameter.default, (bool, int, float, str))
        assert parameter.annotation == type(parameter.default).__name__
        assert f"{parameter.name}:" in (function.__doc__ or ""), f"the docstring does not explain '{parameter.name}'"
    for arguments in (function.tiny, *(published.arguments for published in function.published)):
        assert set(arguments) <= set(read)
    assert catalog.summary("architecture", name)
    assert function.paper


@pytest.mark.parametrize("name", SPACES)
def test_space_and_signature_agree(name: str) -> None:
    space: Space = catalog.load("space", name)
    read = catalog.parameters("architecture", space.architecture)
    for knob_name, knob in space.model.items():
        assert knob_name in read, f"'{knob_name}' is no argument of {space.architecture}"
        default = read[knob_name].default
        assert knob.default == default or knob_name == "variant"
        assert type(knob.default) is type(default)


def check_builds(name: str, configurations: Iterable[Configuration]) -> None:
    space: Space = catalog.load("space", name)
    function = catalog.load("architecture", space.architecture)
    # Published transformers have patches of 16x16 pixels, or of 6x6.
    shapes = SHAPES[3:4] if name == "vit_guide" else SHAPES[2:4] if name in SPACES_OF_VARIANTS else SHAPES[:4]
    for number, configuration in enumerate(configurations):
        assert space.problems(configuration) == []
        knobs = {key: value for key, value in configuration.items() if key in space.model}
        model = function(shapes[number % len(shapes)], 10, **knobs)
        assert {tuple(output.shape) for output in model.outputs} == {(None, 10)}


SPACES_OF_SMALL_NETWORKS = [name for name in SPACES if name not in SPACES_OF_VARIANTS]


@pytest.mark.long
@pytest.mark.parametrize("name", SPACES_OF_SMALL_NETWORKS)
@pytest.mark.usefixtures("shapes_alone")
def test_everything_a_space_can_produce_builds(name: str) -> None:
    check_builds(name, points(catalog.load("space", name)))


@pytest.mark.long
@pytest.mark.parametrize("name", SPACES_OF_VARIANTS)
@pytest.mark.usefixtures("shapes_alone")
def test_the_smallest_and_the_largest_published_network_take_small_images(name: str) -> None:
    space: Space = catalog.load("space", name)
    options = cast(Choice, space.model["variant"]).options
    check_builds(name, [space.default({"variant": option}) for option in (options[0], options[-1])])


def test_files_name_no_backend() -> None:
    for path in Path(architectures.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                assert module.split(".")[0] not in {"tensorflow", "torch", "jax", "numpy", "tf_keras"}, (
                    f"{path.name} imports {module}"
                )
                assert not module.startswith(("keras.src", "keras.backend")), f"{path.name} imports {module}"
            if isinstance(node, ast.Attribute):
                is_private = node.attr == "src" and isinstance(node.value, ast.Name) and node.value.id == "keras"
                assert not is_private, f"{path.name} reaches into keras.src"
                assert node.attr != "numpy", f"{path.name} takes values out of the graph with .numpy()"
