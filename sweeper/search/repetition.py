"""Repetitions: trials trained again with other seeds, to learn how much of a result is the seed.

The design is paired: the seeds 1 to N are the same for every configuration. Order and augmentation of the data follow from the
seed alone, so what they do to one configuration they do to all; initial weights follow from the seed and the arm. A repetition is
never stopped early, and plays no part in the search: neither samplers nor rungs know of it.

The plan is an event like all others (`Kind.PLANNED`), with the configurations in it, so a fold needs no catalog to follow it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweeper.errors import InputError, UnknownNameError
from sweeper.records import Event, Kind, Stage, Status, trial_name
from sweeper.space import Configuration

if TYPE_CHECKING:
    from sweeper.search.study import Search, Trial

BEST, DEFAULTS = "best", "defaults"
"""What may be named instead of trials: the best completed trial of each arm, or each arm's default configuration."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repetition:
    """One trial to be trained again.

    Args:
        trial: Id of the repetition.
        parent: Id of the trial whose configuration it has.
        arm: Their arm.
        number: The parent's number.
        seed: From 1; see the module.
        configuration: The parent's knobs.
        max_epochs: Epochs it is trained for, without early stopping.
        stage: What it is for.
    """

    trial: str
    parent: str
    arm: str
    number: int
    seed: int
    configuration: Configuration
    max_epochs: int
    stage: Stage = Stage.ABLATION


def plan(search: Search, asked: Sequence[str], num_seeds: int) -> list[Repetition]:
    """The repetitions that are asked for and not known yet: seed by seed, so that every configuration has the first seeds soon.

    Args:
        search: The search, every trial of its budget ended.
        asked: Trials by id, or `BEST` or `DEFAULTS` for one of each arm.
        num_seeds: Seeds 1 to this number, for each.

    Raises:
        InputError: The search is not finished; or no arm has a completed trial to repeat.
        UnknownNameError: No such trial of the search stage.
    """
    if not search.is_searched:
        left = search.spec.budget.trials - sum(trial.status.is_final for trial in search.of_stage(Stage.SEARCH))
        raise InputError(
            f"study '{search.spec.name}' has {left} {'trial' if left == 1 else 'trials'} of its search left, and what is best is "
            "not known before they end. Finish it first: sweeper resume"
        )
    parents = {parent.trial: parent for name in asked for parent in _parents(search, name)}
    planned = [
        Repetition(
            trial=trial_name(parent.arm, parent.number, seed),
            parent=parent.trial,
            arm=parent.arm,
            number=parent.number,
            seed=seed,
            configuration=parent.configuration,
            max_epochs=parent.max_epochs,
        )
        for seed in range(1, num_seeds + 1)
        for parent in parents.values()
    ]
    return [repetition for repetition in planned if not search.knows(repetition.trial)]


def event(repetitions: Sequence[Repetition]) -> Event:
    """The event that asks for them."""
    return Event(kind=Kind.PLANNED, detail=json.dumps([dataclasses.asdict(repetition) for repetition in repetitions]))


def read(event: Event) -> list[Repetition]:
    """The repetitions an event asks for."""
    rows = json.loads(event.detail or "[]")
    return [Repetition(**{**row, "stage": Stage(row["stage"])}) for row in rows]


def _parents(search: Search, name: str) -> list[Trial]:
    trials = {trial.trial: trial for trial in search.of_stage(Stage.SEARCH)}
    if name == DEFAULTS:
        return [trials[trial_name(arm, 0)] for arm in search.spec.arms if trial_name(arm, 0) in trials]
    if name != BEST:
        if name not in trials:
            raise UnknownNameError("trial", name, [BEST, DEFAULTS, *trials])
        return [trials[name]]
    best = []
    for arm in search.spec.arms:
        completed = [trial for trial in trials.values() if trial.arm == arm and trial.status is Status.COMPLETED]
        best += sorted(completed, key=lambda trial: (-trial.scores[-1], trial.number))[:1]
    if not best:
        raise InputError(f"no arm of study '{search.spec.name}' has a completed trial; name the trials to repeat, or {DEFAULTS}.")
    return best
