"""The nodes of a running Ray: how many trials fit on each, whether each can work for a study, whether our own is alive."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sweeper.driver import asking
from sweeper.errors import InputError, ResultsFolderError, SweeperError
from sweeper.storage import LocalPlace, Place, Where, explain, place
from sweeper.study.spec import ResourcesSpec, TrainingSpec

DECIDING = ("keras", "numpy", "pyarrow")
"""Packages of which every node must have our version: they decide what a trial gives, or how a checkpoint is written ..."""

BACKEND = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib"), "torch": ("torch",)}
"""... and those of each backend. Ray and Python are compared by Ray itself, when a node joins."""


def slots(resources: ResourcesSpec) -> int:
    """Trials that fit the running Ray at once; a trial runs on one node.

    Raises:
        InputError: Not even one does.
    """
    nodes = asking.alive()
    count = sum(_slots(node["Resources"], resources) for node in nodes)
    if count < 1:
        wanted = f"cpus_per_trial: {resources.cpus_per_trial}"
        if resources.gpus_per_trial:
            wanted += f", gpus_per_trial: {resources.gpus_per_trial}"
        there = "; ".join(
            f"{node['NodeManagerHostname']} has {node['Resources'].get('CPU', 0):g} CPUs and "
            f"{node['Resources'].get('GPU', 0):g} GPUs"
            for node in nodes
        )
        raise InputError(f"no trial fits: the study asks for {wanted}, {there}. Lower resources in the study file, or give more.")
    return count


def check_own() -> None:
    """Check that the processes of a Ray that this driver started, if it started one, are there.

    When one of them dies, Ray goes on for about ten seconds, then ends the driver without a message.

    Raises:
        SweeperError: One is gone.
    """
    import ray

    node = getattr(ray._private.worker, "_global_node", None)
    for kind in ("raylet", "gcs_server"):
        for started in getattr(node, "all_processes", {}).get(kind, ()):
            if started.process.poll() is not None:
                raise SweeperError(
                    f"Ray's {kind} on this machine died (status {started.process.returncode}): perhaps the kernel killed it when "
                    "memory ran out. Everything so far is saved; launch again to go on."
                )


def check_facts(training: TrainingSpec, resources: ResourcesSpec) -> None:
    """Check that every node on which a trial fits has our versions of what decides a result, and a GPU where trials ask for one.

    Raises:
        InputError: A node does not; the message names it, and what differs.
    """
    packages = (*DECIDING, *BACKEND[training.backend])
    ours = asking.versions(packages)
    nodes = [node for node in asking.alive() if _slots(node["Resources"], resources)]
    told = asking.facts(packages, nodes)
    differing = [one if isinstance(one, asking.NoAnswer) else differences(one.versions, ours) for one in told]
    if faults := _named(nodes, differing):
        needed = " ".join(f"{package}=={version}" for package, version in ours.items())
        raise InputError(
            "not every node of the cluster has the packages of this machine; nothing was started:\n"
            + _listed(faults)
            + f"\nResults would depend on where a trial ran. Install on every node: {needed}"
        )
    blind = [
        f"{asking.name_of(node)}: Ray was told of {node['Resources']['GPU']:g} GPUs, and there is none to be seen"
        for node, one in zip(nodes, told, strict=True)
        if resources.gpus_per_trial and isinstance(one, asking.Facts) and not one.has_gpu
    ]
    if blind:
        raise InputError(
            f"gpus_per_trial: {resources.gpus_per_trial:g}: not every node of the cluster has a GPU; nothing was started:\n"
            + _listed(blind)
            + "\nStart these nodes with --num-gpus=0, install their driver (nvidia-smi shows GPUs that work), or ask for none."
        )


def differences(theirs: Mapping[str, str | None], ours: Mapping[str, str | None]) -> str:
    """Which packages have another version on a node than here; ``""`` where none has. Builds (``2.9.0+cpu``) may differ."""
    found = [
        f"{package} {theirs[package]} there, {version} here" if theirs[package] else f"{package} is not installed there"
        for package, version in ours.items()
        if (theirs[package] or "").split("+")[0] != (version or "").split("+")[0]
    ]
    return "; ".join(found)


def check_results(results_folder: Where, resources: ResourcesSpec) -> None:
    """Check that every node on which a trial fits sees the results folder and may write to it.

    A folder is made there, every node writes a file to it, and it is removed again.

    Args:
        results_folder: Folder of all studies.
        resources: What a trial needs.

    Raises:
        ResultsFolderError: A node does not, or this machine itself does not; nothing is left behind.
    """
    results_folder = place(results_folder).resolve()
    was_there = results_folder.exists()
    marker = results_folder / f".nodes-{uuid.uuid4().hex[:12]}"
    try:
        marker.make_folder()
    except OSError as error:
        raise ResultsFolderError(explain(error, results_folder)) from error
    faults = ["nothing was asked"]
    try:
        faults = _faults(marker, [node for node in asking.alive() if _slots(node["Resources"], resources)])
    finally:
        marker.remove_tree()
        if faults and not was_there:
            with contextlib.suppress(OSError):
                results_folder.remove()
    if faults:
        if isinstance(results_folder, LocalPlace):
            needed = (
                "it must lie on a file system that all nodes mount at this path, and be writable there. Give such a folder with "
                "--results."
            )
        else:
            needed = (
                "every node must be started with what gives access to it in its environment: AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL, as they are set here."
            )
        raise ResultsFolderError(
            "not every node of the cluster can work for this study; nothing was started:\n"
            + _listed(faults)
            + f"\nWorkers write checkpoints to {results_folder}: {needed}"
        )


def leave_answer(marker: Place, node: str) -> str:
    """Write a file to the marker folder; runs on a node and gives why it could not, or ``""``."""
    try:
        (marker / node).write_whole(socket.gethostname().encode())
    except OSError as error:
        return f"it cannot write to the results folder: {error.strerror or error}"
    return ""


def check_images(files: Sequence[str], resources: ResourcesSpec) -> None:
    """Check that every node on which a trial fits sees the files in which decoded images lie, if there are any.

    Raises:
        InputError: A node does not.
    """
    if not files:
        return
    nodes = [node for node in asking.alive() if _slots(node["Resources"], resources)]
    faults = _named(nodes, asking.answers(missing_of, list(files), nodes))
    if faults:
        raise InputError(
            "not every node of the cluster has the decoded images; nothing was started:\n"
            + _listed(faults)
            + "\nThey are too many to travel through Ray. Name a folder that all nodes mount at the same path with --cache."
        )


def missing_of(files: list[str], node: str) -> str:
    """Which of these files is missing; runs on a node and gives ``""`` where none is."""
    return next((f"there is no {file}" for file in files if not os.path.isfile(file)), "")


def _faults(marker: Place, nodes: list[dict[str, Any]]) -> list[str]:
    """One sentence for every node that could not leave an answer this machine sees."""
    faults = asking.answers(leave_answer, marker, nodes)
    for number, node in enumerate(nodes):
        if not faults[number] and not (marker / node["NodeID"]).is_file():
            faults[number] = "what it writes to the results folder is not seen here: its folder of that name is another one"
    return _named(nodes, faults)


def _named(nodes: list[dict[str, Any]], faults: Sequence[Any]) -> list[str]:
    """Those of the nodes' faults that are any, with the name of the node.

    No answer is one, too, unless the node died while it was asked: the sweep lives without it, as it does later.
    """
    is_silent = any(isinstance(fault, asking.NoAnswer) for fault in faults)
    left = {node["NodeID"] for node in asking.alive()} if is_silent else set()
    named = []
    for node, fault in zip(nodes, faults, strict=True):
        if isinstance(fault, asking.NoAnswer):
            fault = fault.why if node["NodeID"] in left and not fault.has_died else ""
        if fault:
            named.append(f"{asking.name_of(node)}: {fault}")
    return named


def _listed(faults: list[str]) -> str:
    return "\n".join(f"  - {fault}" for fault in faults)


def _slots(offered: dict[str, float], resources: ResourcesSpec) -> int:
    """Trials that fit one node at once."""
    count = int(offered.get("CPU", 0) // resources.cpus_per_trial)
    if resources.gpus_per_trial:
        gpus = offered.get("GPU", 0)
        per_gpu = int(1 / resources.gpus_per_trial + 1e-9)
        count = min(count, int(gpus) * per_gpu if per_gpu else int(gpus // resources.gpus_per_trial))
    return count
