"""Samplers that lay their points out in advance: what they cover, and that a number alone says which point it is."""

from __future__ import annotations

import math
import random
import warnings
from collections import Counter
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sweeper import catalog
from sweeper.search.arm import Arm
from sweeper.search.points import GridSampler, QmcSampler, value_at
from sweeper.search.sampler import SAMPLERS, RandomSampler, Sampler
from sweeper.search.study import Search
from sweeper.streams import seed_of
from sweeper.study.grid import Grid, values
from sweeper.study.space import Choice, Configuration, Float, Int, Knob, Space, Value
from sweeper.study.spec import SearchSpec, parse
from tests.test_grid import exact
from tests.test_space import spaces
from tests.virtual_clock import VirtualClock

seeds = st.integers(0, 2**31 - 1)

STUDY = "name: a\ndataset: {name: digits}\narms: {cnn: }\nbudget: {trials: 3, max_epochs: 1}\n"

SPACE = Space(
    architecture="any",
    model={
        "color": Choice("red", "green", "blue", "black"),
        "depth": Int(low=1, high=8, default=2),
        "slope": Float(low=0.0, high=1.0, default=0.1),
        "shade": Float(low=0.01, high=0.5, default=0.1).when(color=("green", "blue")),
    },
    training={"learning_rate": Float(low=1e-4, high=1e-1, log=True, default=1e-3)},
)


def asked(sampler: Sampler, count: int) -> list[Configuration]:
    """The configurations of trials 1 to `count`, each question with a seed of its own."""
    return [sampler.suggest([], number=number, seed=seed_of("test", number)) for number in range(1, count + 1)]


def column(configurations: list[Configuration], name: str) -> list[float]:
    return [float(configuration[name]) for configuration in configurations]


def test_a_study_file_may_name_every_sampler() -> None:
    assert get_args(SearchSpec.model_fields["sampler"].annotation) == tuple(SAMPLERS)


@pytest.mark.parametrize("kind", ["qmc", "grid"])
@pytest.mark.parametrize("name", catalog.names("space"))
@settings(max_examples=5, deadline=None)
@given(number=st.integers(1, 10**6), seed=seeds)
def test_every_configuration_is_a_point_of_its_space(kind: str, name: str, number: int, seed: int) -> None:
    """Of every search space there is: complete, in range, only knobs that exist."""
    space = catalog.load("space", name)
    sampler = SAMPLERS[kind](space, {}, seed, parse(f"{STUDY}search: {{sampler: {kind}}}"))
    configuration = sampler.suggest([], number=number, seed=0)
    assert space.problems(configuration) == []
    assert sampler.suggest([], number=number, seed=1) == configuration


@pytest.mark.parametrize("sampler", ["qmc", "grid"])
def test_number_seven_alone_is_number_seven_in_sequence(sampler: str) -> None:
    study = parse(
        "name: a\ndataset: {name: digits}\narms: {cnn: , again: {architecture: cnn}}\nbudget: {trials: 40, max_epochs: 1}\n"
        f"search: {{sampler: {sampler}, seed: 3}}\n"
    )
    search = Search(study)
    VirtualClock(search, 3, lambda trial, epoch: 0.5, lambda trial: 1.0).run()
    for arm in study.arms:
        for number in (19, 7, 0):
            alone = Search(study)._proposals.configuration(study, arm, number, Arm.of(study))
            assert alone == search.trials[f"{arm}-{number:05d}"].configuration
    first, second = (search.trials[f"{arm}-00007"].configuration for arm in study.arms)
    assert first != second, "arms have seeds of their own"


# ------------------------------------------------------------------------------------------------------ points of Sobol


@pytest.mark.parametrize("seed", range(5))
def test_qmc_gives_equal_shares(seed: int) -> None:
    found = asked(QmcSampler(SPACE, {}, seed), 64)
    assert Counter(configuration["color"] for configuration in found) == dict.fromkeys(("red", "green", "blue", "black"), 16)
    assert Counter(configuration["depth"] for configuration in found) == dict.fromkeys(range(1, 9), 8)


@pytest.mark.parametrize("seed", range(5))
def test_qmc_is_uniform_in_the_logarithm_of_a_logarithmic_knob(seed: int) -> None:
    rates = column(asked(QmcSampler(SPACE, {}, seed), 64), "learning_rate")
    counts, _ = np.histogram(np.log10(rates), bins=16, range=(-4, -1))
    assert set(counts) == {4}


@pytest.mark.parametrize("seed", range(5))
def test_qmc_covers_more_evenly_than_random(seed: int) -> None:
    from scipy.stats import qmc

    def discrepancy(sampler: Sampler) -> float:
        found = asked(sampler, 64)
        rates = (np.log10(column(found, "learning_rate")) + 4) / 3
        return float(qmc.discrepancy(np.column_stack([rates, column(found, "slope")])))

    assert discrepancy(QmcSampler(SPACE, {}, seed)) < 0.2 * discrepancy(RandomSampler(SPACE, {}))


