"""The ledger of one study: append, commit, read, compact.

::

    <results>/<study>/
      study.yaml                                        the resolved study, as first run
      owner.json owner.guard                            who drives it: `sweeper.ledger.lock`
      ledger/<generation:06d>-<sequence:09d>.parquet    one commit each: a part, written whole and never changed
      predictions/ tables/                              `sweeper.ledger.predictions`, `sweeper.ledger.tables`

**Order.** Each start of a driver is a generation, each of its commits has a sequence number, each row of a commit a
position. Together they are the key of a row. Reading sorts by key and removes repeats.

**Fence.** The first commit of a generation is its `driver_started` event. Its `detail` is a JSON object; `fence` in it maps
each older generation to the last sequence of it that counts, and `schema` is the version this driver writes. A row of an older
generation above the fence of a newer one was written late, by a driver that had lost its lock, and is ignored: for good, since
fences never rise, so it stays hidden when the part with that fence is lost. A commit checks the lock before and after it puts
its part in place, so a commit that returned lies below every later fence.

**Compaction** takes the driver's next sequence number as the name of the merged part, exactly as a commit does, while the
rows in it keep their own keys. Under the new number stands one row more, an event that says how many parts were merged. So
the name cannot collide with any part before or after it, parts are still never changed, and the fence of a generation is the
last number it took, for rows or for a compaction. The old parts are deleted once the merged one is durable; until then rows are
there twice, which reading removes.

**No holes.** Generations count from 1, the sequences of a generation from 1 to the fence, the positions of a commit from 0; a
number is taken only once its part is durable, and each has a row. So a loss shows as a hole, or as a fence above the last
number. The one exception: the last commits of a generation, if they are lost before the next one begins. Before schema 2 a
compaction left a hole of its own; see `sweeper.audit`.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pyarrow as pa

from sweeper.errors import InputError, LedgerError, ResultsFolderError, StudyLockedError, SweeperError
from sweeper.ledger import parts
from sweeper.ledger.lock import Claim, Lock, Owner, live_owner
from sweeper.ledger.records import SCHEMA_VERSION, Event, Kind
from sweeper.storage import Place, Where, explain, explain_reading, place

COMMIT_AFTER_S = 1.0
"""Group commit: longest time a row waits in the buffer."""

COMMIT_AFTER_ROWS = 1000
"""Group commit: most rows that wait in the buffer."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def study_folder(results_folder: Where, name: str) -> Place:
    """The folder of the study `name` under `results`; it need not exist.

    Args:
        results_folder: The results folder.
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
    results_folder = place(results_folder)
    folder = results_folder / name
    try:
        is_inside = folder.resolve().parent == results_folder.resolve()
    except (OSError, RuntimeError):
        is_inside = False
    if not is_inside:
        raise ResultsFolderError(
            f"{folder} is a link that leads out of {results_folder}. Remove the link, or name the folder it leads to."
        )
    return folder


class StudyFolder:
    """What is stored of one study.

    Args:
        folder: The study's folder, or ``s3://BUCKET/PREFIX``; it need not exist before `create`.
    """

    def __init__(self, folder: Where):
        self.folder = place(folder)
        self.ledger_folder = self.folder / "ledger"

    @property
    def exists(self) -> bool:
        """Whether a study was created here. Raises `StorageError` where an object store cannot tell."""
        return (self.folder / "study.yaml").is_file()

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
        try:
            self.ledger_folder.make_folder()
            (self.folder / "study.yaml").write_whole(study_yaml.encode())
        except OSError as error:
            if isinstance(error, FileExistsError) and self.exists:
                raise ResultsFolderError(
                    f"{self.folder} holds a study already. Continue it with: sweeper resume {self.folder}; "
                    "or choose another name."
                ) from None
            raise ResultsFolderError(explain(error, self.folder)) from error

    def study_yaml(self) -> str:
        """The resolved study, as first run.

        Raises:
            ResultsFolderError: There is no study here, or its file cannot be read.
            LedgerError: The file is damaged.
        """
        if not self.exists:
            raise ResultsFolderError(self._nothing_here())
        path = self.folder / "study.yaml"
        try:
            return path.read_bytes().decode()
        except OSError as error:
            raise ResultsFolderError(explain_reading(error, path)) from error
        except UnicodeDecodeError as error:
            raise LedgerError(f"{path} is no text any more ({error}). Restore the file from a copy.") from error

    @contextlib.contextmanager
    def drive(
        self, detail: Mapping[str, Any] | None = None, *, study_id: str | None = None, lock: Lock | None = None
    ) -> Iterator[Ledger]:
        """The study's ledger, open for writing by this process alone.

        What is still buffered when the block ends, also by an exception, is committed. To continue a study call `read`
        inside the block, not before it: only then is everything fenced off that a dead driver may still write.

        Args:
            detail: Anything JSON can hold to keep in the `driver_started` event, for example versions and host.
            study_id: Kept in the `driver_started` event.
            lock: The study's lock if this process holds it already; it is released in any case.

        Raises:
            ResultsFolderError: There is no study here, or its folder cannot be written.
            StudyLockedError: Another driver is at work.
            LedgerError: The ledger cannot be read or written.
        """
        if not self.exists:
            raise ResultsFolderError(self._nothing_here())
        ledger = Ledger.open(self, dict(detail or {}), study_id, lock)
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

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep drivers away for the length of a block, without being one, and remove what dead ones left half written.

        Raises:
            ResultsFolderError: The folder cannot be written.
            StudyLockedError: A driver is at work.
            LedgerError: What is left half written cannot be removed.
        """
        lock = self._lock()
        try:
            self._remove_leftovers()
            yield
        finally:
            lock.release()

    def part_names(self) -> frozenset[str]:
        """The names of the ledger's parts. Parts never change, so equal names mean that nothing was written.

        Raises:
            LedgerError: The folder cannot be read.
        """
        return frozenset(parts.names(self.ledger_folder))

    def read(self) -> list[Event]:
        """Every event that counts, in order of its key; safe while a driver writes and compacts.

        Raises:
            ResultsFolderError: There is no study here.
            LedgerError: A part is damaged, or was written by a newer version.
        """
        if not self.exists and not self.ledger_folder.exists():
            raise ResultsFolderError(self._nothing_here())
        return parts.to_events(parts.unfenced(parts.merge(parts.read_all(self.ledger_folder).values())), self.ledger_folder)

    def _lock(self) -> Lock:
        try:
            return Lock.acquire(self.folder)
        except OSError as error:
            raise ResultsFolderError(explain(error, self.folder)) from error

    def _remove_leftovers(self) -> None:
        for folder in (self.folder, self.ledger_folder, self.folder / "tables", self.folder / "predictions"):
            parts.remove_leftovers(folder)

    def _nothing_here(self) -> str:
        return f"there is no study in {self.folder}. Start one with: sweeper launch STUDY.yaml"


