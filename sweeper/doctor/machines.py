"""The nodes: packages, GPUs, memory, disks, clocks. What they answered comes in, findings go out."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sweeper.doctor.findings import Finding, fault, ok, warning
from sweeper.doctor.questions import CACHE, RAYS_FILES, RAYS_OBJECTS, Limits
from sweeper.driver.asking import Clock, Facts, NoAnswer, name_of
from sweeper.driver.nodes import differences
from sweeper.ledger.lock import STALE_S

Answer = TypeVar("Answer")
Told = Mapping[str, Answer | NoAnswer]
"""What each node answered, by its name."""

LEAST_FILES = 1024
"""Open files below which a driver of hundreds of trials may run out of them."""

SHARE_FREE = 0.05
"""Of a disk with Ray's own files: with less of it free, Ray moves no object there when its memory is full."""

LEAST_FREE_MB = 1000
"""Of any disk."""

FREE = "free some space there"

ROOM_FOR = {
    RAYS_FILES: f"{FREE}, or start Ray with --temp-dir on another disk",
    RAYS_OBJECTS: "a container gets more with --shm-size=4g; Ray keeps objects on a disk instead, which is slower",
    CACHE: f"{FREE}, or name another folder with --cache",
}
"""What to do where a disk is short, by its use."""

CLOCK_S = 5.0
"""How far clocks may be apart, that of the storage among them, before times in tables and logs mislead."""


def names_of(nodes: Sequence[dict[str, Any]]) -> list[str]:
    """What nodes are called; those of one name and address, as on one machine, by a part of their ids too."""
    names = [name_of(node) for node in nodes]
    ids = [node["NodeID"][:6] for node in nodes]
    return [name if names.count(name) == 1 else f"{name}, {own}" for name, own in zip(names, ids, strict=True)]


def by_name(nodes: Sequence[dict[str, Any]], found: Sequence[Answer | NoAnswer]) -> dict[str, Answer | NoAnswer]:
    """Answers by the names of the nodes."""
    return dict(zip(names_of(nodes), found, strict=True))


def answered(told: Told[Answer]) -> tuple[dict[str, Answer], list[Finding]]:
    """The answers of those that gave one, and a fault for each of the others."""
    found = {node: one for node, one in told.items() if not isinstance(one, NoAnswer)}
    silent = [
        fault(
            "nodes",
            f"{node}: {one.why}",
            "look for its reason in Ray's logs on that node (session_latest/logs in its temporary folder), or take the node out",
        )
        for node, one in told.items()
        if isinstance(one, NoAnswer)
    ]
    return found, silent


def packages(told: Mapping[str, Facts], ours: Mapping[str, str | None]) -> Iterator[Finding]:
    """Whether every node has the versions that this machine has, and this machine what is needed."""
    if missing := [name for name, version in ours.items() if version is None]:
        yield fault("packages", f"this machine lacks {', '.join(missing)}", f"pip install {' '.join(missing)}")
    differing = {node: text for node, one in told.items() if (text := differences(one.versions, ours))}
    wanted = " ".join(f"{name}=={version}" for name, version in ours.items() if version)
    for node, text in differing.items():
        yield fault("packages", f"{node}: {text}", f"on that node: pip install {wanted}")
    if not missing and not differing:
        same = f"; the same on {len(told)} nodes" if len(told) > 1 else ""
        named = [f"python {platform.python_version()}", *(f"{name} {version}" for name, version in ours.items())]
        yield ok("packages", ", ".join(named) + same)


def gpus(told: Mapping[str, Facts], counted: Mapping[str, float], per_trial: float) -> Iterator[Finding]:
    """Whether nodes have the GPUs that Ray counts, and whether others use them.

    Args:
        told: By node.
        counted: GPUs that Ray counts on each.
        per_trial: GPUs of a trial; of the arm that asks for most.
    """
    for node, one in told.items():
        number = counted.get(node, 0.0)
        if number and not one.has_gpu:
            yield (fault if per_trial else warning)(
                "GPUs",
                f"{node}: Ray counts {number:g}, and there is none to be seen",
                "start this node with --num-gpus=0, or install the driver: nvidia-smi has to show the GPUs",
            )
        elif one.has_gpu and not number:
            yield warning(
                "GPUs",
                f"{node} has a GPU, and Ray counts none there",
                "start the node where CUDA_VISIBLE_DEVICES does not hide it, or with --num-gpus; without GPUs in the study, "
                "nothing is to be done",
            )
        yield from _memory_of_gpus(node, one, per_trial)
    number = sum(counted.values())
    if per_trial and not number:
        yield fault(
            "GPUs",
            f"the study asks for {per_trial:g} of a GPU for a trial, and Ray counts none",
            "set resources.gpus_per_trial: 0, or start nodes that have one",
        )
    elif per_trial and number:
        yield ok("GPUs", f"{number:g} for trials that take {per_trial:g} each")
    elif not per_trial:
        yield ok("GPUs", f"none asked for{f', {number:g} there: resources.gpus_per_trial uses them' if number else ''}")


