"""The sampler for users of Optuna, in Optuna's own studies."""

from __future__ import annotations

import math

import optuna
import pytest

import sweeper
from sweeper.errors import InputError
from sweeper.study.space import Knob

KNOBS: dict[str, Knob] = {
    "width": sweeper.Int(low=4, high=64, log=True, default=16),
    "rate": sweeper.Float(low=1e-4, high=1e-1, log=True, default=1e-2),
    "pooling": sweeper.Choice("max", "average"),
    "slope": sweeper.Float(low=0.0, high=1.0, default=0.5).when(pooling="max"),
}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def score(trial: optuna.Trial) -> float:
    """Best, at 1, with a width of 32, a rate of 0.003, and max pooling with a slope of 0.2."""
    width, rate = trial.suggest_int("width", 4, 64, log=True), trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    off = abs(width - 32) / 60 + abs(math.log10(rate / 3e-3))
    if trial.suggest_categorical("pooling", ["max", "average"]) == "average":
        return 0.5 - off
    return 1 - off - abs(trial.suggest_float("slope", 0.0, 1.0) - 0.2)


def study_of(seed: int, knobs: dict[str, Knob] | None = None, trials: int = 25, direction: str = "maximize") -> optuna.Study:
    study = optuna.create_study(direction=direction, sampler=sweeper.OptunaSampler(knobs, seed=seed))
    sign = 1 if direction == "maximize" else -1
    study.optimize(lambda trial: sign * score(trial), n_trials=trials)
    return study


def test_the_first_trial_is_the_default_and_conditions_are_kept() -> None:
    study = study_of(0, KNOBS, trials=12)
    assert study.trials[0].params == {"width": 16, "rate": 1e-2, "pooling": "max", "slope": 0.5}
    assert {trial.params["pooling"] for trial in study.trials} == {"max", "average"}
    assert all(("slope" in trial.params) == (trial.params["pooling"] == "max") for trial in study.trials)


@pytest.mark.long
def test_it_finds_better_than_chance() -> None:
    ours = [study_of(seed, KNOBS).best_value for seed in range(3)]
    at_random = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    at_random.optimize(score, n_trials=75)
    assert sum(ours) / 3 > at_random.best_value, "the mean of three times 25 trials, against the best of 75"


def test_the_same_seed_gives_the_same_trials_whichever_way_is_up() -> None:
    up, down = study_of(1, trials=12), study_of(1, trials=12, direction="minimize")
    assert [trial.params for trial in up.trials] == [trial.params for trial in down.trials]


def test_pruned_and_failed_trials_and_odd_parameters_are_taken() -> None:
    def objective(trial: optuna.Trial) -> float:
        x, stepped = trial.suggest_float("x", 0, 1), trial.suggest_float("stepped", 0, 1, step=0.25)
        odd = trial.suggest_categorical("odd", [None, "a"])
        trial.report(x, 1)
        if trial.number % 3 == 0:
            raise optuna.TrialPruned
        if trial.number == 1:
            raise RuntimeError("diverged")
        return x + 0.01 * stepped + 0.01 * (odd is None)

    study = optuna.create_study(sampler=sweeper.OptunaSampler(seed=3))
    study.optimize(objective, n_trials=15, catch=RuntimeError)
    assert [trial.state.name for trial in study.trials[:3]] == ["PRUNED", "FAIL", "COMPLETE"]
    assert min(trial.params["x"] for trial in study.trials[8:]) < 0.15


def test_several_objectives_are_refused() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sweeper.OptunaSampler())
    with pytest.raises(InputError, match="one objective"):
        study.ask().suggest_float("x", 0, 1)
