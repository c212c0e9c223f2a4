"""Whether a ledger has all its rows, each once: its keys have no holes (see `sweeper.ledger.ledger`)."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from sweeper.audit.findings import Finding, Found
from sweeper.audit.given_up import Commits
from sweeper.errors import LedgerError
from sweeper.ledger import parts
from sweeper.ledger.records import Event, Kind, Reason, Stage, Status
from sweeper.storage import Place

if TYPE_CHECKING:
    import pyarrow as pa

WORDS: dict[str, type[StrEnum]] = {"kind": Kind, "stage": Stage, "status": Status, "reason": Reason}
RESTORE = "restore the ledger from a copy"
COPY = "restore the ledger from a copy, if there is one; otherwise --repair notes the loss, and resume does the work again"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ledger:
    """What the rows of a ledger are.

    Args:
        events: Those that count, in order.
        late: How many do not count, because a newer generation fences them off.
        findings: What is wrong with them.
    """

    events: tuple[Event, ...]
    late: int
    findings: tuple[Finding, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Start:
    """What the first row of a generation says."""

    schema: int
    fence: Mapping[int, int]


def check(
    tables: Mapping[str, pa.Table], folder: Place, unreadable: Iterable[str] = (), given_up: Commits = MappingProxyType({})
) -> Ledger:
    """The events of a ledger and what is wrong with their keys.

    Args:
        tables: Every readable part's rows by its name.
        folder: The ledger's, for names in findings.
        unreadable: Names of the other parts.
        given_up: Commits that a repair noted as lost.
    """
    findings = list(_conflicts(tables))
    rows = parts.merge(tables.values())
    try:
        limits = parts.limits_of(rows)
    except LedgerError as error:
        findings.append(Finding(kind=Found.UNREADABLE, where=str(folder), what=str(error), repair=RESTORE))
        limits = {}
    counted = parts.unfenced(rows, limits)
    findings += _holes(counted, given_up, _named((*tables, *unreadable), limits))
    known, unknown = _known(counted, folder)
    events = parts.to_events(known, folder)
    whole = tuple(event for event in events if _is_whole(event))
    incomplete = [
        Finding(kind=Found.UNREADABLE, where=_place(*event.key), what=f"a row of kind {event.kind} lacks columns", repair=RESTORE)
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


def _named(names: Iterable[str], limits: Mapping[int, int]) -> Commits:
    """The commits that parts are named after, as far as they count: each has a row in its part."""
    named: dict[int, set[int]] = {}
    for name in names:
        generation, sequence = parts.generation_of(name), parts.sequence_of(name)
        if sequence <= limits.get(generation, sequence):
            named.setdefault(generation, set()).add(sequence)
    return {generation: frozenset(sequences) for generation, sequences in named.items()}


def _holes(rows: pa.Table, given_up: Commits, named: Commits) -> Iterable[Finding]:
    """Missing rows that must have been there once: see *No holes* in `sweeper.ledger.ledger`."""
    there = _positions(rows)
    present: dict[int, set[int]] = {}
    for generation, sequence in there:
        present.setdefault(generation, set()).add(sequence)
    starts = _starts(rows)
    fences = [(newer, starts[newer].fence) for newer in sorted(starts)]
    schema = 1
    known = (*named, *given_up, *present, *(old for _, fence in fences for old in fence))
    for generation in range(1, max(known, default=0) + 1):
        schema = max(schema, starts[generation].schema if generation in starts else 1)
        # The next driver recorded how far it had come; later drivers may have seen less of it, or late rows.
        fence = next((fence for newer, fence in fences if newer > generation), None)
        seen = None if fence is None else fence.get(generation, 0)
        noted = given_up.get(generation, frozenset())
        # Under schema 1 a compaction had a name and no row of its own.
        numbers = named.get(generation, frozenset()) if schema > 1 else frozenset()
        yield from _missing(generation, present.get(generation, set()), 1 if seen is None else seen, numbers, noted, schema)
    for (generation, sequence), (count, highest) in there.items():
        if count != highest + 1:
            what = f"{highest + 1 - count} of its {highest + 1} rows are missing"
            where = f"generation {generation}, commit {sequence}, rows"
            yield Finding(kind=Found.LOST, where=where, what=what, repair=COPY, count=highest + 1 - count)


def _missing(
    generation: int, present: set[int], seen: int, named: frozenset[int], noted: frozenset[int], schema: int
) -> Iterable[Finding]:
    """The commits of one generation that are not there.

    Args:
        generation: Its number.
        present: The sequences that are there and count.
        seen: The last one that the next driver saw; 1 for the newest generation.
        named: Those that parts are named after.
        noted: Those that a repair noted as lost.
        schema: The version it was written under.
    """
    end = max(present, default=0)
    missing = [number for number in range(1, max(end, seen, *named, *noted) + 1) if number not in present]
    for first, last in ranges(number for number in missing if number in noted):
        what = "lost, as a repair noted"
        yield Finding(kind=Found.GIVEN_UP, where=_commits(generation, first, last), what=what, count=last - first + 1)
    for first, last in ranges(number for number in missing if number not in noted):
        where, count = _commits(generation, first, last), last - first + 1
        if first <= end and first > 1 and schema == 1:
            what = "cannot be proved: schema 1 left such a hole at each compaction, and a loss looks the same"
            yield Finding(kind=Found.UNPROVEN, where=where, what=what, count=count)
        else:
            what = "later commits are there, but it is missing" if first < end else "a later driver saw it, but it is missing"
            if first > max(end, seen):
                what = "a part is named after it, but its rows are missing"
            commits = (generation, first, last)
            yield Finding(kind=Found.LOST, where=where, what=what, repair=COPY, count=count, commits=commits)


def _positions(rows: pa.Table) -> dict[tuple[int, int], tuple[int, int]]:
    """Rows and highest position of every commit."""
    grouped = rows.group_by(["generation", "sequence"]).aggregate([("position", "count"), ("position", "max")])
    columns = [grouped.column(name).to_pylist() for name in ("generation", "sequence", "position_count", "position_max")]
    return {(generation, sequence): (count, highest) for generation, sequence, count, highest in zip(*columns, strict=True)}


def _starts(rows: pa.Table) -> dict[int, _Start]:
    """What each generation's first row says, where it exists and can be read."""
    import pyarrow.compute as pc

    starts = rows.filter(pc.equal(rows.column("kind"), Kind.DRIVER_STARTED.value)).select(["generation", "detail"])
    read: dict[int, _Start] = {}
    for start in starts.to_pylist():
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            detail = json.loads(start["detail"])
            fence = {int(generation): int(last) for generation, last in detail["fence"].items()}
            read[start["generation"]] = _Start(schema=int(detail.get("schema", 1)), fence=fence)
    return read


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
        yield Finding(kind=Found.REPEATED, where=_place(*(one[name] for name in keys)), what=what, repair=RESTORE)


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


def _known(rows: pa.Table, folder: Place) -> tuple[pa.Table, list[Finding]]:
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
            repair = f"upgrade sweeper, or {RESTORE}"
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


def _commits(generation: int, first: int, last: int) -> str:
    return f"generation {generation}, " + (f"commit {first}" if first == last else f"commits {first} to {last}")


def _place(generation: int, sequence: int, position: int) -> str:
    return f"generation {generation}, commit {sequence}, row {position}"
