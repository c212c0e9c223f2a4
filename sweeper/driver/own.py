"""A user's own code in a driver: the copy beside a study, what has changed since, and what to do where it is not here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sweeper import catalog, owncode
from sweeper.driver.opened import OpenedStudy
from sweeper.errors import InputError, ResultsFolderError
from sweeper.ledger.records import Event, Kind
from sweeper.owncode import Code
from sweeper.storage import Place, explain
from sweeper.study import annotated
from sweeper.study.spec import StudySpec

COPY = "code"
"""Folder of the copy in that of a study. Nothing is run from there unless it is named as ``--code``."""


def store(folder: Place, code: Code | None) -> None:
    """Keep a copy of the code in a study's folder, in the place of an older one; without code an older one stays.

    Raises:
        ResultsFolderError: It cannot be written.
    """
    if code is None:
        return
    copy = folder / COPY
    try:
        for path in copy.tree():
            if path not in code.files:
                (copy / path).remove()
        for path, text in code.files.items():
            (copy / path).parent.make_folder()
            (copy / path).write_whole(text.encode(), may_replace=True)
    except OSError as error:
        raise ResultsFolderError(explain(error, copy)) from error


def fetched(folder: Place) -> Code:
    """The code in a folder of any storage, as `sweeper.owncode.read` gives that on a disk.

    Raises:
        InputError: There is none, or a file is no source text in Python.
        ResultsFolderError: It cannot be read.
    """
    folders = tuple(f"{name}/" for name in owncode.FOLDERS.values())
    paths = sorted(path for path in folder.tree() if path.endswith(".py") and path.startswith(folders))
    if not paths:
        raise InputError(f"{folder} holds no Python file in {', '.join(folders)}.")
    texts = folder.map(lambda path: (folder / path).read_bytes(), paths)
    files = {path: owncode.text_of(data, path, f"{folder}/{path}") for path, data in zip(paths, texts, strict=True)}
    return Code(origin=f"{folder}/", files=files)


def detail(code: Code | None) -> dict[str, Any]:
    """What a `driver_started` event says of the code: its folder and the hashes of its files."""
    return {} if code is None else {"code": {"origin": code.origin, "files": code.sha256s()}}


def known(events: Sequence[Event]) -> dict[str, Any] | None:
    """What the newest driver that ran own code said of it; None where none did."""
    for event in reversed(events):
        if event.kind is Kind.DRIVER_STARTED and (told := json.loads(event.detail or "{}").get("code")):
            found: dict[str, Any] = told
            return found
    return None


def changes(events: Sequence[Event], code: Code | None) -> list[str]:
    """Notes on what has changed in the code since the newest driver that ran some; plots do not count."""
    before = known(events)
    if before is None or code is None:
        return []
    then, now = before["files"], code.sha256s()
    words = [
        f"{path} {'is new' if path not in then else 'is gone' if path not in now else 'has changed'}"
        for path in sorted(then.keys() | now.keys())
        if then.get(path) != now.get(path) and not path.startswith("plots/")
    ]
    if not words:
        return []
    return [f"{code.origin}: {'; '.join(words)}. Trials so far ran as it was; those to come run as it is now."]


def check_known(study: OpenedStudy, wanted: StudySpec | None = None) -> None:
    """Raise `InputError` unless all that the study's trials are made of is in the catalog, if it once ran with own code."""
    if (before := known(study.events)) is None:
        return
    missing = [*_missing(study.spec if wanted is None else wanted)]
    if missing:
        copy = study.folder / COPY
        there = sorted(copy.tree())
        way = (
            f"{copy} holds the code it ran with: add --code {copy}/, once you have looked at it"
            if there
            else f"it ran with {before['origin']}: add --code {before['origin']}"
        )
        raise InputError(f"study '{study.first.name}' needs {', '.join(missing)}, which is own code. {way[0].upper()}{way[1:]}.")


def _missing(study: StudySpec) -> Iterator[str]:
    if study.dataset.name not in catalog.names("dataset"):
        yield f"dataset '{study.dataset.name}'"
    for arm in study.arms.values():
        if arm.architecture not in catalog.names("architecture"):
            yield f"architecture '{arm.architecture}'"
        elif arm.space not in annotated.names():
            yield f"search space '{arm.space}'"
