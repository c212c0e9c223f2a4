"""Samplers: the next configuration of an arm, as a pure function of (space, history, seed).

``random`` draws every knob on its own. ``tpe`` asks Optuna: the history of the arm is told once, and every question goes to a
fresh sampler with its own seed, so the answer depends on the history and the seed alone, live or folded from a ledger.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sweeper.space import Choice, Configuration, Float, Int, Knob, Space, Value, is_active

STARTUP_TRIALS = 5
"""Finished trials of an arm before ``tpe`` stops drawing at random: few, because a budget is split over arms."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finished:
    """What a sampler learns from one finished trial.

    Args:
        configuration: All knobs, fixed ones included.
        scores: The objective after each epoch, higher is better; NaN where it diverged. Empty when no epoch was trained.
        is_complete: Whether it trained to the end; otherwise it was stopped early or failed.
    """

    configuration: Mapping[str, Value]
    scores: tuple[float, ...]
    is_complete: bool


class RandomSampler:
    """Every active knob drawn on its own: uniform, or log-uniform where the knob is logarithmic."""

    def __init__(self, space: Space, fixed: Mapping[str, Value]):
        self._space = space
        self._fixed = fixed

    def suggest(self, history: Sequence[Finished], seed: int) -> Configuration:
        """A configuration; `history` plays no part."""
        generator = np.random.default_rng(seed)
        configuration: Configuration = dict(self._fixed)
        for name, knob in self._space.knobs.items():
            if name not in configuration and is_active(knob, configuration, configuration):
                configuration[name] = _draw(knob, generator)
        return configuration


class TpeSampler:
    """Tree-structured Parzen estimator over the arm's finished trials; trials stopped early count by how far they came.

    Trials that are running play no part: each question has its own seed, which keeps parallel answers apart.

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

    def suggest(self, history: Sequence[Finished], seed: int) -> Configuration:
        """The next configuration.

        Args:
            history: The arm's finished trials in the order they finished; from call to call it may only grow.
            seed: Of this question.
        """
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
        configuration: Configuration = dict(self._fixed)
        for name, knob in self._space.knobs.items():
            if name not in configuration and is_active(knob, configuration, configuration):
                configuration[name] = _ask(asked, name, knob)
        # The question itself must leave no trace: a failed trial plays no part in later answers.
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


SAMPLERS: dict[str, type[RandomSampler] | type[TpeSampler]] = {"random": RandomSampler, "tpe": TpeSampler}
"""By the name a study uses."""


def _draw(knob: Knob, generator: np.random.Generator) -> Value:
    if isinstance(knob, Choice):
        return knob.options[int(generator.integers(len(knob.options)))]
    if isinstance(knob, Int) and not knob.log:
        return int(generator.integers(knob.low, knob.high, endpoint=True))
    assert isinstance(knob, Float | Int)
    if isinstance(knob, Int):
        # Half a step more on each side, so that the first and the last whole number are as likely as their neighbours.
        exponent = generator.uniform(math.log(knob.low - 0.5), math.log(knob.high + 0.5))
        return min(max(round(math.exp(exponent)), knob.low), knob.high)
    if knob.log:
        return min(max(math.exp(generator.uniform(math.log(knob.low), math.log(knob.high))), knob.low), knob.high)
    return float(generator.uniform(knob.low, knob.high))


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
