"""From the study as it is to the study that is asked for: what must be added, or why it cannot become that one."""

from __future__ import annotations

import contextlib

from sweeper import catalog
from sweeper.driver import requests, weights
from sweeper.driver.opened import OpenedStudy
from sweeper.driver.session import Session
from sweeper.errors import InputError, StudyFileError
from sweeper.search import extension
from sweeper.search.extension import Extension
from sweeper.study.compared import differences, with_defaults
from sweeper.study.spec import StudySpec, parse


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
        return parse(wanted.to_yaml())
    except StudyFileError as error:
        # Its line numbers are those of a file that does not exist.
        faults = "; ".join(fault.partition(": ")[2] for fault in error.faults)
        asked = f"{budget.trials} trials of {budget.max_epochs} epochs"
        raise InputError(f"study '{current.name}' cannot be extended to {asked}: {faults}") from None


def extension_to(study: OpenedStudy, wanted: StudySpec, *, repeats_decayed: bool = False) -> Extension | None:
    """What must be added to a stored study so that it is the one asked for; None when it is that already.

    The study as it began asks for what it has become. An option of the dataset that a study lacks, because it began before there
    was such an option, is at its default; a study from before there were `search.repeats` and `search.prior` goes on without.

    Args:
        study: The stored study.
        wanted: The study asked for.
        repeats_decayed: Whether completed trials whose learning rate decays are trained anew for more epochs.

    Raises:
        InputError: It cannot become that one; what differs is listed.
    """
    asked = with_defaults(wanted)
    absent = {key: None for key in ("repeats", "prior") if getattr(study.first.search, key) is None}
    asked = asked.model_copy(update={"search": asked.search.model_copy(update=absent)})
    if not differences(with_defaults(study.first), asked):
        return extension.plan(study.search, study.spec, repeats_decayed=repeats_decayed)
    refused = extension.refusals(with_defaults(study.spec), asked)
    if refused:
        listed = "\n".join(f"  - {line}" for line in refused)
        raise InputError(
            f"{study.folder} holds another study named '{wanted.name}'. What differs (stored -> asked for):\n{listed}\n"
            f"Results of two studies cannot be mixed. {extension.WHAT_MAY_CHANGE} Otherwise give the new study another name, or "
            "another --results folder."
        )
    return extension.plan(study.search, asked, repeats_decayed=repeats_decayed)


def opening_of(study: OpenedStudy, wanted: StudySpec, repeat_decayed: bool) -> str:
    """What is about to be added to a stored study, in words; empty where nothing is."""
    if wanted == study.first and not repeat_decayed:
        return ""
    added = extension_to(study, wanted, repeats_decayed=repeat_decayed)
    return "" if added is None else extension.words(study.spec, added)


def extend(session: Session, study: OpenedStudy, wanted: StudySpec, *, repeats_decayed: bool) -> None:
    """Record what must be added to a study that is being driven so that it is the one asked for.

    Raises:
        InputError: It cannot become that one; or it would get arms that begin with weights, which a driver reads as it starts.
    """
    grown = extension_to(study, wanted, repeats_decayed=repeats_decayed)
    if grown is None:
        return
    if late := {arm.name for arm in weights.asking(grown.study)} - session.have_weights:
        raise InputError(f"weights for {', '.join(sorted(late))} were not read when this driver started.")
    for name, arm in grown.study.arms.items():  # a request may come from where there is more in the catalog
        catalog.check("architecture", arm.architecture)
        grown.study.space_of(name)
    for event in extension.events(session.search, grown):
        session.record(event)


def take_requests(session: Session, study: OpenedStudy) -> None:
    """Take what others asked for; what the study has already, or cannot become, is passed over."""
    for path, wanted, repeats_decayed in [*requests.waiting(study.folder)]:
        with contextlib.suppress(InputError):
            extend(session, study, wanted, repeats_decayed=repeats_decayed)
        session.commit()
        with contextlib.suppress(OSError):  # taking it again changes nothing
            path.remove()
