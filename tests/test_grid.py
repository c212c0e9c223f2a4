"""The grid of a search space: its values, its points counted and found by index, and where the default lies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sweeper import catalog
from sweeper.study.grid import Grid, values
from sweeper.study.space import Choice, Configuration, Float, Int, Knob, Space, Value, is_active
from tests.test_space import spaces

SMALL = Space(
    architecture="any",
    model={
        "color": Choice("red", "green"),
        "depth": Int(low=1, high=9, default=5),
        "shade": Float(low=0.0, high=1.0, default=0.3).when(color="green"),
    },
)


def listed(space: Space, num_points: int, fixed: Configuration) -> Iterator[Configuration]:
    """Every point, the plain way: knob by knob, in the order written; a fixed knob exists whatever it depends on."""

    def extend(configuration: Configuration, names: list[str]) -> Iterator[Configuration]:
        if not names:
            yield configuration
        elif names[0] in configuration or not is_active(space.knobs[names[0]], configuration, configuration):
            yield from extend(configuration, names[1:])
        else:
            for value in values(space.knobs[names[0]], num_points):
                yield from extend({**configuration, names[0]: value}, names[1:])

    return extend(fixed, list(space.knobs))


def exact(configuration: Configuration) -> str:
    """A configuration as text in which 1 and true differ."""
    return repr(sorted(configuration.items()))


@pytest.mark.parametrize(
    ("knob", "num_points", "expected"),
    [
        (Float(low=0, high=1, default=0.5), 2, (0.0, 1.0)),
        (Float(low=0, high=1, default=0.5), 5, (0.0, 0.25, 0.5, 0.75, 1.0)),
        (Float(low=1e-4, high=1.0, log=True, default=1e-3), 3, (1e-4, 1e-2, 1.0)),
        (Int(low=2, high=4, default=3), 3, (2, 3, 4)),
        (Int(low=2, high=4, default=3), 100, (2, 3, 4)),
        (Int(low=1, high=100, log=True, default=3), 3, (1, 10, 100)),
        (Choice("b", "a", True, 3), 2, ("b", "a", True, 3)),
    ],
)
def test_values_are_even_in_the_knobs_scale_with_both_ends(knob: Knob, num_points: int, expected: tuple[Value, ...]) -> None:
    found = values(knob, num_points)
    assert found == pytest.approx(expected) if isinstance(knob, Float) else found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]
    assert {found[0], found[-1]} == {expected[0], expected[-1]}, "ends are exact"


def test_a_conditional_knob_multiplies_only_its_branch() -> None:
    assert Grid(SMALL, {}, 3).size == 3 * (1 + 3)
    assert Grid(SMALL, {"color": "red"}, 3).size == 3
    assert Grid(SMALL, {"color": "green"}, 3).size == 9
    assert Grid(SMALL, {"depth": 4, "shade": 0.1}, 3).size == 2


@given(spaces(), st.integers(2, 5), st.data())
def test_every_point_has_one_index(space: Space, num_points: int, data: st.DataObject) -> None:
    default = space.default()
    fixed = {name: default[name] for name in data.draw(st.sets(st.sampled_from(sorted(default)))) if default} if default else {}
    grid = Grid(space, fixed, num_points)
    assume(grid.size <= 2000)
    points = [grid.point(index) for index in range(grid.size)]
    assert sorted(map(exact, points)) == sorted(map(exact, listed(space, num_points, fixed)))
    assert len(set(map(exact, points))) == len(points)
    if grid.default_index is None:
        assert space.default(fixed) not in points
        assert grid.num_trials == grid.size + 1
    else:
        assert points[grid.default_index] == pytest.approx(space.default(fixed))
        assert grid.num_trials == grid.size


@pytest.mark.long
@pytest.mark.parametrize("name", catalog.names("space"))
@given(data=st.data())
def test_points_of_every_real_space_are_complete(name: str, data: st.DataObject) -> None:
    space = catalog.load("space", name)
    grid = Grid(space, {}, data.draw(st.integers(2, 100)))
    point = grid.point(data.draw(st.integers(0, grid.size - 1)))
    assert space.problems(point) == []
    assert list(point) == [knob for knob in space.knobs if knob in point]


def test_billions_are_counted_without_being_listed() -> None:
    space = Space(architecture="any", model={f"knob{number}": Float(low=0, high=1, default=0) for number in range(20)})
    grid = Grid(space, {}, 100)
    assert grid.size == 100**20
    assert set(grid.point(0).values()) == {0.0}
    assert set(grid.point(grid.size - 1).values()) == {1.0}
    assert grid.default_index == 0
    assert len({exact(grid.point(index)) for index in itertools.chain(range(50), range(10**30, 10**30 + 50))}) == 100
