"""Samplers: the next configuration of an arm, as a pure function of (space, history, number, seed).

``random`` draws every knob on its own. ``qmc`` and ``grid`` (see `sweeper.search.points`) lay their points out in advance: a
trial's number says which one it gets. ``trees`` (see `sweeper.search.trees`) learns from all trials of the arm, ``tpe`` (see
`sweeper.search.tpe`) from those that ended, and every suggestion has its own seed. So a suggestion is the same live or folded
from a ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from sweeper.search.costs import Columns
from sweeper.search.history import Finished
from sweeper.search.points import GridSampler, QmcSampler, value_at
from sweeper.search.prior import Prior
from sweeper.search.tpe import TpeSampler
from sweeper.search.trees import TreesSampler
from sweeper.streams import seed_of
from sweeper.study.grid import DEFAULT_POINTS, Grid
from sweeper.study.space import Choice, Configuration, Int, Knob, Space, Value
from sweeper.study.spec import StudySpec


class Sampler(Protocol):
    """What a search asks for configurations."""

    def suggest(self, history: Sequence[Finished], *, number: int, seed: int) -> Configuration:
        """The configuration of a trial.

        Args:
            history: Lessons of earlier studies, then the arm's finished trials in the order they finished; from call to call it
                may only grow. `TreesSampler` alone is given all trials, as far as they came.
            number: The trial's number among those of its arm that samplers are asked for, from 1: not for the default
                configuration and the points of the study file. It grows by one each time the sampler is asked again, because it
                gave what the arm was given already.
            seed: Of this suggestion; another one each time.
        """


class RandomSampler:
    """Every active knob drawn on its own: uniform, or log-uniform where the knob is logarithmic."""

    def __init__(self, space: Space, fixed: Mapping[str, Value]):
        self._space = space
        self._fixed = fixed

    def suggest(self, history: Sequence[Finished], *, number: int, seed: int) -> Configuration:
        """As `Sampler.suggest`; only `seed` matters."""
        generator = np.random.default_rng(seed)
        return self._space.fill(self._fixed, lambda _, knob: _draw(knob, generator))


SAMPLERS: Mapping[str, Callable[[Space, Mapping[str, Value], int, StudySpec], Sampler]] = {
    "tpe": lambda space, fixed, seed, spec: TpeSampler(space, fixed, _prior(space, fixed, spec)),
    "trees": lambda space, fixed, seed, spec: TreesSampler(space, fixed, _prior(space, fixed, spec), Columns.of(spec)),
    "random": lambda space, fixed, seed, spec: RandomSampler(space, fixed),
    "qmc": lambda space, fixed, seed, spec: QmcSampler(space, fixed, seed),
    "grid": lambda space, fixed, seed, spec: GridSampler(Grid(space, fixed, spec.search.grid_points or DEFAULT_POINTS), seed),
}
"""What makes the sampler of an arm, by name, from its space, its fixed values, a seed of the arm, and the study."""


def sampler_of(spec: StudySpec, arm: str, space: Space) -> Sampler:
    """The sampler a study names, for one of its arms and that arm's search space."""
    name = spec.search.sampler
    return SAMPLERS[name](space, spec.arms[arm].fixed, seed_of(spec.search.seed, arm, name), spec)


def _prior(space: Space, fixed: Mapping[str, Value], spec: StudySpec) -> Prior | None:
    return Prior(space, fixed) if spec.search.prior == "default" else None


def _draw(knob: Knob, generator: np.random.Generator) -> Value:
    if isinstance(knob, Choice):
        return knob.options[int(generator.integers(len(knob.options)))]
    if isinstance(knob, Int) and not knob.log:
        return int(generator.integers(knob.low, knob.high, endpoint=True))
    return value_at(knob, generator.random())
