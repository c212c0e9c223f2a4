"""The ledger of one study: append, commit, read, compact.

::

    <results>/<study>/
      study.yaml                                        the resolved study, as first run
      owner.json owner.guard                            who drives it: `sweeper.lock`
      ledger/<generation:06d>-<sequence:09d>.parquet    one commit each: a part, written whole and never changed
      tables/                                           derived: `sweeper.tables`

**Order.** Each start of a driver is a generation, each of its commits has a sequence number, each row of a commit a
position. Together they are the key of a row. Reading sorts by key and removes repeats.

**Fence.** The first commit of a generation is its `driver_started` event. Its `detail` is a JSON object; `fence` in it maps
each older generation to the last sequence seen of it. A row of an older generation above the fence of a newer one was
written late, by a driver that had lost its lock, and is ignored. A commit checks the lock before and after it puts its part
in place, so a commit that returned lies below every later fence.

**Compaction** takes the driver's next sequence number as the name of the merged part, exactly as a commit does, while the
rows in it keep their own keys. So its name cannot collide with any part before or after it, the next generation can be told
as before, and parts are still never changed. The old parts are deleted once the merged one is durable; until then rows are
there twice, which reading removes. Fences are computed from rows, not from names, so a number spent on a compaction fences
nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import json
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sweeper import records
from sweeper.errors import InputError, LedgerError, ResultsFolderError, StudyLockedError, SweeperError
from sweeper.lock import Lock, Owner, live_owner
from sweeper.records import Event, Kind, Reason, Stage, Status

COMMIT_AFTER_S = 1.0
"""Group commit: longest time a row waits in the buffer."""

COMMIT_AFTER_ROWS = 1000
"""Group commit: most rows that wait in the buffer."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PART = re.compile(r"([0-9]{6,})-([0-9]{9,})\.parquet")
_KEY = ("generation", "sequence", "position")
_COLUMNS = tuple(field.name for field in dataclasses.fields(Event))
_ENUMS: Mapping[str, type[Kind] | type[Stage] | type[Status] | type[Reason]] = {
    "kind": Kind,
    "stage": Stage,
    "status": Status,
    "reason": Reason,
}


