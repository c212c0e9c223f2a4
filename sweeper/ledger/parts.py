"""The parts of a ledger: written whole, listed, read, removed; and their rows put together.

`sweeper.ledger.ledger` says what the parts of a study mean together. Here is what depends on their being files in a folder: above
all `write`, which never replaces, `names`, `read` and `remove`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sweeper.errors import DamagedPartError, LedgerError
from sweeper.garbage import uncollected
from sweeper.ledger import records
from sweeper.ledger.records import Event, Kind, Reason, Stage, Status
from sweeper.storage import Place, explain, explain_reading

_NAME = re.compile(r"[0-9]{6,}-[0-9]{9,}\.parquet")
_KEY = ("generation", "sequence", "position")
FENCE = (*_KEY, "kind", "detail")
"""The columns that tell which rows count."""
_COLUMNS = tuple(field.name for field in dataclasses.fields(Event))
_ENUMS = {"kind": Kind, "stage": Stage, "status": Status, "reason": Reason}

# On the few rows of a commit zstd takes four times the time of snappy, to write and to read, and saves nothing.
_ZSTD_ABOVE_ROWS = 1000

# A table of a few rows takes a hundred times their space: parts are put together while there are few of them.
_AT_ONCE = 50

# Parts


def name_of(generation: int, sequence: int) -> str:
    """The file name of the part that a generation writes as its `sequence`-th."""
    return f"{generation:06d}-{sequence:09d}.parquet"


def generation_of(name: str) -> int:
    """The generation that wrote the part of this name."""
    return int(name.partition("-")[0])


def sequence_of(name: str) -> int:
    """The number that part has among those of its generation."""
    return int(name.partition("-")[2].partition(".")[0])


def write(path: Place, table: pa.Table) -> None:
    """Make a part appear complete and durable, or not at all; never in the place of another one.

    Args:
        path: In the ledger's folder, named by `name_of`.
        table: Its rows, by `from_events` or `merge`.

    Raises:
        FileExistsError: There is such a part.
        OSError: It could not be written; or it was, and whether it is durable is unknown.
    """
    data = pa.BufferOutputStream()
    compression = "zstd" if table.num_rows > _ZSTD_ABOVE_ROWS else "snappy"
    pq.write_table(table, data, compression=compression, write_page_checksum=True)
    path.write_whole(data.getvalue())


def names(folder: Place) -> list[str]:
    """The names of all parts in a ledger's folder, sorted.

    Raises:
        LedgerError: The folder cannot be read.
    """
    try:
        return sorted(name for name in folder.names() if _NAME.fullmatch(name))
    except OSError as error:
        raise LedgerError(explain_reading(error, folder)) from error


def sizes(folder: Place) -> dict[str, int]:
    """The size in bytes of every part in a ledger's folder, by name. Raises `OSError`."""
    return {name: size for name, size in folder.tree().items() if _NAME.fullmatch(name)}


