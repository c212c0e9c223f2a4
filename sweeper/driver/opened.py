"""A stored study, opened: its ledger is read once and folded once, and whatever is asked of the study is asked of that.

Every command about a stored study begins here. Those that ask where its search stands take `open_study`: `launch` and `resume`,
`status`, `confirm`, `ablate`, `retrain`. Those that ask for results alone take `recorded`, which folds nothing, and does not read
the ledger either where the tables are current (`sweeper.ledger.stamp`): figures, reports. `audit` reads for itself, because it
must also read what cannot be opened.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Sequence

from sweeper.errors import LedgerError
from sweeper.ledger import parts, stamp
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind
from sweeper.ledger.stamp import Derived
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

    @property
    def num_to_come(self) -> int:
        """Trials that have not begun, planned repetitions included."""
        return sum(self.search.to_come(arm) for arm in self.spec.arms) + len(self.search.planned)

    @property
    def num_events(self) -> int:
        """Rows of its ledger that count."""
        return len(self.events)

    @property
    def derived(self) -> Derived:
        """What follows from its events: the tables."""
        current = stamp.read(self.folder)
        if current is not None and current.parts == frozenset(self.parts) and current.num_events == len(self.events):
            return dataclasses.replace(current, num_to_come=self.num_to_come)
        return stamp.derive(self.events, self.parts, self.num_to_come)

    def write_tables(self) -> None:
        """Write its tables, stamped. Raises `ResultsFolderError` where the folder cannot be written."""
        stamp.write(self.folder, self.events, self.parts, self.num_to_come)

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
    names = files.part_names()
    events = files.read()
    first = first_spec(files, events)
    return OpenedStudy(files=files, parts=names, first=first, events=events, search=Search(first, {}).fold(events))


def looked_again(study: OpenedStudy) -> OpenedStudy:
    """The same study as it stands by now: only what it has got since is read and followed, where that can be told.

    Raises:
        ResultsFolderError: As `open_study`, as the rest.
        LedgerError: See there.
    """
    names = study.files.part_names()
    events = _read_on(study, names) if study.events else None
    if events is None:
        return open_study(study.files)
    for event in events:
        study.follow(event)
    return dataclasses.replace(study, parts=names)


def _read_on(study: OpenedStudy, names: frozenset[str]) -> list[Event] | None:
    """The events of the parts that are new among these; None where everything has to be read anew.

    That is where parts are gone, because they were merged or moved away, and where a new generation may fence events off.
    """
    folder, known = study.files.ledger_folder, frozenset(study.parts)
    if not names >= known:
        return None
    try:
        events = parts.to_events(parts.read_merged(folder, sorted(names - known)), folder)
    except FileNotFoundError:  # merged meanwhile
        return None
    is_on = all(event.kind is not Kind.DRIVER_STARTED and event.key > study.events[-1].key for event in events)
    return events if is_on else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordedStudy:
    """A stored study, as far as its results go; what `OpenedStudy` has, too, is called the same.

    Args:
        files: Its folder.
        first: The study as first run.
        derived: What its events give.
    """

    files: StudyFolder
    first: StudySpec
    derived: Derived

    @property
    def folder(self) -> Place:
        """Where it lies."""
        return self.files.folder

    @property
    def spec(self) -> StudySpec:
        """The study as first run: its results do not say what it has become."""
        return self.first

    @property
    def num_events(self) -> int:
        """Rows of its ledger that count."""
        return self.derived.num_events

    @property
    def num_to_come(self) -> int | None:
        """Trials that have not begun, planned repetitions included; None where nobody asked."""
        return self.derived.num_to_come


def recorded(files: StudyFolder, *, with_num_to_come: bool = False, with_epochs: bool = True) -> RecordedStudy:
    """The results of a stored study, from its tables where they are current, else from its ledger.

    Args:
        files: The study's folder.
        with_num_to_come: Whether `Derived.num_to_come` is needed; where the tables do not say it, the search is folded.
        with_epochs: Whether the table of epochs is needed; without, it may have no rows.

    Raises:
        ResultsFolderError: There is no study.
        LedgerError: Its file or its ledger is damaged, or its file is not what the study began with.
    """
    derived = stamp.read(files.folder, with_epochs=with_epochs)
    if derived is None or (with_num_to_come and derived.num_to_come is None):
        if with_num_to_come:
            opened = open_study(files)
            return RecordedStudy(files=files, first=opened.first, derived=opened.derived)
        names, events = files.part_names(), files.read()
        derived = stamp.derive(events, names)
    return RecordedStudy(files=files, first=_first_spec(files, derived.began), derived=derived)


def first_spec(files: StudyFolder, events: Sequence[Event]) -> StudySpec:
    """The study as first run: its file, held against what the ledger says the study began as.

    A file that was changed since would mix the results of two studies.

    Raises:
        ResultsFolderError: There is no study.
        LedgerError: Its file is damaged, or not what the study began with.
    """
    return _first_spec(files, stamp.began_as(events))


def _first_spec(files: StudyFolder, detail: str | None) -> StudySpec:
    first = parse_stored(files.study_yaml(), files.folder / "study.yaml")
    began = _began_as(detail)
    if began is not None and (changed := differences(with_defaults(began), with_defaults(first))):
        listed = "\n".join(f"  - {line}" for line in changed)
        raise LedgerError(
            f"{files.folder / 'study.yaml'} is no longer the study as it first ran. What differs (the ledger -> the file):\n"
            f"{listed}\nRestore the file from a copy, or undo these changes."
        )
    return first


def _began_as(detail: str | None) -> StudySpec | None:
    """The study as its ledger says it began; None where that is lost, or written with keys this version does not know."""
    try:
        return None if detail is None else StudySpec.model_validate(json.loads(detail))
    except ValueError:
        return None
