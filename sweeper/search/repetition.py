"""Repetitions: trials trained again with other seeds, to learn how much of a result is the seed.

(Those that `sweeper.search.extension` asks for are trained again for more epochs, with the seed they had, in the search stage.)

The design is paired: the seeds 1 to N are the same for every configuration. The order of the data follows from the seed alone, so
what it does to one configuration it does to all; so does augmentation, between configurations of one batch size and one kind of
augmentation, because it is drawn batch by batch. Initial weights follow from the seed and the arm. A repetition is never stopped
early and takes no part in the search: samplers and rungs ignore it.

Which source of chance matters, repetitions tell that vary one of them alone.

The plan is an event like all others (`Kind.PLANNED`) and holds the configurations, so a fold needs no catalog to follow it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sweeper.errors import InputError, UnknownNameError
from sweeper.ledger.records import Stage, trial_name
from sweeper.search.details import Repetition
from sweeper.search.study import Search
from sweeper.search.trial import Trial

DEFAULTS = "defaults"
"""What may be named instead of a trial: each arm's default configuration."""


def plan(search: Search, asked: Sequence[str], num_seeds: int, varies: str | None = None) -> list[Repetition]:
    """The repetitions that are asked for and not known yet: seed by seed, so that every configuration has the first seeds soon.

    Args:
        search: The search, every trial of its budget ended.
        asked: Trials by id, or `DEFAULTS`. `sweeper.analysis` says which are best: it knows all objectives.
        num_seeds: Seeds 1 to this number, for each.
        varies: What the seeds set: one of `sweeper.ledger.records.SOURCES` alone, with all others as in the trial that is
            repeated, or ``all`` of them; None for all but the carve of the images.

    Raises:
        InputError: The search is not finished.
        UnknownNameError: No such trial of the search stage.
    """
    check_searched(search)
    parents = {parent.trial: parent for name in asked for parent in _parents(search, name)}
    lengths = lengths_of(search, Stage.ABLATION)
    planned = [
        Repetition.of(
            parent, f"{varies or 's'}{seed}", seed=seed, varies=varies, max_epochs=lengths.get(parent.trial, parent.max_epochs)
        )
        for seed in range(1, num_seeds + 1)
        for parent in parents.values()
    ]
    return [repetition for repetition in planned if not search.knows(repetition.trial)]


def lengths_of(search: Search, stage: Stage) -> dict[str | None, int]:
    """Epochs of the repetitions there are, by parent: all seeds of a mean train as long, however long the parent does now."""
    return {trial.parent: trial.max_epochs for trial in (*search.trials.values(), *search.planned) if trial.stage is stage}


def check_searched(search: Search) -> None:
    """Raise `InputError` unless every trial of the budget has ended."""
    if not search.is_searched:
        left = search.num_left
        raise InputError(
            f"study '{search.spec.name}' has {left} {'trial' if left == 1 else 'trials'} of its search left; trials are repeated "
            f"once it has ended. Finish it first: sweeper resume {search.spec.name}"
        )


def _parents(search: Search, name: str) -> list[Trial]:
    trials = {trial.trial: trial for trial in search.of_stage(Stage.SEARCH)}
    if name == DEFAULTS:
        return [trials[trial_name(arm, 0)] for arm in search.spec.arms if trial_name(arm, 0) in trials]
    if name not in trials:
        raise UnknownNameError("trial", name, ["best", DEFAULTS, *trials])
    return [trials[name]]
