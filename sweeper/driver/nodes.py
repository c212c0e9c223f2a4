"""The nodes of a running Ray: how many trials fit on each, whether each sees the results folder, whether our own is alive."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sweeper.driver.places import Offer, fits
from sweeper.errors import InputError, ResultsFolderError, SweeperError
from sweeper.storage import LocalPlace, Place, Where, explain, place
from sweeper.study.spec import ResourcesSpec, StudySpec

ANSWER_TIMEOUT_S = 120.0
"""Longest time for the nodes to look for the results folder; a node that was idle first unpacks our code and starts Python."""

ACCELERATOR = "accelerator_type:"
"""What Ray puts before the type of a node's GPUs in the name of a resource."""


def offers() -> list[Offer]:
    """The nodes of the running Ray, and what each has."""
    return [
        Offer(
            name=node["NodeManagerHostname"],
            address=node["NodeManagerAddress"],
            node=node["NodeID"],
            cpus=node["Resources"].get("CPU", 0.0),
            gpus=node["Resources"].get("GPU", 0.0),
            memory_gb=node["Resources"].get("memory", 0.0) / 1e9,
            accelerator_types=frozenset(
                name.removeprefix(ACCELERATOR) for name in node["Resources"] if name.startswith(ACCELERATOR)
            ),
        )
        for node in _alive()
    ]


def check_fit(offers: Sequence[Offer], study: StudySpec, needed: Collection[str]) -> None:
    """Check that each arm's trials fit a node; a trial runs on one.

    Args:
        offers: The nodes.
        study: The study.
        needed: Its arms that have trials left.

    Raises:
        InputError: Those of an arm do not; all such arms are named.
    """
    arms: dict[ResourcesSpec, list[str]] = {}
    for arm in needed:
        arms.setdefault(study.resources_of(arm), []).append(arm)
    wanting = {shape: names for shape, names in arms.items() if not any(fits(offer, shape) for offer in offers)}
    if not wanting:
        return
    asks = [
        f"{_who(names) if len(study.shapes) > 1 else 'the study asks'} for {words(shape)}" for shape, names in wanting.items()
    ]
    there = in_words(offers, [*wanting])
    raise InputError(f"no trial fits: {', '.join(asks)}, {there}. Lower resources in the study file, or give more.")


def _who(arms: Sequence[str]) -> str:
    return f"arm '{arms[0]}' asks" if len(arms) == 1 else f"arms {', '.join(arms)} ask"


def in_words(offers: Sequence[Offer], shapes: Sequence[ResourcesSpec]) -> str:
    """What nodes have of what trials ask for, in words."""
    with_memory = any(shape.memory_gb for shape in shapes)
    each = (f"{offer.words}, {offer.memory_gb:.1f} GB of memory" if with_memory else offer.words for offer in offers)
    return "; ".join(each) or "there is no node"


def words(shape: ResourcesSpec) -> str:
    """What a trial asks for, as a study file has it."""
    given = {name: value for name, value in shape.model_dump().items() if value}
    return ", ".join(f"{name}: {value}" for name, value in given.items())


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


def check_results(results_folder: Where, *shapes: ResourcesSpec) -> None:
    """Check that every node on which a trial fits sees the results folder and may write to it.

    A folder is made there, every node writes a file to it, and it is removed again.

    Args:
        results_folder: Folder of all studies.
        shapes: What trials need.

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
        faults = _faults(marker, _useful(shapes))
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


def check_images(files: Sequence[str], *shapes: ResourcesSpec) -> None:
    """Check that every node on which a trial fits sees the files in which decoded images lie, if there are any.

    Raises:
        InputError: A node does not.
    """
    if not files:
        return
    nodes = _useful(shapes)
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


def _useful(shapes: Sequence[ResourcesSpec]) -> list[Offer]:
    """The nodes on which a trial fits."""
    return [offer for offer in offers() if any(fits(offer, shape) for shape in shapes)]


def _faults(marker: Place, nodes: list[Offer]) -> list[str]:
    """One sentence for every node that could not leave an answer this machine sees."""
    faults = _answers(leave_answer, marker, nodes)
    for number, node in enumerate(nodes):
        if not faults[number] and not (marker / node.node).is_file():
            faults[number] = "what it writes to the results folder is not seen here: its folder of that name is another one"
    return _named(nodes, faults)


def _named(nodes: list[Offer], faults: list[str]) -> list[str]:
    """Those of the nodes' faults that are any, with the name of the node."""
    return [f"{node.name} ({node.address}): {fault}" for node, fault in zip(nodes, faults, strict=True) if fault]


def _answers(question: Callable[[Any, str], str], subject: object, nodes: list[Offer]) -> list[str]:
    """What each node answers to a question, or why it does not."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(question)
    asked = []
    for node in nodes:
        here = NodeAffinitySchedulingStrategy(node.node, soft=False)
        asked.append(task.options(scheduling_strategy=here).remote(subject, node.node))
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


def _alive() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]
