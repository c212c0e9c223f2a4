"""What earlier studies teach a new one, read from their folders before it begins; see `sweeper.search.lessons`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from sweeper import catalog
from sweeper.driver.opened import OpenedStudy, open_study
from sweeper.errors import InputError, SweeperError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind, Reason, Stage
from sweeper.search.history import Finished
from sweeper.search.lessons import Source
from sweeper.search.proposals import lesson
from sweeper.search.trial import Trial
from sweeper.study.compared import differences, with_defaults
from sweeper.study.space import TRAINING, Configuration, Space, Value
from sweeper.study.spec import StudySpec


def read(study: StudySpec) -> tuple[list[Source], list[str]]:
    """What the studies that a new one names teach it, and the faults of those that teach nothing.

    An arm learns from every arm of the same architecture and search space, whatever their names: from the trials of its search
    that ended or have a score, and train what a configuration of the arm trains. Draws that a network refused are no trials. A
    value that was fixed there may be one among others here; one that is fixed here must be that of the trial. Costs are not
    learned: another machine has others.
    """
    sources, faults = [], []
    for folder in study.search.learn_from or ():
        try:
            sources.append(_source(study, folder))
        except SweeperError as error:
            faults.append(f"search.learn_from: {folder}: {error}")
    return sources, faults


def still_to_learn(study: StudySpec, events: Iterable[Event]) -> list[Source]:
    """What a study has yet to learn as it begins: nothing once it has, or has a trial.

    Args:
        study: The study as first run.
        events: Those of its ledger.

    Raises:
        InputError: A study that it names teaches nothing.
    """
    if any(event.kind in (Kind.LEARNED, Kind.SUGGESTED) for event in events):
        return []
    sources, faults = read(study)
    if faults:
        raise InputError("\n".join(faults))
    return sources


def _source(study: StudySpec, folder: str) -> Source:
    """What one study teaches; raises `SweeperError` where it teaches nothing."""
    files = StudyFolder(folder)
    if not files.exists:
        raise InputError("there is no study. Give the folder of one that was launched, such as results/NAME.")
    old = open_study(files)
    if changed := _differences(old.spec, study):
        raise InputError(
            f"its scores say nothing about this study (there -> here): {'; '.join(changed)}. Name studies of the same dataset "
            "and first objective."
        )
    lessons: dict[str, list[Finished]] = {}
    alike, used = set(), set()
    for name, arm in study.arms.items():
        space = study.space_of(name)
        defaults = _defaults(arm.architecture)
        for trial in old.search.of_stage(Stage.SEARCH):
            own = old.spec.arms[trial.arm]
            if (own.architecture, own.space) != (arm.architecture, arm.space) or not _tells(trial):
                continue
            alike.add(trial.trial)
            here = _as_own(trial.configuration, space, arm.fixed, defaults)
            if here is not None:
                used.add(trial.trial)
                own_lesson = dataclasses.replace(lesson(old.spec, trial), configuration=here, is_running=False, costs=())
                lessons.setdefault(name, []).append(own_lesson)
    if not lessons:
        raise InputError(_why_nothing(study, old, len(alike)))
    left_out = len(alike - used)
    return Source(folder=folder, study=old.first.name, study_id=old.first.study_id, lessons=lessons, left_out=left_out)


def _tells(trial: Trial) -> bool:
    """Whether a trial says how good its configuration is."""
    return bool(trial.scores) or (trial.status.is_final and trial.reason is not Reason.INFEASIBLE)


def _differences(old: StudySpec, study: StudySpec) -> list[str]:
    """What keeps the scores of one study from being a measure for another."""
    if old.dataset.name != study.dataset.name:
        found = [f"dataset.name: {old.dataset.name} -> {study.dataset.name}"]
    else:
        found = [line for line in differences(with_defaults(old), with_defaults(study)) if line.startswith("dataset.")]
    is_same = old.objectives[0] == study.objectives[0]
    return found if is_same else [*found, f"first objective: {old.objectives[0]} -> {study.objectives[0]}"]


def _defaults(architecture: str) -> dict[str, Any]:
    """What a knob that a configuration lacks has."""
    arguments = catalog.parameters("architecture", architecture)
    return {
        **{name: argument.default for name, argument in arguments.items()},
        **{name: knob.default for name, knob in TRAINING.items()},
    }


def _as_own(
    configuration: Configuration, space: Space, fixed: Mapping[str, Value], defaults: Mapping[str, Any]
) -> Configuration | None:
    """The configuration of an arm that trains what one of another arm does; None where there is none."""
    whole = {**defaults, **configuration}
    here = space.fill(fixed, lambda name, knob: whole.get(name, knob.default))
    is_valid = all(name in fixed or space.knobs[name].problem(value) is None for name, value in here.items())
    return here if is_valid and {**defaults, **here} == whole else None


def _why_nothing(study: StudySpec, old: OpenedStudy, num_alike: int) -> str:
    if num_alike:
        trials = "its only trial is" if num_alike == 1 else f"none of its {num_alike} trials is"
        negated = " no" if num_alike == 1 else " a"
        return f"{trials}{negated} configuration of an arm here, because fixed values or ranges differ."
    here = {(arm.architecture, arm.space) for arm in study.arms.values()}
    there = {(arm.architecture, arm.space) for arm in old.spec.arms.values()}
    if here & there:
        return "none of its trials that could teach an arm here has a score yet. Try again once one has."
    listed = [", ".join(sorted(f"{architecture} (space {space})" for architecture, space in arms)) for arms in (there, here)]
    return f"no arm of it has an architecture and a search space of an arm here. There: {listed[0]}; here: {listed[1]}."
