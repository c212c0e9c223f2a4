"""One driver per study: an owner file made exclusively, with a heartbeat.

::

    <study>/owner.json    who drives the study: host, process, since when, a random token; modified with each heartbeat
    <study>/owner.guard   empty; held for the instant in which the owner file is judged, taken over or removed

A lock is stale when its process is dead on this very machine, or when its heartbeat is older than `STALE_S`. Taking a
study over from a driver that was only asleep is harmless: the sleeper finds a foreign token before and after each commit
and stops, and the ledger's fence hides what it still managed to write. On a file system without flock two simultaneous
takeovers of one stale lock are possible; the loser stops at its next commit.

**On an object store** nothing can be held. There an owner file is made under the condition that there is none, and taken over or
removed by whoever first makes a claim to what is in it (`sweeper.storage.objects`): of any number that try at the same moment
one succeeds. A store that ignores the condition is refused. A heartbeat writes a file of its own beside, so that one on its way
when its driver is taken over does no harm. And should one driver sleep over its claim and another follow, both beginning the same
generation, then only one can make the part that begins it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from sweeper.errors import LedgerError, ResultsFolderError, StudyLockedError
from sweeper.storage import Place, explain, explain_reading

HEARTBEAT_S = 5.0
"""Time between two signs of life of a driver."""

STALE_S = 60.0
"""Age of a heartbeat after which its driver counts as dead."""

GUARD_S = 10.0
"""How long to wait for another driver that is judging the owner file at this moment."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Owner:
    """Who drives a study.

    Args:
        host: Name of the machine.
        pid: Process on it.
        started: When the lock was taken, ISO 8601, UTC.
        token: Random; only the driver that took the lock knows it.
        machine: Boot and process namespace in which `pid` has a meaning: host names are not unique among containers.
    """

    host: str
    pid: int
    started: str
    token: str
    machine: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """What a worker knows of the lock its driver holds.

    Args:
        folder: The study's folder.
        token: The driver's.
    """

    folder: Place
    token: str

    @property
    def holds(self) -> bool:
        """Whether the driver still holds the study. True also when its owner file cannot be read: the disk may be slow."""
        try:
            owner = _read(self.folder / "owner.json")
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return owner is None or owner.token == self.token


class Lock:
    """The lock of one study, held from `acquire` to `release`."""

    def __init__(self, folder: Place, owner: Owner):
        self.folder = folder
        self.owner = owner
        self._is_over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="sweeper-heartbeat", daemon=True)
        self._heart.start()

    @classmethod
    def acquire(cls, folder: Place) -> Lock:
        """The lock of the study in `folder`, taken over if its last owner is dead.

        Args:
            folder: An existing study folder.

        Raises:
            StudyLockedError: Another driver is at work.
            OSError: The folder is not writable.
        """
        path = folder / "owner.json"
        owner = Owner(
            host=socket.gethostname(),
            pid=os.getpid(),
            started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            token=uuid.uuid4().hex,
            machine=_machine(),
        )
        with _guard(folder) as now:
            found = None
            with contextlib.suppress(FileNotFoundError):
                # First what is in it: who reads a dead driver's name and then the time of its successor lets that one live.
                content = path.read_bytes()
                age = now - path.modified()
                if not _is_stale(_parsed(content), age):
                    raise StudyLockedError(_held(folder, _parsed(content), age))
                found = content
            try:
                path.swap(found, _content(owner), now)
            except FileExistsError:
                raise StudyLockedError(_held(folder, _winner(path, found), 0.0)) from None
        return cls(folder, owner)

    def check(self) -> None:
        """Nothing, as long as the lock is still ours.

        Raises:
            StudyLockedError: It was taken over, or its file is gone.
            LedgerError: The owner file cannot be read.
        """
        path = self.folder / "owner.json"
        try:
            other = _read(path)
        except FileNotFoundError:
            raise StudyLockedError(
                f"{path} is gone, so this driver no longer holds the study and wrote nothing more. "
                f"Start it again with: sweeper resume {self.folder}"
            ) from None
        except OSError as error:
            raise LedgerError(explain_reading(error, path)) from error
        if other is None or other.token != self.owner.token:
            who = "another driver" if other is None else f"process {other.pid} on {other.host}, since {other.started}"
            raise StudyLockedError(
                f"the study in {self.folder} was taken over by {who}, because this driver gave no sign of life for "
                f"{STALE_S:.0f} s. This driver wrote nothing more; leave the study to the other one, or stop that one "
                f"and run: sweeper resume {self.folder}"
            )

    def release(self) -> None:
        """Give the study free, unless somebody else holds it by now; once more is no harm."""
        if self._is_over.is_set():
            return
        self._is_over.set()
        # A beat under way would arrive after the end.
        self._heart.join(STALE_S)
        path = self.folder / "owner.json"
        # A study whose folder was moved away or made read-only under a driver has nothing to release.
        with contextlib.suppress(OSError), _guard(self.folder) as now:
            path.swap(_content(self.owner), None, now)

    def _beat(self) -> None:
        path = self.folder / "owner.json"
        while not self._is_over.wait(HEARTBEAT_S):
            # A beat that fails on a flaky mount is not the end: the next commit checks the lock by itself.
            with contextlib.suppress(OSError):
                other = _read(path)
                if other is not None and other.token == self.owner.token:
                    path.touch()


