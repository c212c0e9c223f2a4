"""Faults at every call that changes files: a gate that counts calls, and the functions of `os` that go through it.

The gate knows nothing of files. A caller names its call, says how to do it and, where that is possible, how to do half of it. So
calls to another kind of storage can go through the same gate.

``power`` is a loss of power as POSIX allows it: what was written and not yet synced may be there, or in part, or not at all; names
that were made, replaced or removed in a folder not yet synced may be there in their old or their new form, each for itself.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import errno
import io
import os
import random
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

Result = TypeVar("Result")

KILLS = ("kill", "short", "torn", "power")
"""The process is killed before the call (which is after the one before it), when half of a write is done, when a name shows half of
a file, or with the power."""

ERRORS = {"enospc": errno.ENOSPC, "edquot": errno.EDQUOT, "eio": errno.EIO, "eio on reading": errno.EIO}
"""The call fails; a full disk stays full as long as the process lives."""

NEED_SPACE = ("create", "write", "link", "replace", "mkdir")
READ = "read"


class WorkerDied(BaseException):
    """A worker's process ended here: nothing behind this call is done, cleaning up included."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What happens at which call; at none when `at` is 0.

    Args:
        mode: One of `KILLS` or `ERRORS`.
        at: Number of the call, from 1.
        seed: What is left to chance follows from it.
    """

    mode: str = "kill"
    at: int = 0
    seed: int = 0

    def fits(self, kind: str) -> bool:
        """Whether a call of this kind can meet this fault."""
        if self.mode == "short":
            return kind == "write"
        if self.mode == "torn":
            return kind in ("link", "replace")
        if self.mode in ("enospc", "edquot"):
            return kind in NEED_SPACE
        return (kind == READ) == (self.mode == "eio on reading")


class Gate:
    """Every call goes through here, and one of them meets the fault.

    Args:
        plan: The fault.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.calls: list[tuple[str, str]] = []
        self.power: Callable[[], None] = lambda: None
        self._is_full = False
        self._calls_to_live: int | None = None

    def call(self, kind: str, path: str, do: Callable[[], Result], half: Callable[[], object] = lambda: None) -> Result:
        """What `do` gives, unless the fault strikes.

        Args:
            kind: What sort of call.
            path: What it is about.
            do: Does it.
            half: Does half of it.
        """
        if threading.current_thread() is not threading.main_thread():
            return do()  # heartbeats come when they like: to count them would make no two runs alike
        self._worker_lives()
        if (kind == READ) != (self.plan.mode == "eio on reading"):
            if self._is_full and kind in NEED_SPACE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            if kind == READ:
                return do()
        self.calls.append((kind, path))
        if self._is_full and kind in NEED_SPACE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if len(self.calls) != self.plan.at:
            return do()
        if self.plan.mode in ERRORS:
            self._is_full = self.plan.mode == "enospc"
            code = ERRORS[self.plan.mode]
            raise OSError(code, os.strerror(code), path)
        if self.plan.mode in ("short", "torn"):
            half()
        if self.plan.mode == "power":
            self.power()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("killed")

    @contextlib.contextmanager
    def dying(self, num_calls: int) -> Iterator[None]:
        """Within the block a worker is at work that dies after this many calls, or at the block's end."""
        self._calls_to_live = num_calls
        try:
            yield
            raise WorkerDied
        finally:
            self._calls_to_live = None

    def _worker_lives(self) -> None:
        if self._calls_to_live is not None:
            if self._calls_to_live == 0:
                raise WorkerDied
            self._calls_to_live -= 1


