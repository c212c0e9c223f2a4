"""Whether the rows of a ledger are all there, each once: its keys have no holes (see `sweeper.store`)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from sweeper import parts
from sweeper.audit.findings import Finding, Found
from sweeper.errors import LedgerError
from sweeper.records import Event, Kind, Reason, Stage, Status

if TYPE_CHECKING:
    import pyarrow as pa

WORDS: dict[str, type[StrEnum]] = {"kind": Kind, "stage": Stage, "status": Status, "reason": Reason}
COPY = "restore the ledger from a copy, if there is one; what is lost is done again at the next resume"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ledger:
    """What the rows of a ledger are.

    Args:
        events: Those that count, in order.
        late: How many a newer generation fences off.
        findings: What is wrong with them.
    """

    events: tuple[Event, ...]
    late: int
    findings: tuple[Finding, ...]


def check(tables: Mapping[str, pa.Table], folder: Path, unreadable: Iterable[str] = ()) -> Ledger:
    """The events of a ledger and what is wrong with their keys.

    Args:
        tables: Every readable part's rows by its name.
        folder: The ledger's, for names in findings.
        unreadable: Names of the other parts.
    """
    findings = list(_conflicts(tables))
    rows = parts.merge(tables.values())
    try:
        limits = parts.limits_of(rows)
    except LedgerError as error:
        findings.append(Finding(kind=Found.UNREADABLE, where=str(folder), what=str(error), repair=COPY))
        limits = {}
    counted = parts.unfenced(rows, limits)
    findings += _holes(counted, limits, max([0, *map(parts.generation_of, (*tables, *unreadable))]))
    known, unknown = _known(counted, folder)
    events = parts.to_events(known, folder)
    whole = tuple(event for event in events if _is_whole(event))
    incomplete = [
        Finding(kind=Found.UNREADABLE, where=_place(*event.key), what=f"a row of kind {event.kind} lacks columns", repair=COPY)
        for event in events
        if not _is_whole(event)
    ]
    return Ledger(events=whole, late=len(rows) - len(counted), findings=(*findings, *unknown, *incomplete))


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of every run of whole numbers, for ascending ones."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _holes(rows: pa.Table, limits: Mapping[int, int], last_named: int) -> Iterable[Finding]:
    """Rows that must have been there once: see *No holes* in `sweeper.store`."""
    there = _positions(rows)
    schemas = _schemas(rows)
    schema = 1
    for generation in range(1, max([last_named, *limits, *(key[0] for key in there)], default=0) + 1):
        schema = max(schema, schemas.get(generation, 1))
        present = {sequence for number, sequence in there if number == generation}
        last = limits.get(generation, max(present, default=1))
        end = max(present, default=0)
        for first, until in ranges(number for number in range(1, last + 1) if number not in present):
            where = f"generation {generation}, " + (f"commit {first}" if first == until else f"commits {first} to {until}")
            if first > end and generation in limits:
                what = "a later driver saw them, and they are not there"
            elif schema == 1 and first > 1:
                what = "cannot be proved: schema 1 left such a hole at each compaction, and a loss looks the same"
                yield Finding(kind=Found.UNPROVEN, where=where, what=what, count=until - first + 1)
                continue
            else:
                what = "what came after them is there, and they are not"
            yield Finding(kind=Found.LOST, where=where, what=what, repair=COPY, count=until - first + 1)
    for (generation, sequence), (count, highest) in there.items():
        if count != highest + 1:
            what = f"{highest + 1 - count} of its {highest + 1} rows are not there"
            where = f"generation {generation}, commit {sequence}, rows"
            yield Finding(kind=Found.LOST, where=where, what=what, repair=COPY, count=highest + 1 - count)


def _positions(rows: pa.Table) -> dict[tuple[int, int], tuple[int, int]]:
    """Rows and highest position of every commit."""
    grouped = rows.group_by(["generation", "sequence"]).aggregate([("position", "count"), ("position", "max")])
    columns = [grouped.column(name).to_pylist() for name in ("generation", "sequence", "position_count", "position_max")]
    return {(generation, sequence): (count, highest) for generation, sequence, count, highest in zip(*columns, strict=True)}


def _schemas(rows: pa.Table) -> dict[int, int]:
    """The schema each generation was started under, as far as its first row is there and readable."""
    import pyarrow.compute as pc

    starts = rows.filter(pc.equal(rows.column("kind"), Kind.DRIVER_STARTED.value)).select(["generation", "detail"])
    schemas = {}
    for start in starts.to_pylist():
        try:
            schemas[start["generation"]] = int(json.loads(start["detail"]).get("schema", 1))
        except (ValueError, TypeError, AttributeError):
            continue
    return schemas


def _conflicts(tables: Mapping[str, pa.Table]) -> Iterable[Finding]:
    """Different rows with one key."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not tables:
        return
    names = list(tables)
    sources = [
        table.append_column("source", pa.array([index] * len(table), pa.int64())) for index, table in enumerate(tables.values())
    ]
    rows = pa.concat_tables(sources)
    keys = ("generation", "sequence", "position")
    rows = rows.take(pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in (*keys, "source")])).combine_chunks()
    if len(rows) < 2:
        return
    before, after = rows.slice(0, len(rows) - 1), rows.slice(1)
    is_same_key = pa.chunked_array([pa.array([True] * (len(rows) - 1), pa.bool_())])
    for name in keys:
        is_same_key = pc.and_(is_same_key, pc.equal(before.column(name), after.column(name)))
    before, after = before.filter(is_same_key), after.filter(is_same_key)
    is_different = differs(before.drop_columns("source"), after.drop_columns("source"))
    first, second = (table.filter(is_different).select([*keys, "source"]).to_pylist() for table in (before, after))
    for one, other in zip(first, second, strict=True):
        what = f"two different rows of this key, in {names[one['source']]} and {names[other['source']]}"
        yield Finding(kind=Found.REPEATED, where=_place(*(one[name] for name in keys)), what=what, repair=COPY)


