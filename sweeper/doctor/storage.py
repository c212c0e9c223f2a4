"""The results folder: written and read by this machine and by every node, its lock, its permissions."""

from __future__ import annotations

import contextlib
import os
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sweeper.doctor import questions
from sweeper.doctor.findings import Finding, fault, ok, warning
from sweeper.doctor.machines import CLOCK_S, answered, by_name
from sweeper.driver import nodes
from sweeper.errors import ResultsFolderError
from sweeper.ledger.lock import Lock
from sweeper.storage import LocalPlace, Place, explain
from sweeper.study.spec import ResourcesSpec

SLOW_S = 10.0
"""Time to write and read `questions.PROBE_BYTES`, beyond which checkpoints hold trials up."""


def permissions(results_folder: Place) -> Iterator[Finding]:
    """Whether others may change results on this machine."""
    if not isinstance(results_folder, LocalPlace):
        return
    folder = Path(str(results_folder.resolve()))
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if there == folder and folder.stat().st_mode & stat.S_IWOTH:
        yield warning("results", f"everybody on this machine may write to {folder}, and so change results", f"chmod o-w {folder}")


def results(results_folder: Place, resources: Sequence[ResourcesSpec], told: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Whether every node can work in the results folder, how quickly, and whether the lock keeps others out.

    Args:
        results_folder: Folder of all studies.
        resources: What trials need; a node on which none fits need not reach it.
        told: The nodes.
    """
    with own_folder(results_folder) as folder:  # around all, so that results that were not there are not there afterwards
        try:
            nodes.check_results(results_folder, *resources)
        except ResultsFolderError as error:
            yield fault("results", str(error))
            return
        yield from _speed(results_folder, folder, told)
        yield from _lock(folder, told)


def _speed(results_folder: Place, folder: Place, told: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """How quickly each node writes and reads there."""
    seconds, silent = answered(by_name(told, questions.seconds_of(folder, told)))
    yield from silent
    slow = {node: one for node, one in seconds.items() if one > SLOW_S}
    size = questions.PROBE_BYTES // 2**20
    for node, one in slow.items():
        yield warning(
            "results",
            f"{node} takes {one:.0f} s to write {size} MB to {results_folder} and read them again",
            "checkpoints will hold trials up: --checkpoint-minutes 5 writes fewer of them",
        )
    if seconds and not slow:
        every = "every node writes and reads" if len(told) > 1 else "written and read"
        yield ok("results", f"{results_folder.resolve()}: {every}; {size} MB take {max(seconds.values()):.1f} s at most")


def _lock(folder: Place, told: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Whether nodes are refused a study that this process holds, and whether the storage's clock is near ours."""
    lock = Lock.acquire(folder)
    try:
        ahead_s = (folder / "owner.json").modified() - time.time()
        refusals, silent = answered(by_name(told, questions.refusals(folder, told)))
    finally:
        lock.release()
    yield from silent
    wrong = {node: text for node, text in refusals.items() if text}
    for node, text in wrong.items():
        yield warning(
            "lock",
            f"{node}: {text}; the lock does not work on this storage",
            "mount it with locks (NFS: without nolock), or see to it that a study is never driven twice at once",
        )
    if refusals and not wrong:
        yield ok("lock", "a second driver is refused" + (f", from each of {len(told)} nodes" if len(told) > 1 else ""))
    if abs(ahead_s) > CLOCK_S:
        yield warning(
            "clocks",
            f"the clock of the storage is {abs(ahead_s):,.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's",
            "let both take the time from a server (chrony or ntpd); until then, status may call a driver dead that lives",
        )


@contextlib.contextmanager
def own_folder(results_folder: Place) -> Iterator[Place]:
    """A folder of our own among the results; afterwards it is gone, and the results folder too, if it was not there.

    Raises:
        ResultsFolderError: It cannot be made.
    """
    was_there = results_folder.exists()
    folder = results_folder.resolve() / f".doctor-{uuid.uuid4().hex[:12]}"
    try:
        folder.make_folder()
    except OSError as error:
        raise ResultsFolderError(explain(error, results_folder)) from error
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            folder.remove_tree()
            if not was_there:
                results_folder.remove()


def free_mb(results_folder: Place) -> int | None:
    """What can still be written there; None for a bucket."""
    if not isinstance(results_folder, LocalPlace):
        return None
    found = questions.disk(os.path.abspath(str(results_folder)))
    return None if found is None else found.free_mb
