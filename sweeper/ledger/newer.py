"""What a driver has added to a ledger since it was read, without reading all of it again."""

from __future__ import annotations

from collections.abc import Collection

from sweeper.ledger import parts
from sweeper.ledger.records import Event, Kind
from sweeper.storage import Place


def read_on(
    folder: Place, names: frozenset[str], known: Collection[str], last: Event
) -> tuple[frozenset[str], list[Event]] | None:
    """The names of all parts, and the events beyond those of some parts, read without these; safe while a driver writes.

    None where that is not to be had, and everything has to be read anew: parts are gone, because they were merged or moved
    away, or a new generation began, which may fence events off.

    Args:
        folder: The parts' folder.
        names: Names of the parts that are there now.
        known: Names of the parts that were read.
        last: The newest event that they hold.

    Raises:
        LedgerError: A part is damaged, or was written by a newer version.
    """
    if not names >= {*known}:
        return None
    try:
        rows = parts.read_merged(folder, sorted(names - {*known}))
    except FileNotFoundError:  # merged meanwhile
        return None
    events = parts.to_events(rows, folder)
    if any(event.kind is Kind.DRIVER_STARTED or event.key <= last.key for event in events):
        return None
    return names, events