def study_folder(results: Path, name: str) -> Path:
    """The folder of the study `name` under `results`; it need not exist.

    Args:
        results: The results folder.
        name: 1 to 64 letters, digits, ``_``, ``.`` and ``-``, beginning with a letter or digit.

    Raises:
        InputError: Not such a name.
        ResultsFolderError: The name leads out of the results folder through a link.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"study name {name!r} cannot be used. Allowed: 1 to 64 letters, digits, '_', '.' and '-', "
            "beginning with a letter or digit."
        )
    folder = results / name
    try:
        is_inside = folder.resolve().parent == results.resolve()
    except (OSError, RuntimeError):
        is_inside = False
    if not is_inside:
        raise ResultsFolderError(
            f"{folder} is a link that leads out of {results}. Remove the link, or name the folder it leads to."
        )
    return folder


class StudyStore:
    """What is stored of one study.

    Args:
        folder: The study's folder; it need not exist before `create`.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    @property
    def exists(self) -> bool:
        """Whether a study was created here."""
        return os.path.isfile(self.folder / "study.yaml")

    @property
    def owner(self) -> Owner | None:
        """Who drives the study now; None when nobody does."""
        return live_owner(self.folder)

    def create(self, study_yaml: str) -> None:
        """Make the folder and keep the study's file in it.

        Args:
            study_yaml: The resolved study.

        Raises:
            ResultsFolderError: The folder cannot be made or written, or holds a study already.
        """
        path = self.folder / "study.yaml"
        try:
            (self.folder / "ledger").mkdir(parents=True, exist_ok=True)
            sync_folder(self.folder.parent)
            write_whole(path, study_yaml.encode())
        except FileExistsError as error:
            if self.exists:
                raise ResultsFolderError(
                    f"{self.folder} holds a study already. Continue it with: sweeper resume {self.folder}; "
                    "or choose another name."
                ) from None
            raise ResultsFolderError(explain(error, self.folder)) from error
        except OSError as error:
            raise ResultsFolderError(explain(error, self.folder)) from error

    def study_yaml(self) -> str:
        """The resolved study, as first run.

        Raises:
            ResultsFolderError: There is no study here, or its file cannot be read.
        """
        if not self.exists:
            raise ResultsFolderError(self._nothing_here())
        try:
            return (self.folder / "study.yaml").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ResultsFolderError(f"{self.folder / 'study.yaml'} cannot be read: {error}.") from error

    @contextlib.contextmanager
    def drive(self, detail: Mapping[str, Any] | None = None, *, study_id: str | None = None) -> Iterator[Ledger]:
        """The study's ledger, open for writing by this process alone.

        What is still buffered when the block ends, also by an exception, is committed. To continue a study call `read`
        inside the block, not before it: only then is everything fenced off that a dead driver may still write.

        Args:
            detail: Anything JSON can hold to keep in the `driver_started` event, for example versions and host.
            study_id: Kept in the `driver_started` event.

        Raises:
            ResultsFolderError: There is no study here, or its folder cannot be written.
            StudyLockedError: Another driver is at work.
            LedgerError: The ledger cannot be read or written.
        """
        if not self.exists:
            raise ResultsFolderError(self._nothing_here())
        ledger = Ledger.open(self, dict(detail or {}), study_id)
        try:
            yield ledger
        except BaseException as error:
            try:
                ledger.commit()
            except SweeperError as second:
                error.add_note(f"The last {ledger.num_buffered} rows were not saved: {second}")
            raise
        else:
            ledger.commit()
        finally:
            ledger.close()

    def read(self) -> list[Event]:
        """Every event that counts, in order of its key; safe while a driver writes and compacts.

        Raises:
            ResultsFolderError: There is no study here.
            LedgerError: A part is damaged, or was written by a newer version.
        """
        if not self.exists and not (self.folder / "ledger").is_dir():
            raise ResultsFolderError(self._nothing_here())
        return _events(_unfenced(_merge(self.parts().values())), self.folder / "ledger")

    def parts(self, columns: Sequence[str] = _COLUMNS) -> dict[str, pa.Table]:
        """Every part's table by its name, among them perhaps some that were merged into another meanwhile.

        A listing made while a compaction deletes parts may miss both an old part and the merged one. So it is repeated until it
        shows nothing new: parts never change, hence each is read once.

        Args:
            columns: What to read of each.

        Raises:
            LedgerError: A part is damaged, or was written by a newer version.
        """
        schema = records.schema()
        fields = [schema.field(name) for name in columns]
        tables: dict[str, pa.Table] = {}
        for listing in itertools.count():
            fresh = [name for name in self._names() if name not in tables]
            if not fresh and listing > 0:
                return tables
            for name in fresh:
                path = self.folder / "ledger" / name
                try:
                    tables[name] = _read_part(path, fields)
                except FileNotFoundError:
                    if os.path.islink(path):
                        raise LedgerError(f"{path} is a link to nowhere. Restore what it leads to.") from None
                    # Merged and deleted meanwhile; a network folder may list it for some seconds more.
                    time.sleep(0.01)
        raise AssertionError("unreachable")

    def _names(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self.folder / "ledger") if _PART.fullmatch(name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LedgerError(f"{self.folder / 'ledger'} cannot be read: {error.strerror or error}.") from error

    def _nothing_here(self) -> str:
        return f"there is no study in {self.folder}. Start one with: sweeper launch STUDY.yaml"


class Ledger:
    """The ledger of a study, open for writing: made by `StudyStore.drive`, used from one thread.

    Args:
        store: The study.
        lock: Its lock, held.
        generation: Number of this start of a driver.
    """

    def __init__(self, store: StudyStore, lock: Lock, generation: int):
        self.generation = generation
        self._store = store
        self._lock = lock
        self._sequence = 1
        self._buffer: list[Event] = []
        self._buffered_since = 0.0
        self._is_closed = False
        self._is_in_doubt = False

    @classmethod
    def open(cls, store: StudyStore, detail: Mapping[str, Any], study_id: str | None) -> Ledger:
        """Take the lock, begin the next generation and commit its `driver_started` event; see `StudyStore.drive`."""
        assert "fence" not in detail, "the fence is the ledger's own"
        folder = store.folder / "ledger"
        try:
            folder.mkdir(exist_ok=True)
            lock = Lock.acquire(store.folder)
        except OSError as error:
            raise ResultsFolderError(explain(error, store.folder)) from error
        try:
            for leftover in folder.glob(".*.tmp"):
                leftover.unlink(missing_ok=True)
            parts = store.parts(columns=("generation", "sequence"))
            fence = _last_sequences(parts.values())
            named = [int(name.partition("-")[0]) for name in parts]
            ledger = cls(store, lock, max([0, *named, *fence]) + 1)
            text = json.dumps({**detail, "fence": {str(generation): last for generation, last in sorted(fence.items())}})
            ledger.append(Event(kind=Kind.DRIVER_STARTED, study_id=study_id, detail=text))
            ledger.commit()
        except BaseException as error:
            lock.release()
            if isinstance(error, OSError):
                raise LedgerError(explain(error, folder)) from error
            raise
        return ledger

    @property
    def num_buffered(self) -> int:
        """Rows that were appended and not committed yet."""
        return len(self._buffer)

    def append(self, event: Event) -> Event:
        """The event as it will be stored: with its time, unless it has one, and its key. It is durable after the next commit.

        Args:
            event: What happened.
        """
        assert not self._is_closed, "append after close"
        if not self._buffer:
            self._buffered_since = time.monotonic()
        stamped = event.replace(
            time=time.time() if event.time is None else event.time,
            generation=self.generation,
            sequence=self._sequence,
            position=len(self._buffer),
        )
        self._buffer.append(stamped)
        return stamped

    def commit(self) -> None:
        """Make everything appended so far durable, as one part; returns when it is.

        After a `LedgerError` such as a full disk the rows stay in the buffer and the commit may be tried again.

        Raises:
            StudyLockedError: This driver lost the study; nothing it writes counts any more.
            LedgerError: The part could not be written.
        """
        assert not self._is_closed, "commit after close"
        if self._buffer:
            self._publish(_table(self._buffer))
            self._buffer.clear()

    def commit_if_due(self, now: float | None = None) -> bool:
        """Whether a commit was due and done: the oldest buffered row is `COMMIT_AFTER_S` old, or there are `COMMIT_AFTER_ROWS`.

        Args:
            now: Seconds by `time.monotonic`; None reads that clock.
        """
        if not self._buffer:
            return False
        waited = (time.monotonic() if now is None else now) - self._buffered_since
        if waited < COMMIT_AFTER_S and len(self._buffer) < COMMIT_AFTER_ROWS:
            return False
        self.commit()
        return True

    def compact(self, min_parts: int = 2) -> int:
        """How many parts were merged into one, after committing what is buffered; safe at any instant (see the module).

        Args:
            min_parts: Do nothing when there are fewer.
        """
        self.commit()
        if len(self._store._names()) < max(min_parts, 2):
            return 0
        parts = self._store.parts()
        self._publish(_merge(parts.values()))
        try:
            for name in sorted(parts):
                (self._store.folder / "ledger" / name).unlink(missing_ok=True)
        except OSError as error:
            raise LedgerError(explain(error, self._store.folder / "ledger")) from error
        return len(parts)

    def close(self) -> None:
        """Give the study free. What is still buffered is dropped: `StudyStore.drive` commits it first."""
        if not self._is_closed:
            self._is_closed = True
            self._lock.release()

    def _publish(self, table: pa.Table) -> None:
        path = self._store.folder / "ledger" / f"{self.generation:06d}-{self._sequence:09d}.parquet"
        if self._is_in_doubt:
            raise LedgerError(
                f"whether {path} was saved is unknown, because the disk reported an error. Check the disk, then: "
                f"sweeper resume {self._store.folder}"
            )
        self._lock.check()
        data = pa.BufferOutputStream()
        # On the few rows of a commit zstd takes four times the time of snappy, to write and to read, and saves nothing.
        compression = "zstd" if table.num_rows > COMMIT_AFTER_ROWS else "snappy"
        pq.write_table(table, data, compression=compression, write_page_checksum=True)
        try:
            write_whole(path, data.getvalue())
        except FileExistsError:
            raise StudyLockedError(
                f"another driver wrote {path} at this moment. Let it work, or stop it and run: "
                f"sweeper resume {self._store.folder}"
            ) from None
        except OSError as error:
            self._is_in_doubt = os.path.exists(path)
            raise LedgerError(explain(error, path)) from error
        self._sequence += 1
        self._lock.check()


def write_whole(path: Path, data: bytes | pa.Buffer, *, may_replace: bool = False) -> None:
    """Make a file appear complete and durable, or not at all.

    Args:
        path: The file; its folder exists.
        data: All of it.
        may_replace: Whether it may take the place of an older file.

    Raises:
        FileExistsError: There is such a file and it may not be replaced.
        OSError: It could not be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if may_replace:
            os.replace(temporary, path)
        else:
            _place(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _place(temporary: Path, path: Path) -> None:
    """Rename without ever replacing: a driver that overslept must not overwrite a part of its successor."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        # A network file system may repeat a call that succeeded, and report the repetition.
        if not os.path.samefile(temporary, path):
            raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK):
            raise
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(temporary, path)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def explain(error: OSError, where: Path) -> str:
    """What went wrong with a file, where, and what to do about it, as one sentence or two."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where} cannot be written: the disk or your quota is full. Free some space, then run the command again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where} is not writable ({error.strerror}). Change its permissions, or choose another folder with --results."
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        files = [path for path in (where, *where.parents) if os.path.lexists(path) and not os.path.isdir(path)]
        return f"{where} cannot be used as a folder: {(files or [where])[0]} is a file. Move it, or choose another folder."
    return f"{where} cannot be written: {error.strerror or error}. Check the disk or the mount, then run the command again."


def _table(events: Sequence[Event]) -> pa.Table:
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


def _read_part(path: Path, fields: Sequence[pa.Field]) -> pa.Table:
    """These columns of one part; those it lacks, because it is older, are empty."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise LedgerError(f"{path} cannot be read: {error.strerror or error}. Check its permissions and the disk.") from error
    try:
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            version = int((file.schema_arrow.metadata or {}).get(b"sweeper_schema", b"missing"))
            if version > records.SCHEMA_VERSION:
                raise LedgerError(
                    f"{path} was written by a newer version of sweeper (schema {version}; this one knows up to "
                    f"{records.SCHEMA_VERSION}). Upgrade sweeper to read this study."
                )
            there = {field.name for field in file.schema_arrow}
            table = file.read(columns=[field.name for field in fields if field.name in there], use_threads=False)
            if table.schema.equals(pa.schema(fields)):
                return table.replace_schema_metadata(None)
            columns = [
                table.column(field.name).cast(field.type) if field.name in there else pa.nulls(len(table), field.type)
                for field in fields
            ]
            return pa.table(columns, schema=pa.schema(fields))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise LedgerError(
            f"{path} is not a readable part of a ledger ({len(data)} bytes; {' '.join(str(error).split())[:200]}). "
            "Restore it from a copy; or move it out of the folder to go on without its rows: trials it speaks of may then "
            "be trained again."
        ) from error