class Ledger:
    """The ledger of a study, open for writing: made by `StudyFolder.drive`, used from one thread.

    Args:
        files: The study's folder.
        lock: Its lock, held.
        generation: Number of this start of a driver.
        found: Names of the parts that were there before it.
    """

    started: Event
    """The `driver_started` event of this generation."""

    def __init__(self, files: StudyFolder, lock: Lock, generation: int, found: Collection[str]):
        self.generation = generation
        self.found = frozenset(found)
        self._files = files
        self._lock = lock
        self._sequence = 1
        self._buffer: list[Event] = []
        self._buffered_since = 0.0
        self._num_unconfirmed = 0
        self._is_closed = False
        self._is_in_doubt = False

    @classmethod
    def open(cls, files: StudyFolder, detail: Mapping[str, Any], study_id: str | None, lock: Lock | None = None) -> Ledger:
        """Take the lock, begin the next generation and commit its `driver_started` event; see `StudyFolder.drive`."""
        assert not {"fence", "schema"} & detail.keys(), "these are the ledger's own"
        try:
            files.ledger_folder.make_folder()
        except OSError as error:
            raise ResultsFolderError(explain(error, files.folder)) from error
        lock = lock or files._lock()
        try:
            files._remove_leftovers()
            tables = parts.read_all(files.ledger_folder, columns=parts.FENCE)
            fence = parts.fence_of(tables.values())
            # What a repair moved away has had its number: a note that it is lost must not come to speak of another part.
            had = [*parts.names(files.folder / "damaged"), *tables]
            ledger = cls(files, lock, max([0, *map(parts.generation_of, had), *fence]) + 1, tables)
            own = {"schema": SCHEMA_VERSION, "fence": {str(generation): last for generation, last in sorted(fence.items())}}
            text = json.dumps({**detail, **own})
            ledger.started = ledger.append(Event(kind=Kind.DRIVER_STARTED, study_id=study_id, detail=text))
            ledger.commit()
        except BaseException:
            lock.release()
            raise
        return ledger

    @property
    def claim(self) -> Claim:
        """What the workers of this driver ask whether it still holds the study."""
        return Claim(folder=self._files.folder.resolve(), token=self._lock.owner.token)

    @property
    def num_buffered(self) -> int:
        """Rows that were appended and not committed yet."""
        return len(self._buffer) + self._num_unconfirmed

    def append(self, event: Event) -> Event:
        """The event as it will be stored: with its time, unless it has one, and its key. It is durable after the next commit.

        Args:
            event: What happened.
        """
        assert not self._is_closed, "append after close"
        if not self._buffer:
            self._buffered_since = time.monotonic()
        stamped = self._stamped(event)
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
            self._publish(parts.from_events(self._buffer))
        elif self._num_unconfirmed:
            self._confirm()

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
        folder = self._files.ledger_folder
        names = parts.names(folder)
        if len(names) < max(min_parts, 2):
            return 0
        try:
            table = parts.read_merged(folder, names)
        except FileNotFoundError:  # a network folder lists it for some seconds more, or another driver removed it
            self._lock.check()
            return 0
        compacted = self._stamped(Event(kind=Kind.COMPACTED, detail=json.dumps({"parts": len(names)})))
        self._publish(parts.merge([table.replace_schema_metadata(None), parts.from_events([compacted])]))
        parts.remove(folder, names)
        return len(names)

    def close(self) -> None:
        """Give the study free. What is still buffered is dropped: `StudyFolder.drive` commits it first."""
        if not self._is_closed:
            self._is_closed = True
            self._lock.release()

    def _stamped(self, event: Event) -> Event:
        return event.replace(
            time=time.time() if event.time is None else event.time,
            generation=self.generation,
            sequence=self._sequence,
            position=len(self._buffer),
        )

    def _publish(self, table: pa.Table) -> None:
        path = self._files.ledger_folder / parts.name_of(self.generation, self._sequence)
        if self._is_in_doubt:
            raise LedgerError(
                f"whether {path} was saved is unknown, because the storage reported an error. Check it, then: "
                f"sweeper resume {self._files.folder}"
            )
        self._lock.check()
        try:
            parts.write(path, table)
        except FileExistsError:
            raise StudyLockedError(
                f"another driver wrote {path} at this moment. Let it work, or stop it and run: "
                f"sweeper resume {self._files.folder}"
            ) from None
        except OSError as error:
            self._is_in_doubt = _may_exist(path)
            raise LedgerError(explain(error, path)) from error
        # From here on the rows are stored under this number, and must not be stored under another one, whatever the check says.
        self._sequence += 1
        self._num_unconfirmed += len(self._buffer)
        self._buffer.clear()
        self._confirm()

    def _confirm(self) -> None:
        """What is stored counts: the lock was ours all the time."""
        self._lock.check()
        self._num_unconfirmed = 0


def _may_exist(path: Place) -> bool:
    try:
        return path.exists()
    except OSError:
        return True
