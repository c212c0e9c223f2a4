"""The nodes of a running Ray: how many trials fit on each, whether each sees the results folder, whether our own is alive."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from sweeper.errors import InputError, ResultsFolderError, SweeperError
from sweeper.storage import LocalPlace, Place, Where, explain, place
from sweeper.study.spec import ResourcesSpec

ANSWER_TIMEOUT_S = 120.0
"""Longest time for the nodes to look for the results folder; a node that was idle first unpacks our code and starts Python."""


def slots(resources: ResourcesSpec) -> int:
    """Trials that fit the running Ray at once; a trial runs on one node.

    Raises:
        InputError: Not even one does.
    """
    nodes = _alive()
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
        faults = _faults(marker, [node for node in _alive() if _slots(node["Resources"], resources)])
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
                "every node must be started with what gives access to it in its environment, as it is set here: for s3:// "
                "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL."
            )
        raise ResultsFolderError(
            "not every node of the cluster can work for this study; nothing was started:\n"
            + "\n".join(f"  - {fault}" for fault in faults)
            + f"\nWorkers write checkpoints to {results_folder}: {needed} Every node needs the Python packages this machine has."
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
    nodes = [node for node in _alive() if _slots(node["Resources"], resources)]
    faults = _named(nodes, _answers(missing_of, list(files), nodes))
    if faults:
        raise InputError(
            "not every node of the cluster has the decoded images; nothing was started:\n"
            + "\n".join(f"  - {fault}" for fault in faults)
            + "\nThey are too many to travel through Ray. Name a folder that all nodes mount at the same path with --cache."
        )


def missing_of(files: list[str], node: str) -> str:
    """Which of these files is missing; runs on a node and gives ``""`` where none is."""
    return next((f"there is no {file}" for file in files if not os.path.isfile(file)), "")


def _faults(marker: Place, nodes: list[dict[str, Any]]) -> list[str]:
    """One sentence for every node that could not leave an answer this machine sees."""
    faults = _answers(leave_answer, marker, nodes)
    for number, node in enumerate(nodes):
        if not faults[number] and not (marker / node["NodeID"]).is_file():
            faults[number] = "what it writes to the results folder is not seen here: its folder of that name is another one"
    return _named(nodes, faults)


def _named(nodes: list[dict[str, Any]], faults: list[str]) -> list[str]:
    """Those of the nodes' faults that are any, with the name of the node."""
    return [
        f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}): {fault}"
        for node, fault in zip(nodes, faults, strict=True)
        if fault
    ]


def _answers(question: Callable[[Any, str], str], subject: object, nodes: list[dict[str, Any]]) -> list[str]:
    """What each node answers to a question, or why it does not."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(question)
    asked = []
    for node in nodes:
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked.append(task.options(scheduling_strategy=here).remote(subject, node["NodeID"]))
    until = time.monotonic() + ANSWER_TIMEOUT_S
    answers = []
    for waiting in asked:
        try:
            answer = ray.get(waiting, timeout=max(0.0, until - time.monotonic()))
        except ray.exceptions.GetTimeoutError:
            answer = f"no answer within {ANSWER_TIMEOUT_S:.0f} s"
        except ray.exceptions.RayError as error:
            answer = f"no worker of ours starts there: {(str(error).strip().splitlines() or [type(error).__name__])[-1]}"
        answers.append(answer)
    return answers


def _slots(offered: dict[str, float], resources: ResourcesSpec) -> int:
    """Trials that fit one node at once."""
    count = int(offered.get("CPU", 0) // resources.cpus_per_trial)
    if resources.gpus_per_trial:
        gpus = offered.get("GPU", 0)
        per_gpu = int(1 / resources.gpus_per_trial + 1e-9)
        count = min(count, int(gpus) * per_gpu if per_gpu else int(gpus // resources.gpus_per_trial))
    return count


def _alive() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]
