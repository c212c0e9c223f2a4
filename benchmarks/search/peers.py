"""Peers of our search, each through its own classes: Optuna and Ray Tune on the clock of a replay.

- Optuna's `TPESampler`, with its defaults, alone and with `HyperbandPruner(min_resource=1, max_resource=epochs,
  reduction_factor=3)`: a study is asked and told. Every epoch is reported, with steps that count epochs from 1; a trial that is
  pruned frees its worker.
- Ray Tune's `AsyncHyperBandScheduler`, with its defaults (first rung after 1 epoch, one in 4 goes on) and `max_t=epochs`, over
  random configurations: it is called as Tune's controller calls it.

Peers do not know that only some configurations were recorded. What Optuna suggests anywhere in the space becomes the nearest
configuration that was not taken yet, and its study learns of the outcome as if it were that of the suggestion. Our samplers score
the configurations that are there: an advantage of ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner
from optuna.trial import TrialState

from sweeper.replay.clock import Searcher
from sweeper.replay.curves import Task
from sweeper.search.points import share_of
from sweeper.search.tpe import distribution_of
from sweeper.study.space import Choice, Configuration, Float, Int, Knob, Space

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Nearest:
    """Configurations of which each is taken once: of those left the nearest to a suggestion.

    Distances are Euclidean, over numbers as parts of their range (in their logarithm where the knob has it); two options differ
    as much as the ends of a range do. A knob that does not exist counts as the low end.

    Args:
        space: The search space.
        configurations: One for each row.
    """

    def __init__(self, space: Space, configurations: Sequence[Configuration]):
        self._space = space
        self._points = np.array([self._point(one) for one in configurations])
        self.num_left = len(configurations)

    def take(self, configuration: Configuration) -> int:
        """The row of the nearest one; one must be left."""
        distances = ((self._points - self._point(configuration)) ** 2).sum(axis=1)
        row = int(np.argmin(distances))
        self._points[row] = np.inf
        self.num_left -= 1
        return row

    def _point(self, configuration: Configuration) -> NDArray[np.float64]:
        return np.array([part for name, knob in self._space.knobs.items() for part in _parts(knob, configuration.get(name))])


def _parts(knob: Knob, value: Any) -> list[float]:
    if isinstance(knob, Choice):
        return [math.sqrt(0.5) * (value == option) for option in knob.options]
    assert isinstance(knob, Float | Int)
    return [share_of(knob, knob.low if value is None else value)]


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The search space in Optuna's words."""
    return {name: distribution_of(knob) for name, knob in space.knobs.items()}


class Optuna:
    """A study of Optuna over a task.

    Args:
        task: Recorded trainings.
        seed: Of the sampler.
        pruner: Stops trials early. Its brackets follow from the name of the study, which follows from the seed.
    """

    def __init__(self, task: Task, seed: int, pruner: BasePruner):
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner, study_name=str(seed))
        self._distributions = distributions(task.space)
        self._nearest = Nearest(task.space, task.configurations)
        self._task, self._lengths = task, [len(values) for values in task.values]
        self._running: dict[str, tuple[optuna.Trial, int]] = {}

    def propose(self) -> tuple[str, Task, int] | None:
        """As `Searcher.propose`."""
        if not self._nearest.num_left:
            return None
        trial = self._study.ask(self._distributions)
        row = self._nearest.take(trial.params)
        self._running[str(trial.number)] = trial, row
        return str(trial.number), self._task, row

    def tell(self, trial: str, epoch: int, value: float) -> bool:
        """As `Searcher.tell`."""
        own, row = self._running[trial]
        own.report(value, step=epoch)
        if own.should_prune():
            self._study.tell(own, state=TrialState.PRUNED)
        elif epoch == self._lengths[row]:
            self._study.tell(own, value)
        else:
            return True
        del self._running[trial]
        return False


class RayAsha:
    """Ray Tune's asynchronous successive halving over the configurations of a task, in random order.

    Args:
        task: Recorded trainings.
        seed: Of the order.
    """

    def __init__(self, task: Task, seed: int):
        from ray.tune.schedulers import AsyncHyperBandScheduler

        self._scheduler = AsyncHyperBandScheduler(metric="value", mode="max", max_t=task.max_epochs)
        self._order = iter(np.random.default_rng(seed).permutation(len(task.values)).tolist())
        self._task, self._lengths = task, [len(values) for values in task.values]

    def propose(self) -> tuple[str, Task, int] | None:
        """As `Searcher.propose`."""
        row = next(self._order, None)
        if row is None:
            return None
        self._scheduler.on_trial_add(None, _trial(str(row)))
        return str(row), self._task, row

    def tell(self, trial: str, epoch: int, value: float) -> bool:
        """As `Searcher.tell`."""
        result = {"training_iteration": epoch, "value": value}
        is_stopped = self._scheduler.on_trial_result(None, _trial(trial), result) == self._scheduler.STOP
        if not is_stopped and epoch < self._lengths[int(trial)]:
            return True
        self._scheduler.on_trial_complete(None, _trial(trial), result)
        return False


def _trial(name: str) -> Any:
    """All that the scheduler wants of a trial of Tune."""
    return SimpleNamespace(trial_id=name)


def _pruned(task: Task, seed: int) -> Searcher:
    return Optuna(task, seed, HyperbandPruner(min_resource=1, max_resource=task.max_epochs, reduction_factor=3))


PEERS: dict[tuple[str, str], Callable[[Task, int], Searcher]] = {
    ("Optuna TPE", "none"): lambda task, seed: Optuna(task, seed, NopPruner()),
    ("Optuna TPE", "Hyperband"): _pruned,
    ("random", "Ray ASHA"): RayAsha,
}
"""By sampler and rule of early stopping."""
