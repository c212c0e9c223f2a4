"""The interface to where files lie, and what to say when one cannot be written or read."""

from __future__ import annotations

import abc
import contextlib
import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from sweeper.errors import StorageError

if TYPE_CHECKING:
    import pyarrow as pa

Given = TypeVar("Given")
Made = TypeVar("Made")


class Place(abc.ABC):
    """A file or a folder, which need not exist. Equal places are equal, and one may travel to another process.

    What is said to raise `OSError` raises `StorageError` on an object store, which is one, and says in full what is wrong.
    """

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
    def swap(self, old: bytes | None, new: bytes | None, now: float) -> None:
        """Change a small file from one content to another; of several that try to change the same content one succeeds.

        On a file system without hard links a reader may see it half written.

        Args:
            old: What is in it; None where there is none.
            new: What is to be in it; None removes it.
            now: What `hold` gave; on a file system the caller still holds what keeps others from changing the file.

        Raises:
            FileExistsError: There is something else, or somebody else is changing it.
            OSError: It could not be written.
        """

    @abc.abstractmethod
    def touch(self) -> None:
        """Make a file that is there newly modified, and never anything but that. Raises as `read_bytes` does."""

    @abc.abstractmethod
    def hold(self, wait_s: float) -> contextlib.AbstractContextManager[float]:
        """Keep this file to oneself for a moment where the storage can; gives the time by the clock of the storage.

        An object store keeps nobody out, and need not: there `swap` decides.

        Args:
            wait_s: Longest time to wait for another one who has it.

        Raises:
            TimeoutError: That one kept it for longer.
            OSError: The file cannot be written; or the store does not keep what `swap` needs.
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
