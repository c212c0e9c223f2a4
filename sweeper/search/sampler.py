"""Samplers: the next configuration of an arm, as a pure function of (space, history, number, seed).

``random`` draws every knob on its own. ``qmc`` and ``grid`` (see `sweeper.search.points`) lay their points out in advance: a
trial's number says which one it gets. ``tpe`` asks Optuna: each finished trial of the arm is added once, and every suggestion
comes from a fresh sampler with its own seed. So a suggestion is the same live or folded from a ledger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from sweeper.search.history import Finished
from sweeper.search.points import GridSampler, QmcSampler, value_at
from sweeper.streams import seed_of
from sweeper.study.grid import DEFAULT_POINTS, Grid
from sweeper.study.space import Choice, Configuration, Float, Int, Knob, Space, Value
from sweeper.study.spec import StudySpec

STARTUP_TRIALS = 5
"""Finished trials of an arm before ``tpe`` stops drawing at random: few, because a budget is split over arms."""


class Sampler(Protocol):
    """What a search asks for configurations."""

    def suggest(self, history: Sequence[Finished], *, number: int, seed: int) -> Configuration:
        """The configuration of a trial.

        Args:
            history: The arm's finished trials in the order they finished; from call to call it may only grow.
            number: The trial's number in its arm, from 1; 0 is the default configuration, which no sampler is asked for.
            seed: Of this suggestion.
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


class TpeSampler:
    """Tree-structured Parzen estimator over the arm's finished trials; trials stopped early count by how far they came.

    Running trials are ignored: each suggestion has its own seed, so parallel suggestions differ.

    Source: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization"; Optuna's multivariate form with groups, which
    follows conditional knobs.
    """

    def __init__(self, space: Space, fixed: Mapping[str, Value]):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._fixed = fixed
        self._study = optuna.create_study(direction="maximize")
        self._told = 0

    def suggest(self, history: Sequence[Finished], *, number: int, seed: int) -> Configuration:
        """As `Sampler.suggest`; `number` does not matter."""
        import warnings

        import optuna

        for trial in history[self._told :]:
            self._study.add_trial(self._frozen(trial))
        self._told = len(history)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True
            )
        asked = self._study.ask()
        configuration = self._space.fill(self._fixed, lambda name, knob: _ask(asked, name, knob))
        # This suggestion must not influence later ones: Optuna ignores failed trials.
        self._study.tell(asked, state=optuna.trial.TrialState.FAIL)
        return configuration

    def _frozen(self, trial: Finished) -> Any:
        import optuna

        # A space may have been edited since the trial ran: what it says about knobs and values that still exist is kept.
        knobs = {
            name: knob
            for name, knob in self._space.active(trial.configuration).items()
            if name not in self._fixed and knob.problem(trial.configuration.get(name)) is None
        }
        is_complete = trial.is_complete and bool(trial.scores) and math.isfinite(trial.scores[-1])
        state = optuna.trial.TrialState.COMPLETE if is_complete else optuna.trial.TrialState.PRUNED
        return optuna.trial.create_trial(
            state=state,
            value=trial.scores[-1] if is_complete else None,
            params={name: trial.configuration[name] for name in knobs},
            distributions={name: _distribution(knob) for name, knob in knobs.items()},
            intermediate_values=dict(enumerate(trial.scores, start=1)),
        )


SAMPLERS: Mapping[str, Callable[[Space, Mapping[str, Value], int, int], Sampler]] = {
    "tpe": lambda space, fixed, seed, num_points: TpeSampler(space, fixed),
    "random": lambda space, fixed, seed, num_points: RandomSampler(space, fixed),
    "qmc": lambda space, fixed, seed, num_points: QmcSampler(space, fixed, seed),
    "grid": lambda space, fixed, seed, num_points: GridSampler(Grid(space, fixed, num_points), seed),
}
"""What makes the sampler of an arm, by name, from its space, its fixed values, a seed of the arm, and `search.grid_points`."""


def sampler_of(spec: StudySpec, arm: str, space: Space) -> Sampler:
    """The sampler a study names, for one of its arms and that arm's search space."""
    search = spec.search
    seed = seed_of(search.seed, arm, search.sampler)
    return SAMPLERS[search.sampler](space, spec.arms[arm].fixed, seed, search.grid_points or DEFAULT_POINTS)


def _draw(knob: Knob, generator: np.random.Generator) -> Value:
    if isinstance(knob, Choice):
        return knob.options[int(generator.integers(len(knob.options)))]
    if isinstance(knob, Int) and not knob.log:
        return int(generator.integers(knob.low, knob.high, endpoint=True))
    return value_at(knob, generator.random())


def _ask(trial: Any, name: str, knob: Knob) -> Value:
    value: Value
    if isinstance(knob, Choice):
        value = trial.suggest_categorical(name, knob.options)
    elif isinstance(knob, Int):
        value = trial.suggest_int(name, knob.low, knob.high, log=knob.log)
    else:
        assert isinstance(knob, Float)
        value = trial.suggest_float(name, knob.low, knob.high, log=knob.log)
    return value


def _distribution(knob: Knob) -> Any:
    from optuna import distributions

    if isinstance(knob, Choice):
        return distributions.CategoricalDistribution(knob.options)
    if isinstance(knob, Int):
        return distributions.IntDistribution(knob.low, knob.high, log=knob.log)
    assert isinstance(knob, Float)
    return distributions.FloatDistribution(knob.low, knob.high, log=knob.log)