def _memory_of_gpus(node: str, one: Facts, per_trial: float) -> Iterator[Finding]:
    """Whether somebody else uses a GPU that trials are to share."""
    for gpu in one.gpus if per_trial else ():
        used = gpu.total_mb - gpu.free_mb
        if used > 0.1 * gpu.total_mb:
            yield warning(
                "GPUs",
                f"{node}: {used:,} of {gpu.total_mb:,} MB of a {gpu.name} are used by others",
                "nvidia-smi shows by whom; trials that share a GPU may run out of its memory",
            )


def memory(told: Mapping[str, Facts], slots: Mapping[str, int], worker_mb: float | None) -> Iterator[Finding]:
    """Whether the trials that run on a node at once fit its memory.

    Args:
        told: By node.
        slots: Trials that fit each by its CPUs and GPUs.
        worker_mb: Largest memory that a worker is expected to take; None where that is not known.
    """
    short = False
    for node, one in told.items():
        need = (worker_mb or 0.0) * slots.get(node, 0)
        if need > one.available_mb:
            short = True
            fitting = max(int(one.available_mb // (worker_mb or 1.0)), 1)
            yield (fault if need > one.memory_mb else warning)(
                "memory",
                f"{node}: {slots[node]} workers of about {worker_mb:,.0f} MB, and {one.available_mb:,} of {one.memory_mb:,} MB "
                "are available",
                f"let fewer trials run at once (--max-concurrent {fitting}, or more cpus_per_trial), or end what else runs there",
            )
    if told and not short:
        least = min(one.available_mb for one in told.values())
        yield ok("memory", f"{least:,} MB available{' on the node with least' if len(told) > 1 else ''}")


def disks(told: Mapping[str, Limits]) -> Iterator[Finding]:
    """Whether there is room for Ray's files, its objects and the cache, and enough open files."""
    found = [one for node, limits in told.items() for one in _disks_of(node, limits)]
    yield from found
    if told and not found:
        rooms = {
            use: min(one.disks[use].free_mb for one in told.values() if use in one.disks)
            for use in dict.fromkeys(use for one in told.values() for use in one.disks)
        }
        yield ok("disks", ", ".join(f"{free:,} MB free for {use}" for use, free in rooms.items()))


def _disks_of(node: str, limits: Limits) -> Iterator[Finding]:
    """What is short on a node."""
    for use, own in limits.disks.items():
        least = max(LEAST_FREE_MB, SHARE_FREE * own.total_mb) if use == RAYS_FILES else LEAST_FREE_MB
        if own.free_mb < least:
            yield warning(
                "disks",
                f"{node}: {own.free_mb:,} of {own.total_mb:,} MB are free for {use} ({own.path})",
                ROOM_FOR.get(use, FREE),
            )
    if limits.open_files < LEAST_FILES:
        yield warning(
            "open files",
            f"{node}: a process may have {limits.open_files:,} open",
            "ulimit -n 65536 before Ray is started there",
        )


def clocks(told: Mapping[str, Clock]) -> Iterator[Finding]:
    """Whether the clocks of the nodes agree with ours. Heartbeats are times of files, which a shared disk's clients may set."""
    far = {node: one for node, one in told.items() if abs(one.ahead_s) - one.within_s > CLOCK_S}
    for node, one in far.items():
        side = "ahead of" if one.ahead_s > 0 else "behind"
        yield warning(
            "clocks",
            f"{node}: its clock is {abs(one.ahead_s):,.0f} s {side} this machine's",
            "let both take the time from a server (chrony or ntpd). Times in tables mislead"
            + (f", and a lock may look abandoned: that takes {STALE_S:.0f} s" if abs(one.ahead_s) > STALE_S / 2 else ""),
        )
    if told and not far:
        yield ok("clocks", f"no more than {max(abs(one.ahead_s) + one.within_s for one in told.values()):.1f} s apart")
