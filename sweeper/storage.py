"""Where the files of studies lie: in a folder, or under a prefix of an S3 bucket; one small interface for both.

A `Place` names a file or a folder, whether it exists or not, as a path does. `LocalPlace` is for local and shared file systems:
a file appears whole and durable, and where it must not replace another one it never does. `sweeper.object_store` has the other
kind, and what it cannot promise.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from sweeper.errors import ResultsFolderError, StorageError

if TYPE_CHECKING:
    import pyarrow as pa

Given = TypeVar("Given")
Made = TypeVar("Made")

_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK)
"""What a file system says that has no hard links."""

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)


class Place(abc.ABC):
    """A file or a folder, which need not exist. Equal places are equal, and one may travel to another process.

    What is said to raise `OSError` raises `StorageError` on an object store, which is one, and says in full what is wrong.
    """

    settle_s = 0.0
    """How long after `create` another one may still have replaced the file."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The last part of it."""

    @property
    @abc.abstractmethod
    def parent(self) -> Place:
        """The folder it lies in."""

    @abc.abstractmethod
    def __truediv__(self, name: str) -> Place:
        """What lies in this folder under a name, or under several with ``/`` between them."""

    @abc.abstractmethod
    def resolve(self) -> Place:
        """The same place by its full name, links followed."""

    @abc.abstractmethod
    def exists(self) -> bool:
        """Whether there is a file, or a folder; an object store has one as long as something is in it."""

    @abc.abstractmethod
    def is_file(self) -> bool:
        """Whether there is a file."""

    @abc.abstractmethod
    def names(self) -> list[str]:
        """The names of what lies in this folder, in no order; none where there is no such folder. Raises `OSError`."""

    @abc.abstractmethod
    def tree(self) -> dict[str, int]:
        """The size in bytes of every file below this folder, by its name from here; none where there is no such folder."""

    @abc.abstractmethod
    def read_bytes(self) -> bytes:
        """All of a file. Raises `FileNotFoundError` or another `OSError`."""

    @abc.abstractmethod
    def open(self) -> BinaryIO:
        """A file, open for reading parts of it. Raises as `read_bytes` does."""

    @abc.abstractmethod
    def modified(self) -> float:
        """When a file was written or touched, as seconds by the clock of the storage. Raises as `read_bytes` does."""

    @abc.abstractmethod
    def make_folder(self) -> None:
        """Make this folder and those above it, where they are missing. Raises `OSError`."""

    @abc.abstractmethod
    def write_whole(self, data: bytes | memoryview | pa.Buffer, *, may_replace: bool = False) -> None:
        """Make a file appear complete and durable, or not at all.

        Args:
            data: All of it.
            may_replace: Whether it may take the place of an older file.

        Raises:
            FileExistsError: There is such a file and it may not be replaced.
            OSError: It could not be written.
        """

    @abc.abstractmethod
    def create(self, data: bytes) -> None:
        """Write a small file where there is none; of several that try at once one succeeds, after `settle_s` at the latest.

        On a file system without hard links a reader may see it half written. Raises as `write_whole` does.
        """

    @abc.abstractmethod
    def touch(self) -> None:
        """Make a file that is there newly modified. Raises as `read_bytes` does."""

    @abc.abstractmethod
    def hold(self, wait_s: float) -> contextlib.AbstractContextManager[float]:
        """Keep this file to oneself for a moment, as far as the storage can; gives the time by the clock of the storage.

        Args:
            wait_s: Longest time to wait for another one who has it.

        Raises:
            TimeoutError: That one kept it for longer.
            OSError: The file cannot be written.
        """

    @abc.abstractmethod
    def move(self, target: Place) -> None:
        """Give a file another name in the same storage. Raises as `read_bytes` and `write_whole` do."""

    @abc.abstractmethod
    def remove(self) -> None:
        """Delete a file or an empty folder; that it is gone already is no error. Raises `OSError`."""

    @abc.abstractmethod
    def remove_tree(self) -> None:
        """Delete a folder with all there is in it, as far as that is possible."""

    @abc.abstractmethod
    def map(self, function: Callable[[Given], Made], items: Iterable[Given]) -> Iterable[Made]:
        """What `function`, which reads or deletes, gives for each item, in order; many at once where requests take long."""


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

    def create(self, data: bytes) -> None:
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


Where = str | os.PathLike[str] | Place
"""What a user may name a place by: a path, or ``s3://BUCKET/PREFIX``."""


def place(where: Where) -> Place:
    """The place that a path or a URI names.

    Args:
        where: A path, or ``s3://BUCKET/PREFIX``; one that went through `pathlib`, which drops a slash, is understood too.

    Raises:
        ResultsFolderError: A URI of another kind, or one that holds credentials.
    """
    if isinstance(where, Place):
        return where
    text = os.fspath(where)
    uri = _URI.fullmatch(text)
    if uri is None:
        return LocalPlace(Path(text))
    scheme, rest = uri[1].lower(), uri[2]
    if scheme != "s3":
        raise ResultsFolderError(f"results cannot be kept at {scheme}:// addresses. Allowed: a folder, or s3://BUCKET/PREFIX.")
    from sweeper.object_store import ObjectPlace

    return ObjectPlace.parse(rest)


def explain(error: OSError, where: Place) -> str:
    """What went wrong with a file that was to be written, where, and what to do about it, as one sentence or two."""
    if isinstance(error, StorageError):
        return str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where} cannot be written: the disk or your quota is full. Free some space, then run the command again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where} is not writable ({error.strerror}). Change its permissions, or choose another folder."
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        path = Path(str(where))
        files = [str(one) for one in (path, *path.parents) if os.path.lexists(one) and not os.path.isdir(one)]
        return f"{where} cannot be used as a folder: {(files or [str(where)])[0]} is a file. Move it, or choose another folder."
    return f"{where} cannot be written: {error.strerror or error}. Check the disk or the mount, then run the command again."


def explain_reading(error: OSError, where: Place) -> str:
    """The same for a file that was to be read."""
    if isinstance(error, StorageError):
        return str(error)
    return f"{where} cannot be read: {error.strerror or error}. Check its permissions and the disk."


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
