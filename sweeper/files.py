"""Whole files on a local or shared file system: there completely and durable, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


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


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing, so that what is put there does not vanish with them.

    Raises:
        OSError: It could not be made.
    """
    for path in reversed([path for path in (folder, *folder.parents) if not path.is_dir()]):
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


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
