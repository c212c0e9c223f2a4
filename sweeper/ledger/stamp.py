"""The stamp of the tables: which ledger they were derived from, so that they can be read in its place while it is the same.

``tables/stamp.json`` is written after both tables. It holds the names and sizes of the ledger's parts and a hash of the end of
the newest one, the hash of each table, that of the code that derives them, that of itself, and what results need beside the
tables. Parts never change and no name of a part is used twice, so equal parts are equal rows. A driver that goes on, a
compaction, a repair, a part that is gone, a table edited by hand, one of an older version: each shows as a difference, and then
the ledger itself is read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sweeper.errors import ResultsFolderError
from sweeper.ledger import asides, parts, records, tables
from sweeper.ledger.records import Event, Kind
from sweeper.storage import Place, Where, explain, place

NAME = "stamp.json"

TABLES = ("trials", "epochs")

_TAIL_BYTES = 65_536
"""Of the newest part: its footer has the smallest and largest time of its rows, so copies of a study that went apart differ."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Derived:
    """What is derived from the events of a study.

    Args:
        parts: Names of the parts that hold the events.
        num_events: How many count.
        began: What the study began as, see `sweeper.ledger.records.Kind.CREATED`; None where that is lost.
        num_to_come: Trials that have not begun, planned repetitions included; None where nobody said.
        trials: The table of trials.
        epochs: The table of epochs.
        runs: The starts of drivers, see `sweeper.ledger.tables.runs`.
        looks: See `sweeper.ledger.asides.looks`.
        timed_while_busy: See `sweeper.ledger.asides.timed_while_busy`.
    """

    parts: frozenset[str]
    num_events: int
    began: str | None
    num_to_come: int | None
    trials: pa.Table
    epochs: pa.Table
    runs: pa.Table
    looks: int
    timed_while_busy: tuple[str, ...]


def derive(events: Sequence[Event], names: Collection[str], num_to_come: int | None = None) -> Derived:
    """The same from the events themselves; `names` and `num_to_come` as in `Derived`."""
    trials, epochs = tables.tables(events)
    return Derived(
        parts=frozenset(names),
        num_events=len(events),
        began=began_as(events),
        num_to_come=num_to_come,
        trials=trials,
        epochs=epochs,
        runs=tables.runs(events),
        looks=asides.looks(events),
        timed_while_busy=asides.timed_while_busy(events),
    )


def began_as(events: Sequence[Event]) -> str | None:
    """The detail of the event that the study began with; None where it is lost."""
    return next((event.detail for event in events if event.kind is Kind.CREATED), None)


def write(folder: Where, events: Sequence[Event], names: Collection[str], num_to_come: int | None = None) -> tuple[Place, Place]:
    """The paths of the two tables, written anew and stamped; without a stamp where the ledger has other parts by now.

    Args:
        folder: The study's folder.
        events: All that count.
        names: The parts of the ledger, listed before the events were read.
        num_to_come: Trials that have not begun.

    Raises:
        ResultsFolderError: The folder cannot be written.
    """
    folder = place(folder)
    written = tables.write_tables(folder, events)
    try:
        ledger = _ledger(folder)
        if set(ledger["parts"]) == set(names):
            told = {
                "code": _code(),
                "ledger": ledger,
                "tables": {name: _sha256(path.read_bytes()) for name, path in zip(TABLES, written, strict=True)},
                "events": len(events),
                "began": began_as(events),
                "to_come": num_to_come,
                "runs": tables.runs(events).to_pylist(),
                "looks": asides.looks(events),
                "timed_while_busy": asides.timed_while_busy(events),
            }
            sealed = json.dumps({**told, "sha256": _seal(told)}, indent=1)
            (folder / "tables" / NAME).write_whole(sealed.encode(), may_replace=True)
    except OSError as error:
        raise ResultsFolderError(explain(error, folder / "tables")) from error
    return written


def read(folder: Where, *, with_epochs: bool = True) -> Derived | None:
    """What the stamped tables of a study hold, as `derive` would give it now; None where its ledger has to be read.

    Args:
        folder: The study's folder.
        with_epochs: Whether the table of epochs is wanted; without, it is not read and has no rows.
    """
    folder = place(folder)
    try:
        told = json.loads((folder / "tables" / NAME).read_bytes())
        if told.pop("sha256") != _seal(told) or told["code"] != _code() or told["ledger"] != _ledger(folder):
            return None
        found = {}
        for name in TABLES if with_epochs else TABLES[:1]:
            data = (folder / "tables" / f"{name}.parquet").read_bytes()
            if told["tables"][name] != _sha256(data):
                return None
            found[name] = pq.read_table(pa.BufferReader(data))
        return Derived(
            parts=frozenset(told["ledger"]["parts"]),
            num_events=told["events"],
            began=told["began"],
            num_to_come=told["to_come"],
            runs=pa.Table.from_pylist(told["runs"], schema=tables.RUN_SCHEMA),
            looks=told["looks"],
            timed_while_busy=tuple(told["timed_while_busy"]),
            trials=found["trials"],
            epochs=found["epochs"] if with_epochs else tables.tables(())[1],
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, pa.ArrowException):
        return None


def _ledger(folder: Place) -> dict[str, Any]:
    """What tells one ledger from any other: names and sizes of its parts, and the end of the newest."""
    sizes = parts.sizes(folder / "ledger")
    if not sizes:
        return {"parts": {}, "tail": ""}
    newest = max(sizes)
    with (folder / "ledger" / newest).open() as file:
        file.seek(max(sizes[newest] - _TAIL_BYTES, 0))
        return {"parts": sizes, "tail": _sha256(file.read())}


def _code() -> str:
    """The code that derives the tables: whatever changes in it may change what they hold."""
    return _sha256(b"".join(Path(module.__file__ or "").read_bytes() for module in (asides, records, tables)))


def _seal(told: dict[str, Any]) -> str:
    return _sha256(json.dumps(told, sort_keys=True).encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