def read(path: Place, schema: pa.Schema) -> pa.Table:
    """Some columns of one part; those it lacks, because it is older, are empty.

    Args:
        path: The part.
        schema: The columns, without metadata.

    Raises:
        FileNotFoundError: There is no such part.
        DamagedPartError: It holds no readable rows any more.
        LedgerError: It cannot be read, or was written by a newer version.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise LedgerError(explain_reading(error, path)) from error
    try:
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            version = int((file.schema_arrow.metadata or {}).get(b"sweeper_schema", b"missing"))
            if version > records.SCHEMA_VERSION:
                raise LedgerError(
                    f"{path} was written by a newer version of sweeper (schema {version}; this one knows up to "
                    f"{records.SCHEMA_VERSION}). Upgrade sweeper to read this study."
                )
            there = set(file.schema_arrow.names)
            table = file.read(columns=[name for name in schema.names if name in there], use_threads=False)
        if table.schema.equals(schema):
            return table.replace_schema_metadata(None)
        columns = [
            table.column(field.name).cast(field.type) if field.name in there else pa.nulls(len(table), field.type)
            for field in schema
        ]
        return pa.table(columns, schema=schema)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedPartError(path, f"{len(data)} bytes; {' '.join(str(error).split())[:200]}") from error


def read_all(
    folder: Place, columns: Sequence[str] = _COLUMNS, unreadable: dict[str, LedgerError] | None = None
) -> dict[str, pa.Table]:
    """Every part's table by its name, among them perhaps some that were merged into another meanwhile.

    A listing made while a compaction removes parts may miss both an old part and the merged one. So it is repeated until it
    shows nothing new: parts never change, hence each is read once.

    Args:
        folder: The ledger's folder.
        columns: What to read of each.
        unreadable: Where to put the errors of parts that cannot be read, by name; None raises the first one.

    Raises:
        LedgerError: A part is damaged, or was written by a newer version.
    """
    full = records.schema()
    schema = pa.schema([full.field(column) for column in columns])
    tables: dict[str, pa.Table] = {}

    def try_to_read(name: str) -> None:
        try:
            tables[name] = read(folder / name, schema)
        except FileNotFoundError:
            # Merged and removed meanwhile; a network folder may list it for some seconds more.
            time.sleep(0.01)
        except LedgerError as error:
            if unreadable is None:
                raise
            unreadable[name] = error

    fresh = names(folder) or names(folder)
    while fresh:
        list(folder.map(try_to_read, fresh))
        fresh = [name for name in names(folder) if name not in tables and name not in (unreadable or ())]
    return tables


def read_merged(folder: Place, names: Sequence[str]) -> pa.Table:
    """The rows of some parts, as `merge` gives them; for the holder of the lock, because every part must be there.

    Args:
        folder: The ledger's folder.
        names: The parts.

    Raises:
        FileNotFoundError: A part is gone.
        LedgerError: A part is damaged, or was written by a newer version.
    """
    schema = records.schema().remove_metadata()
    merged = []
    for start in range(0, len(names), _AT_ONCE):
        tables = folder.map(lambda name: read(folder / name, schema), names[start : start + _AT_ONCE])
        merged.append(merge(tables).replace_schema_metadata(None))
    return merge(merged)


def remove(folder: Place, names: Iterable[str]) -> None:
    """Delete files of a ledger's folder; those that are gone already are no error.

    Raises:
        LedgerError: The folder cannot be written.
    """
    try:
        list(folder.map(lambda name: (folder / name).remove(), names))
    except OSError as error:
        raise LedgerError(explain(error, folder)) from error


def set_aside(folder: Place, paths: Iterable[Place]) -> None:
    """Move files of a study into its folder ``damaged``, where nothing reads them; one of the same name there stays.

    Args:
        folder: The study's folder.
        paths: Files in it; those that are gone are no error.

    Raises:
        LedgerError: The folder cannot be written.
    """
    aside = folder / "damaged"
    try:
        for path in paths:
            aside.make_folder()
            targets = (aside / (path.name if number == 1 else f"{path.name}.{number}") for number in itertools.count(1))
            with contextlib.suppress(FileNotFoundError):
                path.move(next(target for target in targets if not target.exists()))
    except OSError as error:
        raise LedgerError(explain(error, aside)) from error


def remove_leftovers(folder: Place) -> None:
    """Delete from a folder what dead drivers left half written; for the holder of the lock. Raises as `remove` does."""
    try:
        left = [name for name in folder.names() if name.startswith(".") and name.endswith(".tmp")]
    except OSError as error:
        raise LedgerError(explain_reading(error, folder)) from error
    remove(folder, left)


# Rows


def from_events(events: Sequence[Event]) -> pa.Table:
    """The rows of events that have their keys."""
    columns = {name: [getattr(event, name) for event in events] for name in _COLUMNS}
    try:
        return pa.table(columns, schema=records.schema())
    except UnicodeEncodeError:
        # Error texts may hold bytes that are no text (file names, output of tools): no reason to lose a result.
        for name, values in columns.items():
            columns[name] = [
                value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value for value in values
            ]
        return pa.table(columns, schema=records.schema())


def merge(tables: Iterable[pa.Table]) -> pa.Table:
    """All rows once, in order of their keys."""
    schema = records.schema()
    table = pa.concat_tables([schema.empty_table().replace_schema_metadata(None), *tables])
    table = table.replace_schema_metadata(schema.metadata)
    table = table.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in _KEY])).combine_chunks()
    if table.num_rows < 2:
        return table
    is_new = pa.array([False] * (table.num_rows - 1))
    for name in _KEY:
        values = table.column(name).chunk(0)
        is_new = pc.or_(is_new, pc.not_equal(values[1:], values[:-1]))
    if pc.all(is_new).as_py():
        return table
    return table.filter(pa.concat_arrays([pa.array([True]), is_new]))


def fence_of(tables: Collection[pa.Table]) -> dict[int, int]:
    """What the next generation writes down: the last sequence of each generation that counts.

    Rows that an older fence hides do not raise it: they would count again if that fence were lost.

    Args:
        tables: All parts, of the columns `FENCE`.

    Raises:
        LedgerError: A `driver_started` event has no readable fence.
    """
    if not tables:
        return {}
    rows = pa.concat_tables(tables)
    limits = limits_of(rows)
    last = rows.group_by("generation").aggregate([("sequence", "max")]).to_pydict()
    return {
        generation: min(sequence, limits.get(generation, sequence))
        for generation, sequence in zip(last["generation"], last["sequence_max"], strict=True)
    }


def limits_of(table: pa.Table) -> dict[int, int]:
    """The last sequence that counts of every generation but the newest: the lowest fence that a newer one set, 0 for none.

    Args:
        table: All rows.

    Raises:
        LedgerError: A `driver_started` event has no readable fence.
    """
    is_start = pc.equal(table.column("kind"), Kind.DRIVER_STARTED.value)
    starts = table.select(["detail", *_KEY]).filter(is_start).sort_by([(name, "ascending") for name in _KEY]).to_pylist()
    generations = pc.unique(table.column("generation")).to_pylist()
    limits: dict[int, int] = {}
    for start in reversed(starts):
        if start["sequence"] > limits.get(start["generation"], start["sequence"]):
            continue
        try:
            fence = {int(generation): int(last) for generation, last in json.loads(start["detail"])["fence"].items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise LedgerError(
                f"the driver_started event of generation {start['generation']} has no readable fence: {start['detail']!r}. "
                "Restore the ledger from a copy."
            ) from error
        for generation in {*generations, *fence}:
            if generation < start["generation"]:
                last = fence.get(generation, 0)
                limits[generation] = min(limits.get(generation, last), last)
    return limits


def unfenced(table: pa.Table, limits: Mapping[int, int] | None = None) -> pa.Table:
    """The rows that no newer generation fences off.

    Args:
        table: All rows, in order of their keys.
        limits: By `limits_of`; None computes them.

    Raises:
        LedgerError: A `driver_started` event has no readable fence.
    """
    for generation, last in (limits_of(table) if limits is None else limits).items():
        is_late = pc.and_(pc.equal(table.column("generation"), generation), pc.greater(table.column("sequence"), last))
        if pc.any(is_late).as_py():
            table = table.filter(pc.invert(is_late))
    return table


def to_events(table: pa.Table, where: Place) -> list[Event]:
    """The events that rows hold.

    Args:
        table: The rows, as `merge` gives them.
        where: What to name in an error message.

    Raises:
        LedgerError: A word that this version does not know.
    """
    columns = [_values(table.column(name), name, where) for name in _COLUMNS]
    events = []
    with uncollected():
        for row in zip(*columns, strict=True):
            # Typed columns and ready enums need no checks, and a dictionary made whole takes half the memory of one that grew:
            # a third of the time and half of the space of the constructor.
            event = object.__new__(Event)
            object.__setattr__(event, "__dict__", dict(zip(_COLUMNS, row, strict=True)))
            events.append(event)
    return events


def _values(column: pa.ChunkedArray, name: str, where: Place) -> Iterable[Any]:
    if column.null_count == len(column):
        return itertools.repeat(None, len(column))
    if pa.types.is_floating(column.type) or pa.types.is_boolean(column.type):
        values: list[Any] = column.to_pylist()
        return values
    # Most texts and integers repeat from row to row: one object each saves memory, for texts also time.
    encoded = column.combine_chunks().dictionary_encode()
    words: list[Any] = encoded.dictionary.to_pylist()
    if name in _ENUMS:
        try:
            words = [_ENUMS[name](word) for word in words]
        except ValueError as error:
            raise LedgerError(f"{where} holds an unknown {name}: {error}. Upgrade sweeper, or restore a copy.") from error
    indices = encoded.indices.fill_null(len(words)).to_pylist()
    words.append(None)
    return [words[index] for index in indices]
