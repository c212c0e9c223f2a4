"""Files on a local or shared file system: each appears whole and durable, and never replaces another one unasked."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sweeper.storage.place import Given, Made, Place

if TYPE_CHECKING:
    import pyarrow as pa

_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK)
"""What a file system says that has no hard links."""


@dataclasses.dataclass(frozen=True)
class LocalPlace(Place):
    """A file or folder of a local or shared file system; usable wherever a path is."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str) -> LocalPlace:
        return LocalPlace(self.path / name)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def parent(self) -> LocalPlace:
        return LocalPlace(self.path.parent)

    def resolve(self) -> LocalPlace:
        return LocalPlace(self.path.resolve())

    def exists(self) -> bool:
        return os.path.exists(self.path)

    def is_file(self) -> bool:
        return os.path.isfile(self.path)

    def names(self) -> list[str]:
        try:
            return os.listdir(self.path)
        except FileNotFoundError:
            return []

    def tree(self) -> dict[str, int]:
        sizes = {}
        for folder, _, names in os.walk(self.path):
            for name in names:
                file = os.path.join(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    sizes[os.path.relpath(file, self.path)] = os.stat(file).st_size
        return sizes

    def read_bytes(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            if self.path.is_symlink():
                raise OSError(errno.ENXIO, "it is a link to nowhere", str(self.path)) from None
            raise

    def open(self) -> BinaryIO:
        return open(self.path, "rb")

    def modified(self) -> float:
        return os.stat(self.path).st_mtime

    def make_folder(self) -> None:
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        if missing:
            # Whoever made the folder they come into may have died before its own name was durable.
            with contextlib.suppress(OSError):
                sync_folder(missing[-1].parent.parent)
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            sync_folder(path.parent)

    def write_whole(self, data: bytes | memoryview | pa.Buffer, *, may_replace: bool = False) -> None:
        with self._temporary(data) as temporary:
            if may_replace:
                os.replace(temporary, self.path)
            else:
                _place(temporary, self.path)
        sync_folder(self.path.parent)

    def swap(self, old: bytes | None, new: bytes | None, now: float) -> None:
        if old is not None:
            if self.read_bytes() != old:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self))
            self.remove()
        if new is not None:
            self._create(new)

    def _create(self, data: bytes) -> None:
        # In one step where there are links: half a lock, of a driver that was killed over it, would keep others out.
        with self._temporary(data) as temporary:
            try:
                os.link(temporary, self.path)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                self._create_in_place(data)

    def _create_in_place(self, data: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self.path.unlink()
            raise

    @contextlib.contextmanager
    def _temporary(self, data: bytes | memoryview | pa.Buffer) -> Iterator[Path]:
        """A durable file with the data beside this one, gone after the block."""
        temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.tmp")
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def touch(self) -> None:
        os.utime(self.path)

    @contextlib.contextmanager
    def hold(self, wait_s: float) -> Iterator[float]:
        with open(self.path, "ab") as file:
            deadline = time.monotonic() + wait_s
            while not _flock(file.fileno()):
                if time.monotonic() > deadline:
                    raise TimeoutError
                time.sleep(0.02)
            os.utime(self.path)
            yield os.fstat(file.fileno()).st_mtime

    def move(self, target: Place) -> None:
        os.replace(self.path, str(target))

    def remove(self) -> None:
        try:
            self.path.unlink(missing_ok=True)
        except IsADirectoryError:
            self.path.rmdir()

    def remove_tree(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def map(self, function: Callable[[Given], Made], items: Iterable[Given]) -> Iterable[Made]:
        return map(function, items)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _place(temporary: Path, path: Path) -> None:
    """Rename without ever replacing: a driver that overslept must not overwrite a part of its successor."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        # A network file system may repeat a call that succeeded, and report the repetition.
        if not os.path.samefile(temporary, path):
            raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(temporary, path)


def _flock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # No flock on this file system: the exclusive creation of the owner file is all there is.
        return True
    return True
