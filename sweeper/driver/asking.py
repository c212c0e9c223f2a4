"""Questions to the nodes of a running Ray: what each says of its packages, GPUs, memory and clock.

A question is a function that a worker of ours runs on the node. Those of this file need the standard library alone, so that a
node which lacks a package can still say so.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ANSWER_TIMEOUT_S = 120.0
"""Longest time for all nodes to answer; one that was idle first unpacks our code and starts Python."""

GPU_FILES = ("/dev/nvidia[0-9]*", "/dev/dxg", "/dev/kfd")
"""Devices of which a machine with a GPU has one: NVIDIA's, NVIDIA's under Windows' Linux, AMD's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoAnswer:
    """What a node that did not answer stands for.

    Args:
        why: What became of the question, for a person.
        has_died: Whether the node was lost meanwhile, as far as Ray knows.
    """

    why: str
    has_died: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU, as nvidia-smi shows it.

    Args:
        name: What it is called.
        total_mb: Its memory.
        free_mb: How much of that nobody uses.
    """

    name: str
    total_mb: int
    free_mb: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What a node says of itself.

    Args:
        versions: Of each package it was asked for; None for one that it lacks.
        gpus: Those that nvidia-smi shows; none where there is no such command.
        has_gpu: Whether there is any GPU, also one of another maker.
        memory_mb: Memory of the machine, or of the container that the node runs in.
        available_mb: How much of it programs can still have.
    """

    versions: dict[str, str | None]
    gpus: tuple[Gpu, ...]
    has_gpu: bool
    memory_mb: int
    available_mb: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clock:
    """How a node's clock stands beside that of this machine.

    Args:
        ahead_s: Seconds that it is ahead; below 0 where it is behind.
        within_s: How far from that the truth may be: half the time that the answer took.
    """

    ahead_s: float
    within_s: float


def alive() -> list[dict[str, Any]]:
    """The nodes that live, as `ray.nodes` describes them."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def name_of(node: dict[str, Any]) -> str:
    """What a node is called in messages: its host's name, and its address because several may share a name."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"


def answers(question: Callable[[Any, str], Any], subject: object, nodes: Sequence[dict[str, Any]]) -> list[Any]:
    """What each node answers to a question, in the order of the nodes; a `NoAnswer` for one that does not.

    Args:
        question: Runs on every node, at the same time, with the subject and the node's id.
        subject: What is asked about.
        nodes: Who is asked, see `alive`.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(question)
    asked = []
    for node in nodes:
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked.append(task.options(scheduling_strategy=here).remote(subject, node["NodeID"]))
    until = time.monotonic() + ANSWER_TIMEOUT_S
    found: list[Any] = []
    for waiting in asked:
        try:
            found.append(ray.get(waiting, timeout=max(0.0, until - time.monotonic())))
        except ray.exceptions.GetTimeoutError:
            found.append(NoAnswer(why=f"no answer within {ANSWER_TIMEOUT_S:.0f} s"))
        except ray.exceptions.RayError as error:
            last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            has_died = isinstance(error, ray.exceptions.NodeDiedError)
            found.append(NoAnswer(why=f"no worker of ours starts there: {last}", has_died=has_died))
    return found


def facts(packages: Sequence[str], nodes: Sequence[dict[str, Any]]) -> list[Facts | NoAnswer]:
    """What each node says of itself.

    Args:
        packages: Names of distributions whose versions are asked for; see `versions`.
        nodes: Who is asked.
    """
    return answers(own_facts, list(packages), nodes)


def clocks(nodes: Sequence[dict[str, Any]]) -> list[Clock | NoAnswer]:
    """How the clock of each node stands beside ours. Ask `facts` first: a worker that has yet to start would answer late."""
    found: list[Clock | NoAnswer] = []
    for node in nodes:
        before = time.time()
        [theirs] = answers(own_time, None, [node])
        within_s = (time.time() - before) / 2
        is_known = not isinstance(theirs, NoAnswer)
        found.append(Clock(ahead_s=theirs - before - within_s, within_s=within_s) if is_known else theirs)
    return found


# --------------------------------------------------------------------------------------------------------- run on the nodes


def own_facts(packages: list[str], node: str) -> Facts:
    """The facts of the machine that this runs on."""
    memory_mb, available_mb = memory()
    found = gpus()
    return Facts(
        versions=versions(packages),
        gpus=found,
        has_gpu=bool(found) or any(glob.glob(pattern) for pattern in GPU_FILES),
        memory_mb=memory_mb,
        available_mb=available_mb,
    )


def own_time(subject: None, node: str) -> float:
    """Seconds since 1970 by the clock of the machine that this runs on."""
    return time.time()


def versions(packages: Sequence[str]) -> dict[str, str | None]:
    """The installed version of each package, by its name; None for one that is not installed. None of them is imported."""
    from importlib import metadata

    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def gpus() -> tuple[Gpu, ...]:
    """The GPUs of this machine, as nvidia-smi shows them; none where it cannot be asked."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
        parts = [line.rsplit(",", 2) for line in lines if line.strip()]
        return tuple(Gpu(name=name.strip(), total_mb=int(total), free_mb=int(free)) for name, total, free in parts)
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()


def memory() -> tuple[int, int]:
    """Memory of this machine in MB, and what of it can still be had; both no more than the limit of our container."""
    page = os.sysconf("SC_PAGE_SIZE")
    total, available = (page * os.sysconf(name) // 2**20 for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()  # counts what the system would give back, too
        available = next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) // 2**20 for name in ("memory.max", "memory.current"))
        total, available = min(total, limit), min(available, max(limit - used, 0))
    except (OSError, ValueError):  # no container, or one without a limit
        pass
    return total, available
