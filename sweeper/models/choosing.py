"""Which trial's model is meant by a word, and where its weights are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweeper.analysis.results import Results
from sweeper.driver.retrain import KEPT
from sweeper.errors import InputError, NoDataError, UnknownNameError
from sweeper.ledger.records import Stage, Status
from sweeper.report.choices import choices
from sweeper.training import checkpoint

if TYPE_CHECKING:
    from sweeper.driver.opened import OpenedStudy
    from sweeper.search.trial import Trial
    from sweeper.training.checkpoint import Checkpoint

BEST = "best"
"""The word for the model of what `sweeper recommend` chooses."""


def chosen(opened: OpenedStudy, results: Results, name: str) -> Trial:
    """The trial whose model is asked for.

    Of a confirmed configuration it is the training with the smallest seed, which nobody chose for its score.

    Args:
        opened: The study.
        results: Its results, of all stages.
        name: ``best``: what `sweeper recommend` chooses; an arm: the best of its confirmed configurations, or of its trials where
            none is confirmed; or a trial.

    Raises:
        UnknownNameError: Neither of these.
        NoDataError: Nothing is completed yet.
    """
    trials = opened.search.trials
    if name in trials:
        return trials[name]
    if name != BEST and name not in opened.spec.arms:
        raise UnknownNameError("model", name, [BEST, *opened.spec.arms, *trials])
    found = choices(results)
    for rows, is_confirmed in ((found.contenders, found.is_confirmed), (found.searched, False)):
        rows = rows if name == BEST else rows[rows["arm"] == name]
        if len(rows):
            parent = str(rows.iloc[0]["trial"])
            return _first_training(opened, parent) if is_confirmed else trials[parent]
    whose = f"study '{results.study}'" if name == BEST else f"arm {name} of study '{results.study}'"
    raise NoDataError(f"{whose} has no completed trial, so no model yet. Let more trials finish: sweeper status {results.named}")


def _first_training(opened: OpenedStudy, parent: str) -> Trial:
    """Of the confirmed trainings of a configuration the one with the smallest seed."""
    confirmed = opened.search.of_stage(Stage.CONFIRM)
    completed = [trial for trial in confirmed if trial.parent == parent and trial.status is Status.COMPLETED]
    return min(completed, key=lambda trial: trial.seed)


def confirmed_arms(results: Results) -> list[str]:
    """The arms with a confirmed configuration, the best first."""
    found = choices(results)
    return [*dict.fromkeys(found.contenders["arm"])] if found.is_confirmed else []


def weights_of(opened: OpenedStudy, trial: Trial, typed: str) -> Checkpoint:
    """The state of a trial after its last epoch.

    Args:
        opened: The study.
        trial: One of its trials.
        typed: What commands are given for the study.

    Raises:
        InputError: The trial has not ended, failed, or its weights were not kept: how to get them.
    """
    if trial.status is Status.FAILED:
        raise InputError(f"trial {trial.trial} failed ({trial.reason}), so it has no model. Choose another one.")
    if not trial.status.is_final:
        raise InputError(f"trial {trial.trial} has not ended: it is {trial.status}. Choose another one, or wait for it.")
    for folder in ("checkpoints", KEPT):
        stored = checkpoint.newest(opened.folder / folder / trial.trial)
        if stored is not None and stored.epoch == trial.epoch:
            return stored
    raise InputError(
        f"the weights of {trial.trial} were not kept: a study keeps those of confirmed trials and of the best of each arm. Train "
        f"it again and keep them: sweeper retrain {typed} {trial.trial} --keep"
    )
