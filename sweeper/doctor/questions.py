"""What each node is asked beyond `sweeper.driver.asking`: its limits, its disks, how quickly it reaches the results folder."""

from __future__ import annotations

import dataclasses
import os
import resource
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweeper.driver import asking
from sweeper.driver.asking import NoAnswer
from sweeper.errors import StudyLockedError
from sweeper.storage import Place

PROBE_BYTES = 4 * 2**20
"""Written and read again to time a storage: about a checkpoint of a small network."""


RAYS_FILES = "Ray's own files"
RAYS_OBJECTS = "Ray's objects"
CACHE = "the cache"
RESULTS = "results"
"""Uses of disks."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disk:
    """A file system.

    Args:
        path: A folder on it.
        total_mb: Its size.
        free_mb: What of it can be written by this user.
    """

    path: str
    total_mb: int
    free_mb: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a node has beside memory and GPUs.

    Args:
        open_files: Files and connections that a process of it may have open at once.
        disks: By what they are used for; one that a node lacks is left out.
    """

    open_files: int
    disks: Mapping[str, Disk]


def limits(folders: Mapping[str, str], nodes: Sequence[dict[str, Any]]) -> list[Limits | NoAnswer]:
    """The limits of each node.

    Args:
        folders: Folders to look at, by what they are used for.
        nodes: Who is asked.
    """
    return asking.answers(own_limits, dict(folders), nodes)


def seconds_of(folder: Place, nodes: Sequence[dict[str, Any]]) -> list[float | NoAnswer]:
    """How long each node takes to write `PROBE_BYTES` to a folder that all share, and to read them again."""
    return asking.answers(own_seconds, folder, nodes)


def refusals(folder: Place, nodes: Sequence[dict[str, Any]]) -> list[str | NoAnswer]:
    """What each node says of a study whose lock this process holds: ``""`` where it is refused, as it has to be."""
    return asking.answers(own_refusal, folder, nodes)


# --------------------------------------------------------------------------------------------------------- run on the nodes


def own_limits(folders: dict[str, str], node: str) -> Limits:
    """The limits of the machine that this runs on."""
    import ray

    session = getattr(getattr(ray._private.worker, "_global_node", None), "get_session_dir_path", None)
    places = folders if session is None else {**folders, RAYS_FILES: session()}
    disks = {use: found for use, path in places.items() if (found := disk(path)) is not None}
    return Limits(open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0], disks=disks)


def disk(path: str) -> Disk | None:
    """The file system of a folder, which need not exist yet; None where it cannot be asked."""
    folder = Path(path).expanduser()
    there = next((one for one in (folder, *folder.parents) if one.is_dir()), folder)
    try:
        usage = shutil.disk_usage(there)
    except OSError:
        return None
    return Disk(path=path, total_mb=usage.total // 2**20, free_mb=usage.free // 2**20)


def own_seconds(folder: Place, node: str) -> float:
    """Seconds to write a file to a folder, and to read it."""
    data = os.urandom(PROBE_BYTES)
    started = time.monotonic()
    file = folder / f"speed-{node}"
    file.write_whole(data)
    is_whole = file.read_bytes() == data
    seconds = time.monotonic() - started
    file.remove()
    if not is_whole:
        raise OSError(f"{file} reads otherwise than it was written")
    return seconds


def own_refusal(folder: Place, node: str) -> str:
    """``""`` where a study that another process holds cannot be had; else what happened."""
    from sweeper.ledger.lock import Lock

    try:
        Lock.acquire(folder).release()
    except StudyLockedError:
        return ""
    return "it could take a study that another driver holds"
