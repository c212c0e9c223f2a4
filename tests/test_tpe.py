"""The TPE sampler suggests what Optuna's own does, number for number, also where Optuna has a history of its own kind."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper import catalog
from sweeper.search.history import Finished
from sweeper.search.sampler import RandomSampler
from sweeper.search.tpe import STARTUP_TRIALS, TpeSampler
from sweeper.study.space import Choice, Configuration, Float, Int, Knob, Space, Value
from tests.test_space import spaces


def distribution(knob: Knob) -> Any:
    if isinstance(knob, Choice):
        return optuna.distributions.CategoricalDistribution(knob.options)
    if isinstance(knob, Int):
        return optuna.distributions.IntDistribution(knob.low, knob.high, log=knob.log)
    assert isinstance(knob, Float)
    return optuna.distributions.FloatDistribution(knob.low, knob.high, log=knob.log)


def ask(trial: optuna.Trial, name: str, knob: Knob) -> Value:
    if isinstance(knob, Choice):
        chosen = trial.suggest_categorical(name, knob.options)
        assert chosen is not None
        return chosen
    if isinstance(knob, Int):
        return trial.suggest_int(name, knob.low, knob.high, log=knob.log)
    assert isinstance(knob, Float)
    return trial.suggest_float(name, knob.low, knob.high, log=knob.log)


def frozen(space: Space, fixed: Mapping[str, Value], trial: Finished) -> optuna.trial.FrozenTrial:
    knobs = {name: knob for name, knob in space.active(trial.configuration).items() if name not in fixed}
    is_complete = trial.is_complete and bool(trial.scores) and math.isfinite(trial.scores[-1])
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.COMPLETE if is_complete else optuna.trial.TrialState.PRUNED,
        value=trial.scores[-1] if is_complete else None,
        params={name: trial.configuration[name] for name in knobs},
        distributions={name: distribution(knob) for name, knob in knobs.items()},
        intermediate_values=dict(enumerate(trial.scores, start=1)),
    )


def by_optuna(space: Space, fixed: Mapping[str, Value], history: Sequence[Finished], seed: int) -> Configuration:
    """What Optuna itself suggests."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials([frozen(space, fixed, trial) for trial in history])
    asked = study.ask()
    return space.fill(fixed, lambda name, knob: ask(asked, name, knob))


def history(space: Space, fixed: Mapping[str, Value], count: int, seed: int) -> list[Finished]:
    """Trials that were completed, stopped, diverged or never trained, with many equal scores."""
    generator = np.random.default_rng(seed)
    sampler = RandomSampler(space, fixed)
    found = []
    for number in range(count):
        scores = tuple(map(float, np.round(generator.normal(size=generator.integers(5)), 1)))
        if generator.random() < 0.2:
            scores = (*scores, math.nan)
        configuration = sampler.suggest([], number=1, seed=number)
        found.append(Finished(configuration=configuration, scores=scores, is_complete=bool(generator.random() < 0.6)))
    return found


@given(space=spaces(), count=st.integers(0, 40), seed=st.integers(0, 2**31 - 1), has_fixed=st.booleans())
@settings(max_examples=60, deadline=None)
def test_it_suggests_what_optuna_does(space: Space, count: int, seed: int, has_fixed: bool) -> None:
    fixed = {name: knob.default for name, knob in list(space.knobs.items())[:1]} if has_fixed else {}
    past = history(space, fixed, count, seed)
    sampler = TpeSampler(space, fixed)
    for known in (count // 2, count):
        assert sampler.suggest(past[:known], number=1, seed=seed) == by_optuna(space, fixed, past[:known], seed)


@pytest.mark.parametrize("name", ["cnn", "resnet", "vit"])
def test_it_does_so_after_many_trials(name: str) -> None:
    space = catalog.load("space", name)
    past = history(space, {}, 300, seed=3)
    sampler = TpeSampler(space, {})
    for known in (3, 7, 100, 300):
        assert sampler.suggest(past[:known], number=1, seed=known) == by_optuna(space, {}, past[:known], known)