@contextlib.contextmanager
def preparing(folder: Place) -> Iterator[Lock]:
    """The lock of a study that need not exist yet, for a driver that gets ready for it: others see it, and are refused.

    If the study does not come to exist within the block, nothing is left of it.

    Raises:
        ResultsFolderError: The folder cannot be made or written.
        StudyLockedError: Another driver is at work.
    """
    try:
        made = [one for one in (folder, folder.parent) if not one.exists()]
        folder.make_folder()
        lock = Lock.acquire(folder)
    except OSError as error:
        raise ResultsFolderError(explain(error, folder)) from error
    try:
        yield lock
    finally:
        lock.release()
        with contextlib.suppress(OSError):  # somebody else has something there
            for one in () if (folder / "study.yaml").is_file() else (folder / "owner.guard", *made):
                one.remove()


def live_owner(folder: Place) -> Owner | None:
    """Who drives the study in `folder` now; None when nobody does."""
    path = folder / "owner.json"
    try:
        age = time.time() - path.modified()
        owner = _read(path)
    except OSError:
        return None
    return None if _is_stale(owner, age) else owner


@contextlib.contextmanager
def _guard(folder: Place) -> Iterator[float]:
    """Hold the guard file; gives the time by the clock of the storage, which is the clock of the heartbeats."""
    with contextlib.ExitStack() as stack:
        try:
            now = stack.enter_context((folder / "owner.guard").hold(GUARD_S))
        except TimeoutError:
            raise StudyLockedError(
                f"another driver has been opening the study in {folder} for more than {GUARD_S:.0f} s. Try again later."
            ) from None
        yield now


def _winner(path: Place, beaten: bytes | None) -> Owner | None:
    """Who has just taken the lock in our stead; None while that one has not written its name yet."""
    with contextlib.suppress(OSError):
        content = path.read_bytes()
        return None if content == beaten else _parsed(content)
    return None


def _read(path: Place) -> Owner | None:
    """Who the owner file names; None when it names nobody."""
    return _parsed(path.read_bytes())


def _content(owner: Owner) -> bytes:
    return json.dumps(dataclasses.asdict(owner)).encode()


def _parsed(content: bytes) -> Owner | None:
    """The owner in the content of an owner file; None when it is none (a driver died while it wrote it)."""
    try:
        owner = Owner(**json.loads(content))
    except (ValueError, TypeError):
        return None
    return owner if isinstance(owner.pid, int) and 0 < owner.pid < 2**31 else None


def _is_stale(owner: Owner | None, age: float) -> bool:
    if age > STALE_S:
        return True
    return owner is not None and owner.machine == _machine() and not _is_alive(owner.pid)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    # A killed process that its parent has not collected yet still takes signals.
    return state not in ("Z", "X")


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _held(folder: Place, owner: Owner | None, age: float) -> str:
    if owner is None:
        who = "a driver that has just written its lock"
        stop = ""
    else:
        who = f"process {owner.pid} on {owner.host}, since {owner.started}"
        stop = f"stop it (kill {owner.pid} on {owner.host}), "
    return (
        f"the study in {folder} is locked by {who} (last sign of life {max(age, 0):.0f} s ago). Wait until it ends, {stop}"
        f"or use another study name. If it is dead, this lock opens by itself {STALE_S:.0f} s after its last sign of life."
    )