class Disk:
    """The functions of `os` that change files below a folder, made to go through a gate; to be used in a process of its own.

    Args:
        root: The folder.
        gate: The gate.
    """

    def __init__(self, root: str, gate: Gate):
        self._root = os.path.abspath(root) + os.sep
        self._gate = gate
        gate.power = self._lose_power
        self._unsynced: dict[str, object] = {}
        self._names: list[tuple[str, Callable[[], object]]] = []
        self._keeps_journal = gate.plan.mode == "power"

    def install(self) -> None:
        """Replace the functions."""
        self._os: dict[str, Any] = {}
        for name in ("open", "fsync", "link", "replace", "rename", "unlink", "remove", "mkdir", "rmdir", "utime"):
            self._os[name] = getattr(os, name)
            setattr(os, name, getattr(self, name.replace("rename", "replace").replace("remove", "unlink")))
        self._open_file = builtins.open
        builtins.open = io.open = self.open_file  # type: ignore[assignment]

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        """As `os.open`."""

        def do() -> int:
            return int(self._os["open"](path, flags, mode, dir_fd=dir_fd))

        full = self._path(path, dir_fd)
        if not self._is_ours(full) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return do()
        return self._opened(full, do)

    def open_file(self, file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None, *rest: Any, **more: Any) -> Any:
        """As `open`."""
        full = self._path_of_descriptor(file) if isinstance(file, int) else self._path(file, None)
        if not self._is_ours(full):
            return self._open_file(file, mode, buffering, encoding, *rest, **more)
        if not set(mode) & set("wxa+"):
            return self._gate.call(READ, full, lambda: self._open_file(file, mode, buffering, encoding, *rest, **more))
        plain = mode.replace("b", "").replace("t", "")
        raw = _Raw(self, full, file, plain) if isinstance(file, int) else self._opened(full, lambda: _Raw(self, full, file, plain))
        stream = io.BufferedWriter(raw)
        return stream if "b" in mode else io.TextIOWrapper(stream, encoding or "utf-8")

    def write(self, path: str, do: Callable[[memoryview], int], data: memoryview) -> int:
        """As `write` of a raw file."""
        if self._keeps_journal:
            self._unsynced.setdefault(path, object())
        return self._gate.call("write", path, lambda: do(data), lambda: do(data[: len(data) // 2]))

    def fsync(self, descriptor: int) -> None:
        """As `os.fsync`."""
        path = self._path_of_descriptor(descriptor)
        if not self._is_ours(path):
            return self._os["fsync"](descriptor)

        def do() -> None:
            self._os["fsync"](descriptor)
            mark = self._unsynced.get(path)
            self._unsynced = {name: other for name, other in self._unsynced.items() if other is not mark}
            if os.path.isdir(path):
                self._names = [(folder, undo) for folder, undo in self._names if folder != path]

        return self._gate.call("fsync", path, do)

    def link(self, source: Any, target: Any, **more: Any) -> None:
        """As `os.link`."""

        def do() -> None:
            self._os["link"](source, target, **more)
            if source_path in self._unsynced:
                self._unsynced[path] = self._unsynced[source_path]
            self._remember(path, lambda: self._os["unlink"](path))

        source_path, path = self._path(source, None), self._path(target, None)
        if not self._is_ours(path):
            return do()
        return self._gate.call("link", path, do, lambda: self._tear(source_path, path))

    def replace(self, source: Any, target: Any, **more: Any) -> None:
        """As `os.replace`."""

        def do() -> None:
            before, moved = self._content(path), self._content(source_path)
            self._os["replace"](source, target, **more)
            if source_path in self._unsynced:
                self._unsynced[path] = self._unsynced.pop(source_path)
            self._remember(path, lambda: (self._put(path, before), self._put(source_path, moved)))

        source_path, path = self._path(source, None), self._path(target, None)
        if not self._is_ours(path):
            return do()
        return self._gate.call("replace", path, do, lambda: self._tear(source_path, path))

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        """As `os.unlink`."""

        def do() -> None:
            before = self._content(full)
            self._os["unlink"](path, dir_fd=dir_fd)
            self._remember(full, lambda: self._put(full, before))

        full = self._path(path, dir_fd)
        return self._gate.call("unlink", full, do) if self._is_ours(full) else self._os["unlink"](path, dir_fd=dir_fd)

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        """As `os.mkdir`."""

        def do() -> None:
            self._os["mkdir"](path, mode, dir_fd=dir_fd)
            self._remember(full, lambda: shutil.rmtree(full, ignore_errors=True))

        full = self._path(path, dir_fd)
        return self._gate.call("mkdir", full, do) if self._is_ours(full) else self._os["mkdir"](path, mode, dir_fd=dir_fd)

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        """As `os.rmdir`."""

        def do() -> None:
            self._os["rmdir"](path, dir_fd=dir_fd)
            self._remember(full, lambda: self._os["mkdir"](full))

        full = self._path(path, dir_fd)
        return self._gate.call("rmdir", full, do) if self._is_ours(full) else self._os["rmdir"](path, dir_fd=dir_fd)

    def utime(self, path: Any, *rest: Any, **more: Any) -> None:
        """As `os.utime`."""
        full = self._path(path, None)
        if not self._is_ours(full):
            return self._os["utime"](path, *rest, **more)
        return self._gate.call("utime", full, lambda: self._os["utime"](path, *rest, **more))

    # ------------------------------------------------------------------------------------------------ what is not synced yet

    def _opened(self, path: str, do: Callable[[], Result]) -> Result:
        is_new = not os.path.exists(path)
        opened = self._gate.call("create" if is_new else "open", path, do)
        if is_new:
            self._remember(path, lambda: self._os["unlink"](path))
        return opened

    def _remember(self, path: str, undo: Callable[[], object]) -> None:
        if self._keeps_journal:
            self._names.append((os.path.dirname(path), undo))

    def _content(self, path: str) -> bytes | None:
        if not self._keeps_journal or not os.path.isfile(path):
            return None
        with self._open_file(path, "rb") as stream:
            return bytes(stream.read())

    def _put(self, path: str, content: bytes | None) -> None:
        if content is None:
            self._os["unlink"](path)
        else:
            with self._open_file(path, "wb") as stream:
                stream.write(content)

    def _tear(self, source: str, target: str) -> None:
        with self._open_file(source, "rb") as stream:
            content = stream.read()
        self._put(target, content[: len(content) // 2])

    def _lose_power(self) -> None:
        """Each thing not synced is there or not; for one seed in two, nothing of it is."""
        chance = random.Random(self._gate.plan.seed)
        loses_all = chance.random() < 0.5
        self._gate.call = lambda kind, path, do, half=None: do()  # type: ignore[method-assign, misc, assignment]
        for path in self._unsynced:
            with contextlib.suppress(OSError):
                os.truncate(path, 0 if loses_all else chance.randint(0, os.path.getsize(path)))
        for _, undo in reversed(self._names):
            if loses_all or chance.random() < 0.5:
                with contextlib.suppress(OSError):
                    undo()

    # ----------------------------------------------------------------------------------------------------------------- paths

    def _is_ours(self, path: str) -> bool:
        return f"{path}{os.sep}".startswith(self._root)

    def _path(self, path: Any, dir_fd: int | None) -> str:
        if isinstance(path, int):
            return self._path_of_descriptor(path)
        folder = "" if dir_fd is None else self._path_of_descriptor(dir_fd)
        return os.path.abspath(os.path.join(folder, os.fsdecode(path)))

    def _path_of_descriptor(self, descriptor: int) -> str:
        return os.readlink(f"/proc/self/fd/{descriptor}")


class _Raw(io.FileIO):
    """A file opened for writing, each write of which goes through the gate."""

    def __init__(self, disk: Disk, path: str, file: Any, mode: str):
        super().__init__(file, mode)
        self._disk, self._path = disk, path

    def write(self, data: Any) -> int:
        """As `io.FileIO.write`."""
        return self._disk.write(self._path, super().write, memoryview(data).cast("B"))
