"""Extending a stored study: what is about to be added, and handing that over to a driver at work."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sweeper.search.study import Search
    from sweeper.spec import StudySpec
    from sweeper.storage import Place
    from sweeper.store import StudyStore


def opening_of(study: StudySpec, results: Place, repeat_decayed: bool) -> str:
    """What is about to be added to a stored study; nothing where nothing is."""
    from sweeper.search import extension
    from sweeper.store import StudyStore, study_folder
    from sweeper.stored import extension_to, first_spec

    stored = StudyStore(study_folder(results, study.name))
    if not stored.exists or (study == first_spec(stored) and not repeat_decayed):
        return ""
    search = _search(stored)
    added = extension_to(search, study, stored, repeats_decayed=repeat_decayed)
    return "" if added is None else extension.words(search.spec, added)


def _search(stored: StudyStore) -> Search:
    from sweeper.search.study import Search
    from sweeper.stored import first_spec

    return Search(first_spec(stored)).fold(stored.read())


def hand_over(study: StudySpec, results: Place, repeat_decayed: bool) -> bool:
    """Whether the driver that is at work on the study, if there is one, took over its extension."""
    from sweeper import requests, transfer
    from sweeper.errors import InputError, ResultsFolderError
    from sweeper.storage import explain
    from sweeper.store import StudyStore, study_folder

    stored = StudyStore(study_folder(results, study.name))
    if (owner := stored.owner) is None:
        return False
    try:
        request = requests.post(stored.folder, study, repeats_decayed=repeat_decayed)
    except OSError as error:
        raise ResultsFolderError(explain(error, stored.folder)) from error
    while request.exists():
        if stored.owner is None:
            return False  # it ended meanwhile, and whoever drives next takes the request
        time.sleep(0.2)
    if opening_of(study, results, repeat_decayed=False):
        known = {arm.name for arm in transfer.asking(_search(stored).spec)}
        late = sorted({arm.name for arm in transfer.asking(study)} - known)
        why = (
            f"Arms with weights ({', '.join(late)}) cannot be added while it works, because a driver reads weights as it starts. "
            "Interrupt it (Ctrl-C, nothing is lost), then run this command again."
            if late
            else "Does it see the same architectures and search spaces? Otherwise resume the study from here once it has ended."
        )
        raise InputError(f"the driver at work, process {owner.pid} on {owner.host}, cannot extend the study so. {why}")
    click.echo(f"the driver at work, process {owner.pid} on {owner.host}, goes on with it", err=True)
    return True
