"""The nodes of a running Ray: how many trials fit on each, whether each can work for a study, whether our own is alive."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sweeper.driver import asking
from sweeper.driver.places import Offer, fits
from sweeper.errors import InputError, ResultsFolderError, SweeperError
from sweeper.storage import LocalPlace, Place, Where, explain, place
from sweeper.study.spec import ResourcesSpec, StudySpec, TrainingSpec

DECIDING = ("keras", "numpy", "pyarrow")
"""Packages of which every node must have our version: they decide what a trial gives, or how a checkpoint is written ..."""

BACKEND = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib"), "torch": ("torch",)}
"""... and those of each backend. Ray and Python are compared by Ray itself, when a node joins."""


ACCELERATOR = "accelerator_type:"
"""What Ray puts before the type of a node's GPUs in the name of a resource."""


def offers() -> list[Offer]:
    """The nodes of the running Ray, and what each has."""
    return [offer_of(node) for node in asking.alive()]


def offer_of(node: Mapping[str, Any]) -> Offer:
    """What a node has, which `ray.nodes` describes."""
    has = node["Resources"]
    return Offer(
        name=node["NodeManagerHostname"],
        address=node["NodeManagerAddress"],
        node=node["NodeID"],
        cpus=has.get("CPU", 0.0),
        gpus=has.get("GPU", 0.0),
        memory_gb=has.get("memory", 0.0) / 1e9,
        accelerator_types=frozenset(name.removeprefix(ACCELERATOR) for name in has if name.startswith(ACCELERATOR)),
    )


def useful(shapes: Iterable[ResourcesSpec]) -> list[dict[str, Any]]:
    """The nodes on which a trial of one of these shapes fits."""
    wanted = [*shapes]
    return [node for node in asking.alive() if any(fits(offer_of(node), shape) for shape in wanted)]


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


def versions(training: TrainingSpec) -> dict[str, str | None]:
    """The versions here of the packages that decide a result."""
    return asking.versions((*DECIDING, *BACKEND[training.backend]))


def check_facts(training: TrainingSpec, *shapes: ResourcesSpec) -> None:
    """Check that every node on which a trial fits has our versions of what decides a result, and a GPU where trials ask for one.

    Raises:
        InputError: A node does not; the message names it, and what differs.
    """
    ours = versions(training)
    nodes = useful(shapes)
    told = asking.facts([*ours], nodes)
    differing = [one if isinstance(one, asking.NoAnswer) else differences(one.versions, ours) for one in told]
    if faults := _named(nodes, differing):
        needed = " ".join(f"{package}=={version}" for package, version in ours.items())
        raise InputError(
            "not every node of the cluster has the packages of this machine; nothing was started:\n"
            + _listed(faults)
            + f"\nResults would depend on where a trial ran. Install on every node: {needed}"
        )
    asking_gpus = [shape for shape in shapes if shape.gpus_per_trial]
    blind = [
        f"{asking.name_of(node)}: Ray was told of {node['Resources']['GPU']:g} GPUs, and there is none to be seen"
        for node, one in zip(nodes, told, strict=True)
        if isinstance(one, asking.Facts) and not one.has_gpu and any(fits(offer_of(node), shape) for shape in asking_gpus)
    ]
    if blind:
        raise InputError(
            f"gpus_per_trial: {asking_gpus[0].gpus_per_trial:g}: not every node of the cluster has a GPU; nothing was started:\n"
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


def check_results(results_folder: Where, *shapes: ResourcesSpec) -> None:
    """Check that every node on which a trial fits sees the results folder and may write to it.

    A folder is made there, every node writes a file to it, and it is removed again.

    Args:
        results_folder: Folder of all studies.
        *shapes: What trials occupy.

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
        faults = _faults(marker, useful(shapes))
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


def check_images(files: Sequence[str], *shapes: ResourcesSpec) -> None:
    """Check that every node on which a trial fits sees the files in which decoded images lie, if there are any.

    Raises:
        InputError: A node does not.
    """
    if not files:
        return
    nodes = useful(shapes)
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
