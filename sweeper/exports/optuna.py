"""A study as a storage of Optuna, which optuna-dashboard and `optuna.load_study` open.

The storage holds one study per arm, with the knobs of that arm as they were searched, and above them one of all trials. In that
one ``arm`` is a parameter, and so is every knob that all arms search in the same way: Optuna wants one range per name, and sixty
knobs of which each trial has a few would hide in its importances what tells the arms apart. The others are user attributes there.
Trials of the search alone are in it: among repetitions the luckiest would pass for the best.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.errors import SweeperError
from sweeper.exports.trials import PER_EPOCH, Study, Trial, finite, replacing
from sweeper.ledger.records import METRICS, Stage, Status
from sweeper.study.space import Choice, Float, Int, Knob, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial, TrialState

Distributions = Mapping[str, "BaseDistribution"]

FILE = "optuna.db"


def write(study: Study, folder: str) -> list[str]:
    """The path of the storage, an SQLite file that replaces an older one.

    Args:
        study: What to write.
        folder: Where; it exists.
    """
    import optuna

    path = Path(folder) / FILE
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with replacing(path) as new:
            storage = optuna.storages.RDBStorage(f"sqlite:///{new}")
            _fill(study, storage)
            storage.remove_session()
            storage.engine.dispose()
    finally:
        optuna.logging.set_verbosity(verbosity)
    return [str(path)]


def _fill(study: Study, storage: RDBStorage) -> None:
    """Add the studies to an empty storage."""
    from optuna.distributions import CategoricalDistribution

    trials = [trial for trial in study.trials if trial.facts["stage"] == Stage.SEARCH]
    spaces = {arm: distributions(study, arm, [one for one in trials if one.facts["arm"] == arm]) for arm in study.spec.arms}
    shared = _shared(spaces)
    arm_choice = CategoricalDistribution(tuple(spaces))

    def of_all(trial: Trial) -> FrozenTrial:
        arm = str(trial.facts["arm"])
        common = {name: how for name, how in spaces[arm].items() if name in shared}
        return _frozen(study, trial, common, {"arm": (arm, arm_choice)} if len(spaces) > 1 else {})

    _add(study, storage, study.name, [of_all(trial) for trial in trials])
    if len(spaces) > 1:
        for arm, own in spaces.items():
            of_arm = [trial for trial in trials if trial.facts["arm"] == arm]
            _add(study, storage, f"{study.name}: {arm}", [_frozen(study, trial, own, {}) for trial in of_arm])


def _shared(spaces: Mapping[str, Distributions]) -> set[str]:
    """The knobs that every arm searches in the same way."""
    first, *others = spaces.values()
    return {name for name, found in first.items() if all(other.get(name) == found for other in others)}


def _add(study: Study, storage: RDBStorage, name: str, trials: Sequence[FrozenTrial]) -> None:
    """Add a study of its own to a storage."""
    import optuna

    better = {"max": optuna.study.StudyDirection.MAXIMIZE, "min": optuna.study.StudyDirection.MINIMIZE}
    directions = [better[goal] for goal, _ in study.spec.goals]
    made = optuna.create_study(storage=storage, study_name=name, directions=directions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        made.set_metric_names([column for _, column in study.spec.goals])
    made.set_user_attr("study_id", study.study_id)
    made.add_trials(trials)


def distributions(study: Study, arm: str, trials: Sequence[Trial]) -> dict[str, BaseDistribution]:
    """How each knob of an arm that is not fixed is searched, by name.

    Where the arm's space is not installed any more, what its trials had stands for it.

    Args:
        study: The study.
        arm: One of its arms.
        trials: Its trials.
    """
    knobs: Mapping[str, Knob] = {}
    with contextlib.suppress(SweeperError):
        knobs = study.spec.space_of(arm).knobs
    fixed = study.spec.arms[arm].fixed
    seen: dict[str, list[Value]] = {}
    for trial in trials:
        for name, value in trial.configuration.items():
            seen.setdefault(name, []).append(value)
    names = [name for name in (knobs or seen) if name not in fixed]
    return {name: _distribution(knobs[name]) if knobs else _of_values(seen[name]) for name in names}


def _distribution(knob: Knob) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(knob, Choice):
        return CategoricalDistribution(knob.options)
    if isinstance(knob, Int):
        return IntDistribution(knob.low, knob.high, log=knob.log)
    assert isinstance(knob, Float)
    return FloatDistribution(knob.low, knob.high, log=knob.log)


def _of_values(values: Sequence[Value]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if all(type(value) is int for value in values):
        return IntDistribution(int(min(values)), int(max(values)))
    if all(type(value) in (int, float) for value in values):
        return FloatDistribution(float(min(values)), float(max(values)))
    return CategoricalDistribution(tuple(dict.fromkeys(values)))


def _frozen(study: Study, trial: Trial, space: Distributions, added: Mapping[str, tuple[Any, BaseDistribution]]) -> FrozenTrial:
    """A trial as Optuna keeps it.

    Args:
        study: Its study.
        trial: The trial.
        space: How the knobs that become parameters are searched.
        added: Further parameters, each with its value.
    """
    from optuna.trial import FrozenTrial, TrialState

    inside = {name: value for name, value in trial.configuration.items() if name in space and _is_in(space[name], value)}
    first = study.spec.goals[0][1]
    values = list(trial.numbers([column for _, column in study.spec.goals]).values())
    state = _state(trial, is_measured=len(values) == len(study.spec.goals))
    began = trial.began or study.began
    curve = {row["epoch"]: finite(row, PER_EPOCH).get(first) for row in trial.epochs} if first in METRICS else {}
    numbers = {name: value for name, value in trial.facts.items() if isinstance(value, int | float) and math.isfinite(value)}
    outside = {name: value for name, value in trial.configuration.items() if name not in inside}
    return FrozenTrial(
        number=-1,
        trial_id=-1,
        state=state,
        value=None,
        values=values if state is TrialState.COMPLETE else None,
        datetime_start=None if state is TrialState.WAITING else datetime.datetime.fromtimestamp(began),
        datetime_complete=datetime.datetime.fromtimestamp(trial.ended or began) if state.is_finished() else None,
        params={**{name: value for name, (value, _) in added.items()}, **inside},
        distributions={**{name: how for name, (_, how) in added.items()}, **{name: space[name] for name in inside}},
        user_attrs={
            "trial": trial.name,
            **trial.labels,
            **numbers,
            **{f"knob: {name}": value for name, value in outside.items()},
        },
        system_attrs={},
        intermediate_values={epoch: value for epoch, value in curve.items() if value is not None},
    )


def _is_in(distribution: BaseDistribution, value: Value) -> bool:
    """Whether a value is one that a search could draw; a study may ask for others, as points of an arm."""
    from optuna.distributions import CategoricalDistribution

    if isinstance(distribution, CategoricalDistribution):
        return any(value == choice and type(value) is type(choice) for choice in distribution.choices)
    return not isinstance(value, str) and distribution._contains(distribution.to_internal_repr(value))


def _state(trial: Trial, *, is_measured: bool) -> TrialState:
    """Optuna's name for where a trial stands; one without a finite value of every objective cannot be complete there."""
    from optuna.trial import TrialState

    status = Status(trial.facts["status"])
    if status is Status.COMPLETED:
        return TrialState.COMPLETE if is_measured else TrialState.FAIL
    states = {Status.STOPPED: TrialState.PRUNED, Status.FAILED: TrialState.FAIL, Status.PENDING: TrialState.WAITING}
    return states.get(status, TrialState.RUNNING)
