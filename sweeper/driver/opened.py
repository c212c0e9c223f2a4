"""A stored study, opened: its ledger is read once and folded once, and whatever is asked of the study is asked of that.

Every command about a stored study begins here: `launch` and `resume`, `status`, `ablate`, `retrain`, figures. `audit` reads for
itself, because it must also read what cannot be opened.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Sequence

from sweeper.errors import LedgerError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind
from sweeper.search.study import Search
from sweeper.storage import Place
from sweeper.study.compared import differences, with_defaults
from sweeper.study.spec import StudySpec, parse_stored


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenedStudy:
    """A stored study and where it stands.

    Args:
        files: Its folder.
        parts: Names of the parts of its ledger, listed before they were read.
        first: The study as first run, which gives it its identity.
        events: What happened, in order.
        search: The state of its search after these events.
    """

    files: StudyFolder
    parts: Collection[str]
    first: StudySpec
    events: list[Event]
    search: Search

    @property
    def folder(self) -> Place:
        """Where it lies."""
        return self.files.folder

    @property
    def spec(self) -> StudySpec:
        """The study as its newest extension left it."""
        return self.search.spec

    def follow(self, event: Event) -> None:
        """Take up one more event."""
        self.events.append(event)
        self.search.apply(event)


def open_study(files: StudyFolder) -> OpenedStudy:
    """Read and fold a stored study.

    Search spaces are looked up when a new trial is asked for, so a study can be opened where its spaces are not installed.

    Args:
        files: The study's folder.

    Raises:
        ResultsFolderError: There is no study.
        LedgerError: Its file or its ledger is damaged, or its file is not what the study began with.
    """
    parts = files.part_names()
    events = files.read()
    first = first_spec(files, events)
    return OpenedStudy(files=files, parts=parts, first=first, events=events, search=Search(first, {}).fold(events))


def first_spec(files: StudyFolder, events: Sequence[Event]) -> StudySpec:
    """The study as first run: its file, held against what the ledger says the study began as.

    A file that was changed since would mix the results of two studies.

    Raises:
        ResultsFolderError: There is no study.
        LedgerError: Its file is damaged, or not what the study began with.
    """
    first = parse_stored(files.study_yaml(), files.folder / "study.yaml")
    began = _began_as(events)
    if began is not None and (changed := differences(with_defaults(began), with_defaults(first))):
        listed = "\n".join(f"  - {line}" for line in changed)
        raise LedgerError(
            f"{files.folder / 'study.yaml'} is no longer the study as it first ran. What differs (the ledger -> the file):\n"
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
