"""Search spaces: what a configuration may be, and which spaces cannot exist."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper import catalog
from sweeper.errors import KnobError
from sweeper.study.space import TRAINING, Choice, Configuration, Float, Int, Knob, Space, Value
from tests.knobs import values_of

finite = st.floats(min_value=-1e6, max_value=1e6)
texts = st.text(alphabet="abcd", min_size=1, max_size=4)
options: st.SearchStrategy[list[Value]] = st.lists(
    st.one_of(texts, st.integers(0, 5), st.booleans()), min_size=1, max_size=5, unique_by=lambda v: (type(v), v)
)


@st.composite
def floats(draw: st.DrawFn) -> Float:
    low, default, high = sorted(draw(st.tuples(finite, finite, finite).filter(lambda three: min(three) < max(three))))
    return Float(low=low, high=high, default=default)


@st.composite
def ints(draw: st.DrawFn) -> Int:
    numbers = st.lists(st.integers(-1000, 1000), min_size=3, max_size=3)
    low, default, high = sorted(draw(numbers.filter(lambda three: min(three) < max(three))))
    return Int(low=low, high=high, default=default)


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    values = draw(options)
    return Choice(*values, default=draw(st.sampled_from(values)))


knobs = st.one_of(floats(), ints(), choices())


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """A space of up to six knobs where some depend on a choice before them."""
    model: dict[str, Knob] = {}
    for number in range(draw(st.integers(0, 6))):
        knob = draw(knobs)
        parents = [name for name, parent in model.items() if isinstance(parent, Choice)]
        is_conditional = draw(st.booleans())
        if parents and is_conditional:
            parent = draw(st.sampled_from(parents))
            wanted = draw(st.sampled_from(model[parent].options))  # type: ignore[attr-defined]
            knob = knob.when(**{parent: wanted})
        model[f"knob_{number}"] = knob
    return Space(architecture="any", model=model)


def draw_configuration(data: st.DataObject, space: Space) -> Configuration:
    """A point of the space, knob by knob in the order written."""
    configuration: Configuration = {}
    for name in space.knobs:
        if name in space.active(configuration):
            configuration[name] = data.draw(values_of(space.knobs[name]), label=name)
    return configuration


@given(spaces())
def test_default_is_a_point_of_the_space(space: Space) -> None:
    default = space.default()
    assert space.problems(default) == []
    assert set(default) == set(space.active(default))


@given(spaces(), st.data())
def test_fixed_values_stay_and_hide_what_depends_on_others(space: Space, data: st.DataObject) -> None:
    fixed = {
        name: data.draw(values_of(knob))
        for name, knob in space.knobs.items()
        if knob.condition is None and data.draw(st.booleans())
    }
    default = space.default(fixed)
    assert {name: default[name] for name in fixed} == fixed
    assert space.problems(default) == []


@given(spaces(), st.data())
def test_every_drawn_point_is_accepted_and_complete(space: Space, data: st.DataObject) -> None:
    configuration = draw_configuration(data, space)
    assert space.problems(configuration) == []
    for name in configuration:
        rest = {other: value for other, value in configuration.items() if other != name}
        assert f"'{name}' is missing." in space.problems(rest)


@given(spaces(), st.data())
def test_a_condition_hides_its_knob(space: Space, data: st.DataObject) -> None:
    configuration = draw_configuration(data, space)
    for name, knob in space.knobs.items():
        if knob.condition is not None:
            parent, values = knob.condition
            assert (name in configuration) == (parent in configuration and configuration[parent] in values)
        if name not in configuration:
            (problem,) = space.problems({**configuration, name: knob.default})
            assert "exists only when" in problem


@given(ints(), st.integers())
def test_whole_numbers_outside_the_range_are_refused(knob: Int, value: int) -> None:
    assert (knob.problem(value) is None) == (knob.low <= value <= knob.high)


@given(floats(), st.floats())
def test_numbers_outside_the_range_are_refused(knob: Float, value: float) -> None:
    assert (knob.problem(value) is None) == (knob.low <= value <= knob.high)


@given(choices(), st.one_of(texts, st.integers(-2, 7), st.booleans()))
def test_only_options_are_accepted(knob: Choice, value: Value) -> None:
    is_option = any(type(value) is type(option) and value == option for option in knob.options)
    assert (knob.problem(value) is None) == is_option


@given(knobs)
def test_values_of_another_kind_are_refused(knob: Knob) -> None:
    others: tuple[object, ...] = (None, [], {}, b"bytes", float("nan"), float("inf"))
    for value in others:
        assert knob.problem(value) is not None


@pytest.mark.parametrize("knob", [Int(low=0, high=1, default=0), Float(low=0.0, high=1.0, default=0.0), Choice(0, 1)])
@pytest.mark.parametrize("value", [True, False])
def test_a_boolean_is_no_number(knob: Knob, value: bool) -> None:
    assert knob.problem(value) is not None


def test_a_number_is_no_boolean() -> None:
    assert Choice(True, False).problem(1) is not None
    assert Choice(True, False).problem(False) is None


def test_a_choice_may_default_to_false() -> None:
    assert Choice(True, False, default=False).default is False


def test_when_keeps_the_knob_and_adds_the_condition() -> None:
    plain = Choice("a", "b", default="b")
    assert plain.condition is None
    conditional = plain.when(parent=("x", "y"))
    assert (conditional.options, conditional.default) == (plain.options, plain.default)
    assert conditional.condition == ("parent", ("x", "y"))


def test_a_hidden_parent_hides_its_children() -> None:
    space = Space(
        architecture="any",
        model={
            "first": Choice("off", "on"),
            "second": Choice("off", "on").when(first="on"),
            "third": Int(low=0, high=9, default=5).when(second="on"),
        },
    )
    assert space.default() == {"first": "off"}
    assert space.default({"first": "on"}) == {"first": "on", "second": "off"}
    assert space.default({"first": "on", "second": "on"}) == {"first": "on", "second": "on", "third": 5}
    assert "third" not in space.active({"first": "off", "second": "on"})


BAD_KNOBS: dict[str, Any] = {
    "low above high": lambda: Int(low=2, high=1, default=1),
    "low equal to high": lambda: Float(low=1.0, high=1.0, default=1.0),
    "logarithm of 0": lambda: Float(low=0.0, high=1.0, log=True, default=0.5),
    "default outside": lambda: Float(low=0.0, high=1.0, default=2.0),
    "default not whole": lambda: Int(low=0, high=3, default=1.5),
    "default a boolean": lambda: Int(low=0, high=3, default=True),
    "no option": lambda: Choice(),
    "an option twice": lambda: Choice("a", "a"),
    "default no option": lambda: Choice("a", default="b"),
    "no condition": lambda: Choice("a").when(),
    "two conditions": lambda: Choice("a").when(one="x", two="y"),
}


@pytest.mark.parametrize("make", BAD_KNOBS.values(), ids=BAD_KNOBS.keys())
def test_bad_knobs_are_refused(make: Any) -> None:
    with pytest.raises(KnobError):
        make()


BAD_SPACES: dict[str, tuple[dict[str, Knob], dict[str, Knob]]] = {
    "a training field among the model's knobs": ({"learning_rate": Float(low=0.1, high=1.0, default=0.5)}, {}),
    "an unknown training knob": ({}, {"learning_rat": Float(low=0.1, high=1.0, default=0.5)}),
    "a training knob too wide": ({}, {"label_smoothing": Float(low=0.0, high=1.0, default=0.0)}),
    "a training option that does not exist": ({}, {"optimizer": Choice("adam", "magic")}),
    "a condition on an unknown knob": ({"a": Choice("x").when(b="y")}, {}),
    "a condition on a later knob": ({"a": Choice("x").when(b="y"), "b": Choice("y")}, {}),
    "a condition on itself": ({"a": Choice("x").when(a="x")}, {}),
    "a circle": ({"a": Choice("x").when(b="x"), "b": Choice("x").when(a="x")}, {}),
    "a condition that never holds": ({"a": Choice("x"), "b": Choice("y").when(a="z")}, {}),
}


@pytest.mark.parametrize(("model", "training"), BAD_SPACES.values(), ids=BAD_SPACES.keys())
def test_bad_spaces_are_refused(model: dict[str, Knob], training: dict[str, Knob]) -> None:
    with pytest.raises(KnobError, match="space of any"):
        Space(architecture="any", model=model, training=training)


def test_the_training_recipe_is_itself_a_space() -> None:
    recipe = Space(architecture="any", training=TRAINING)
    assert recipe.problems(recipe.default()) == []
    assert "momentum" not in recipe.default()
    assert recipe.default({"optimizer": "sgd"})["momentum"] == 0.9


@pytest.mark.parametrize("name", catalog.names("space"))
def test_a_space_file_holds_the_space_of_its_name(name: str) -> None:
    space = catalog.load("space", name)
    assert isinstance(space, Space)
    assert space.architecture is None or space.architecture in catalog.names("architecture")
    assert space.problems(space.default()) == []


def test_a_recipe_takes_with_it_the_conditions_that_can_no_longer_be_met() -> None:
    own = Space(
        architecture="any",
        training={
            "optimizer": Choice("adamw", "sgd"),
            "schedule": Choice("cosine", "constant"),
            "warmup_epochs": Int(low=0, high=5, default=0).when(schedule=("cosine", "constant")),
            "weight_decay": Float(low=0.0, high=1.0, default=0.0).when(optimizer="adamw"),
        },
    )
    recipe = Space(architecture=None, training={"schedule": Choice("one_cycle", "cosine"), "optimizer": Choice("sgd", "adam")})
    merged = own.with_recipe(recipe)
    assert merged.training["warmup_epochs"].condition == ("schedule", ("cosine",))
    assert "weight_decay" not in merged.training
    assert merged.problems(merged.default()) == []
    with pytest.raises(KnobError, match=r"'warmup_epochs'.*no meaning with schedule='one_cycle'"):
        Space(
            architecture="any", training={"schedule": Choice("constant"), "warmup_epochs": Int(low=0, high=5, default=0)}
        ).with_recipe(recipe)


def test_a_space_without_an_architecture_has_no_knobs_of_a_model() -> None:
    with pytest.raises(KnobError, match="cannot have knobs of a model: width"):
        Space(architecture=None, model={"width": Int(low=1, high=3, default=1)})
