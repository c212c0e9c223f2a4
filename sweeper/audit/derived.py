"""Whether the derived tables match the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from sweeper.audit.findings import Finding, Found
from sweeper.audit.ledger import differs
from sweeper.storage import Place

if TYPE_CHECKING:
    import pyarrow as pa

KEYS = {"trials": ("trial",), "epochs": ("trial", "epoch")}
"""The tables, and the columns that identify a row."""


def path_of(folder: Place, name: str) -> Place:
    """Where a table lies; `folder` is the study's."""
    return folder / "tables" / f"{name}.parquet"


def read(folder: Place) -> dict[str, pa.Table | str]:
    """The tables that are there, by name, or why one cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[str, pa.Table | str] = {}
    for name in KEYS:
        try:
            found[name] = pq.read_table(pa.BufferReader(path_of(folder, name).read_bytes()), page_checksum_verification=True)
        except FileNotFoundError:
            continue
        except (pa.ArrowException, OSError, ValueError) as error:
            found[name] = " ".join(str(error).split())[:200]
    return found


def check(found: Mapping[str, pa.Table | str], expected: Mapping[str, pa.Table], folder: Place) -> Iterable[Finding]:
    """What differs between the tables and the ledger.

    Args:
        found: The tables, read before the ledger was: they cannot know more than it.
        expected: What the ledger gives, by name.
        folder: The study's.
    """
    for name, table in expected.items():
        path = path_of(folder, name)
        old = found.get(name)
        if old is None:
            what = "not written yet" if len(table) else ""
        elif isinstance(old, str):
            what = f"it cannot be read: {old}"
        else:
            lost = _keys(old, name) - _keys(table, name)
            if lost:
                listed = ", ".join(" ".join(map(str, key)) for key in sorted(lost, key=str)[:3])
                what = f"it holds {len(lost)} rows the ledger has lost: {listed}{' ...' if len(lost) > 3 else ''}"
                repair = "restore the ledger from a copy; --repair moves the table to damaged/ and writes a new one"
                yield Finding(kind=Found.LOST, where=str(path), what=what, repair=repair, count=len(lost), files=(path,))
                continue
            what = "" if _is_same(old, table) else "it does not match the ledger"
        if what:
            yield Finding(kind=Found.STALE, where=str(path), what=what, repair="--repair or resume writes a new one")


def _keys(table: pa.Table, name: str) -> set[tuple[object, ...]]:
    if not set(KEYS[name]) <= set(table.column_names):
        return set()
    return set(zip(*(table.column(column).to_pylist() for column in KEYS[name]), strict=True))


def _is_same(one: pa.Table, other: pa.Table) -> bool:
    import pyarrow.compute as pc

    if _version(one) < _version(other) and set(one.column_names) <= set(other.column_names):
        other = other.select(one.column_names)  # there were fewer columns when it was written
    if len(one) != len(other) or not one.schema.equals(other.schema):
        return False
    return not len(one) or not pc.any(differs(one, other)).as_py()


def _version(table: pa.Table) -> int:
    """The schema it was written with."""
    return int((table.schema.metadata or {}).get(b"sweeper_schema", 0))