def differs(one: pa.Table, other: pa.Table) -> pa.ChunkedArray:
    """For two tables of the same columns and length: which rows are not the same bit for bit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_different = pa.chunked_array([pa.array([False] * len(one), pa.bool_())])
    for name in one.column_names:
        left, right = (table.column(name).combine_chunks() for table in (one, other))
        if pa.types.is_floating(left.type):
            left, right = left.view(pa.int64()), right.view(pa.int64())
        is_other = pc.coalesce(pc.not_equal(left, right), pc.xor(pc.is_valid(left), pc.is_valid(right)))
        is_different = pc.or_(is_different, is_other)
    return is_different


def _known(rows: pa.Table, folder: Path) -> tuple[pa.Table, list[Finding]]:
    """The rows without words this version does not know."""
    import pyarrow as pa
    import pyarrow.compute as pc

    findings = []
    for name, words in WORDS.items():
        column = rows.column(name)
        is_unknown = pc.and_(pc.is_valid(column), pc.invert(pc.is_in(column, pa.array([word.value for word in words]))))
        for word in pc.unique(column.filter(is_unknown)).to_pylist():
            count = pc.sum(pc.equal(column, word)).as_py()
            what = f"{count} rows with {name} '{word}', which this version does not know"
            repair = f"upgrade sweeper; or {COPY}"
            findings.append(
                Finding(kind=Found.UNREADABLE, where=f"{folder}, {name} '{word}'", what=what, repair=repair, count=count)
            )
        rows = rows.filter(pc.invert(is_unknown))
    return rows, findings


def _is_whole(event: Event) -> bool:
    """Whether a row has the columns that those of its kind always have."""
    needed: dict[Kind, tuple[str, ...]] = {
        Kind.SUGGESTED: ("trial", "arm", "number", "attempt", "configuration"),
        Kind.EPOCH: ("trial", "attempt", "epoch", "status"),
        Kind.ATTEMPT_ENDED: ("trial", "attempt", "status"),
    }
    return all(getattr(event, name) is not None for name in needed.get(event.kind, ()))


def _place(generation: int, sequence: int, position: int) -> str:
    return f"generation {generation}, commit {sequence}, row {position}"
