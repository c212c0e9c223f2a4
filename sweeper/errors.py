"""Every error this project raises on purpose, and helpers for their messages.

::

    SweeperError                 something went wrong that we understand         exit code 1
    ├── InputError               the user's input is wrong                       exit code 2
    │   ├── StudyFileError       faults of a study file, all of them at once
    │   ├── UnknownNameError     no architecture, dataset, study, ... of that name
    │   ├── KnobError            a hyperparameter outside what it may be
    │   ├── DatasetError         data that is missing, unreadable or inconsistent
    │   ├── NoDataError          a study without (yet) the data to show
    │   └── ResultsFolderError   a results folder that cannot be used
    │       └── StorageError     an object store that did not do what was asked; an OSError too
    ├── LedgerError              a ledger that cannot be read or written
    │   └── DamagedPartError     a part of it that no longer holds readable rows
    ├── CheckpointError          a checkpoint that cannot be read
    └── StudyLockedError         another driver is at work on this study         exit code 2

A message says what was wrong and where, what is allowed, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

MOST_FAULTS = 100
"""Faults of one study file that a message lists."""

MOST_NAMES = 20
"""Names of a user's own that a message lists."""

LONGEST = 60
"""Characters of a name or value that a message repeats."""


class SweeperError(Exception):
    """Something went wrong that the project understands and can explain."""

    exit_code = 1


class InputError(SweeperError):
    """The user's input is wrong; nothing was started and nothing is lost."""

    exit_code = 2


class StudyFileError(InputError):
    """All faults of one study file.

    Args:
        path: The file, as the user named it.
        faults: One sentence per fault, each with its place.
    """

    def __init__(self, path: object, faults: Sequence[str]):
        self.path = path
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults):,} faults"
        listed = [f"  - {fault}" for fault in self.faults[:MOST_FAULTS]]
        if len(self.faults) > MOST_FAULTS:
            listed.append(f"  and {len(self.faults) - MOST_FAULTS:,} more")
        super().__init__("\n".join([f"{path}: {count}", *listed]))


class UnknownNameError(InputError):
    """A name that does not exist.

    Args:
        kind: What was looked for, for example ``architecture``.
        name: What the user wrote.
        allowed: Every name that does exist.
        where: Where it was looked for, if that needs saying.
    """

    def __init__(self, kind: str, name: str, allowed: Iterable[str], *, where: object = ""):
        self.kind = kind
        self.name = name
        super().__init__(unknown(kind, name, allowed, where=where))


class KnobError(InputError):
    """A hyperparameter has a value it may not have."""


class DatasetError(InputError):
    """The data are missing, unreadable or inconsistent."""


class NoDataError(InputError):
    """The study does not have the data to show, or not yet."""


class ResultsFolderError(InputError):
    """The results folder cannot be used as asked."""


class StorageError(ResultsFolderError, OSError):
    """An object store did not do what was asked of it.

    An `OSError` too, as where a disk fails: what handles the one handles the other.
    """


class LedgerError(SweeperError):
    """The ledger cannot be read or written."""


class DamagedPartError(LedgerError):
    """A part of the ledger no longer holds readable rows.

    Args:
        path: The part.
        why: What was found instead.
    """

    def __init__(self, path: object, why: str):
        self.why = why
        super().__init__(
            f"{path} is not a readable part of a ledger ({why}). Restore it from a copy; or move it out of the folder, as "
            "sweeper audit --repair does, to go on without its rows: their trials may then be trained again."
        )


class CheckpointError(SweeperError):
    """A checkpoint cannot be read; an older one is used in its place."""


class StudyLockedError(SweeperError):
    """Another driver holds this study."""

    exit_code = 2


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the closest allowed name, or ``""`` when nothing is close."""
    close = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def unknown(kind: str, name: str, allowed: Iterable[str], *, where: object = "") -> str:
    """The sentence for a name that does not exist: what it was, the closest one, all that are allowed."""
    options = sorted(allowed)
    listed = ", ".join(options) if options else "none"
    place = f" in {where}" if str(where) else ""
    return f"unknown {kind} '{shortened(name)}'{place}.{did_you_mean(name, options)} Allowed: {listed}."


def shortened(text: str) -> str:
    """A name or value as a message repeats it: cut, with dots, after `LONGEST` characters."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def listed(names: Sequence[str]) -> str:
    """Names separated by commas, the first `MOST_NAMES` of them."""
    return ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")


def first_line(error: Exception, longest: int) -> str:
    """The first line of the message of another library's error, cut at `longest` characters; its class if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:longest].rstrip(".")
