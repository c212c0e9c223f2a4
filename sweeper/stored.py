"""The study in a results folder: what it was, what it is by now, and whether it is the one that is asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sweeper import catalog, spec
from sweeper.errors import InputError, LedgerError, StudyFileError
from sweeper.records import Event, Kind
from sweeper.search import extension
from sweeper.search.extension import Extension
from sweeper.search.study import Search
from sweeper.spec import DatasetSpec, StudySpec
from sweeper.store import StudyStore


def first_spec(study: StudyStore) -> StudySpec:
    """The study as first run, which gives it its identity.

    Raises:
        ResultsFolderError: There is none.
        LedgerError: Its file is damaged.
    """
    return spec.parse_stored(study.study_yaml(), study.folder / "study.yaml")


def checked_spec(study: StudyStore, events: Sequence[Event]) -> StudySpec:
    """The same, after a look at what the ledger says the study began as: a file changed since would mix two studies.

    Raises:
        ResultsFolderError: There is none.
        LedgerError: Its file is damaged, or not what the study began with.
    """
    first = first_spec(study)
    began = _began_as(events)
    if began is not None and (changed := spec.differences(_with_defaults(began), _with_defaults(first))):
        listed = "\n".join(f"  - {line}" for line in changed)
        raise LedgerError(
            f"{study.folder / 'study.yaml'} is no longer the study as it first ran. What differs (the ledger -> the file):\n"
            f"{listed}\nRestore the file from a copy, or undo these changes."
        )
    return first


def _began_as(events: Sequence[Event]) -> StudySpec | None:
    """The study as its ledger says it began; None where that is lost, or written with keys this version does not know."""
    detail = next((event.detail for event in events if event.kind is Kind.CREATED), None)
    try:
        return None if detail is None else StudySpec.model_validate(json.loads(detail))
    except ValueError:
        return None


def current_spec(study: StudyStore, events: Sequence[Event]) -> StudySpec:
    """The study as its newest extension left it; raises as `checked_spec`."""
    return extension.current(checked_spec(study, events), events)


def extended(current: StudySpec, *, trials: int | None = None, max_epochs: int | None = None) -> StudySpec:
    """The same study with another budget.

    Args:
        current: The study as it is.
        trials: Trials over all arms together; None leaves them.
        max_epochs: Epochs of a trial that is not stopped; None leaves them.

    Raises:
        InputError: The study has more already, or no study can have this budget, for example because a grid has no more points.
    """
    given = {"trials": trials, "max_epochs": max_epochs}
    for name, value in given.items():
        if value is not None and value < (has := getattr(current.budget, name)):
            flag = f"--{name.replace('_', '-')}"
            raise InputError(
                f"{flag} {value}: study '{current.name}' has {has} already, and it can only grow; allowed: {has} or more."
            )
    budget = current.budget.model_copy(update={name: value for name, value in given.items() if value is not None})
    wanted = current.model_copy(update={"budget": budget})
    try:
        return spec.parse(wanted.to_yaml())
    except StudyFileError as error:
        # Its lines are those of a file that nobody sees.
        faults = "; ".join(fault.partition(": ")[2] for fault in error.faults)
        asked = f"{budget.trials} trials of {budget.max_epochs} epochs"
        raise InputError(f"study '{current.name}' cannot be extended to {asked}: {faults}") from None


def extension_to(search: Search, wanted: StudySpec, study: StudyStore, *, repeats_decayed: bool = False) -> Extension | None:
    """What must be added to a stored study so that it is the one asked for; None when it is that already.

    The study as it began asks for what it has become. An option of the dataset that a study lacks, because it began before there
    was such an option, is at its default.

    Args:
        search: The stored study's search, folded.
        wanted: The study asked for.
        study: The stored study.
        repeats_decayed: Whether completed trials whose learning rate decays are trained anew for more epochs.

    Raises:
        InputError: It cannot become that one; what differs is listed.
    """
    asked = _with_defaults(wanted)
    if not spec.differences(_with_defaults(first_spec(study)), asked):
        return extension.plan(search, search.spec, repeats_decayed=repeats_decayed)
    refused = extension.refusals(_with_defaults(search.spec), asked)
    if refused:
        listed = "\n".join(f"  - {line}" for line in refused)
        raise InputError(
            f"{study.folder} holds another study named '{wanted.name}'. What differs (stored -> asked for):\n{listed}\n"
            f"Results of two studies cannot be mixed. {extension.WHAT_MAY_CHANGE} Otherwise give the new study another name, or "
            "another --results folder."
        )
    return extension.plan(search, wanted, repeats_decayed=repeats_decayed)


def _with_defaults(study: StudySpec) -> StudySpec:
    """The same study with every option of its dataset, as far as that is still known."""
    if study.dataset.name not in catalog.names("dataset"):
        return study
    parameters = catalog.parameters("dataset", study.dataset.name)
    defaults = {name: option.default for name, option in parameters.items() if option.default != catalog.Parameter.REQUIRED}
    dataset = DatasetSpec(name=study.dataset.name, **{**defaults, **study.dataset.options})
    return study.model_copy(update={"dataset": dataset})