def test_qmc_has_a_dimension_for_every_knob_that_is_not_fixed() -> None:
    """So a condition that holds or not moves no other knob, and a conditional knob exists only where it holds."""
    found = asked(QmcSampler(SPACE, {}, 0), 64)
    assert all(("shade" in configuration) == (configuration["color"] in ("green", "blue")) for configuration in found)
    fixed = asked(QmcSampler(SPACE, {"slope": 0.25, "other": 3}, 0), 64)
    assert {(configuration["slope"], configuration["other"]) for configuration in fixed} == {(0.25, 3)}
    assert Counter(configuration["color"] for configuration in fixed)["red"] == 16
    everything = SPACE.default()
    assert asked(QmcSampler(SPACE, everything, 0), 3) == [everything] * 3


def test_qmc_gives_the_points_of_the_sequence_one_by_one() -> None:
    from scipy.stats import qmc

    space = Space(architecture="any", model={name: Float(low=0, high=1, default=0) for name in "abc"})
    found = [list(configuration.values()) for configuration in asked(QmcSampler(space, {}, 5), 32)]
    assert found == qmc.Sobol(3, rng=5).random_base2(5).tolist()


def test_qmc_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asked(QmcSampler(SPACE, {}, 0), 7)


@pytest.mark.parametrize(
    ("knob", "share", "value"),
    [
        (Choice("a", "b", "c"), 0.0, "a"),
        (Choice("a", "b", "c"), 1 - 2**-53, "c"),
        (Int(low=1, high=4, default=1), 0.2499, 1),
        (Int(low=1, high=4, default=1), 0.25, 2),
        (Int(low=1, high=4, default=1), 1 - 2**-53, 4),
        (Int(low=1, high=4, log=True, default=1), 0.0, 1),
        (Int(low=1, high=4, log=True, default=1), 1 - 2**-53, 4),
        (Float(low=-1, high=1, default=0), 0.75, 0.5),
        (Float(low=1e-4, high=1.0, log=True, default=1e-3), 0.5, 1e-2),
    ],
)
def test_value_at_a_share(knob: Knob, share: float, value: Value) -> None:
    found = value_at(knob, share)
    assert found == pytest.approx(value) if isinstance(knob, Float) else found == value
    assert knob.problem(found) is None


# ------------------------------------------------------------------------------------------------------- points of grids


@settings(deadline=None)
@given(space=spaces(), num_points=st.integers(2, 4), seed=seeds)
def test_grid_visits_every_point_once_and_the_default_never_again(space: Space, num_points: int, seed: int) -> None:
    grid = Grid(space, {}, num_points)
    assume(grid.size <= 300)
    everything = {exact(grid.point(index)) for index in range(grid.size)}
    if grid.default_index is not None:
        everything -= {exact(grid.point(grid.default_index))}
    visited = list(map(exact, asked(GridSampler(grid, seed), grid.num_trials - 1)))
    assert len(visited) == len(set(visited))
    assert set(visited) == everything


def test_grid_begins_anew_behind_its_last_point() -> None:
    """The case of a search space that was made smaller after the study began."""
    sampler = GridSampler(grid := Grid(SPACE, {"color": "red", "depth": 1}, 2), 0)
    round_trip = grid.num_trials - 1
    assert asked(sampler, 2 * round_trip) == 2 * asked(sampler, round_trip)
    everything = SPACE.default()
    assert asked(GridSampler(Grid(SPACE, everything, 2), 0), 2) == [everything] * 2


@pytest.mark.parametrize("name", ["cnn", "resnet", "vit"])
@pytest.mark.parametrize("seed", range(5))
def test_a_small_part_of_a_large_grid_covers_it_evenly(name: str, seed: int) -> None:
    """Of millions of points 48 are visited, and every value of every knob comes about as often as its share."""
    space = catalog.load("space", name)
    grid = Grid(space, {}, 3)
    expected = {
        (knob, value): 48 * Grid(space, {knob: value}, 3).size / grid.size
        for knob, own in space.knobs.items()
        if own.condition is None
        for value in values(own, 3)
    }

    def unevenness(found: list[Configuration]) -> float:
        counts = Counter(item for configuration in found for item in configuration.items())
        return sum((counts[item] - count) ** 2 for item, count in expected.items())

    chance = random.Random(seed)
    at_random = [unevenness([grid.point(chance.randrange(grid.size)) for _ in range(48)]) for _ in range(10)]
    assert unevenness(asked(GridSampler(grid, seed), 48)) < 0.5 * sum(at_random) / 10


def test_seeds_give_other_orders() -> None:
    grid = Grid(SPACE, {}, 3)
    assert len({tuple(map(exact, asked(GridSampler(grid, seed), 3))) for seed in range(20)}) == 20


def test_a_huge_grid_is_quick_and_even() -> None:
    model: dict[str, Any] = {f"knob{number}": Float(low=0, high=1, default=0) for number in range(20)}
    grid = Grid(Space(architecture="any", model=model), {}, 100)
    found = asked(GridSampler(grid, 0), 48)
    assert len(set(map(exact, found))) == 48
    assert all(math.isclose(sum(column(found, name)) / 48, 0.5, abs_tol=0.15) for name in model)