def _merge(tables: Iterable[pa.Table]) -> pa.Table:
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
        is_new = pc.or_(is_new, pc.not_equal(values.slice(1), values.slice(0, table.num_rows - 1)))
    if pc.all(is_new).as_py():
        return table
    return table.filter(pa.concat_arrays([pa.array([True]), is_new]))


def _last_sequences(tables: Iterable[pa.Table]) -> dict[int, int]:
    last: dict[int, int] = {}
    for table in tables:
        for row in table.group_by("generation").aggregate([("sequence", "max")]).to_pylist():
            last[row["generation"]] = max(last.get(row["generation"], 0), row["sequence_max"])
    return last


def _unfenced(table: pa.Table) -> pa.Table:
    """The rows that no newer generation fences off."""
    starts = table.filter(pc.equal(table.column("kind"), Kind.DRIVER_STARTED.value))
    starts = starts.select(["detail", *_KEY]).to_pylist()
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
        for generation in generations:
            if generation < start["generation"]:
                last = fence.get(generation, 0)
                limits[generation] = min(limits.get(generation, last), last)
    for generation, last in limits.items():
        is_late = pc.and_(pc.equal(table.column("generation"), generation), pc.greater(table.column("sequence"), last))
        if pc.any(is_late).as_py():
            table = table.filter(pc.invert(is_late))
    return table


def _events(table: pa.Table, where: Path) -> list[Event]:
    columns = [_values(table.column(name), name, where) for name in _COLUMNS]
    events = []
    for row in zip(*columns, strict=True):
        # Typed columns and ready enums need no checks, and a dictionary made whole takes half the memory of one that grew:
        # a third of the time and half of the space of the constructor.
        event = object.__new__(Event)
        object.__setattr__(event, "__dict__", dict(zip(_COLUMNS, row, strict=True)))
        events.append(event)
    return events


def _values(column: pa.ChunkedArray, name: str, where: Path) -> Iterable[Any]:
    if column.null_count == len(column):
        return itertools.repeat(None, len(column))
    if not pa.types.is_string(column.type):
        values: list[Any] = column.to_pylist()
        return values
    # Most texts repeat from row to row: one object each saves time and memory.
    encoded = column.combine_chunks().dictionary_encode()
    words: list[Any] = encoded.dictionary.to_pylist()
    if name in _ENUMS:
        try:
            words = [_ENUMS[name](word) for word in words]
        except ValueError as error:
            raise LedgerError(f"{where} holds an unknown {name}: {error}. Upgrade sweeper, or restore a copy.") from error
    return [None if index is None else words[index] for index in encoded.indices.to_pylist()]
