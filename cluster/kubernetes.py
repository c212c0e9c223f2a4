"""Kubernetes, by KubeRay: the study is a RayJob, on a Ray cluster of its own that ends with it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from cluster._options import count, fits, growing, word
from sweeper import owncode
from sweeper.errors import InputError
from sweeper.submission import Command, Job, Submission, filled, one_line

JOB_FOLDER = "/sweeper/job"
"""Where the study's file and own code lie in the pod of the head."""

LARGEST_MAP = 1024 * 1024
"""Bytes that a ConfigMap may hold."""

HEAD_CPUS = 2
"""CPUs of the head's pod: of the driver, and of what holds a Ray cluster together."""

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where Ray's autoscaler looks for its token."""

_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_IMAGE = r"[A-Za-z0-9][A-Za-z0-9._:/@-]*"
_PATH = r"/[A-Za-z0-9_@%+=:,./-]*"
_WORD = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_LABEL = re.compile(r"((?:[a-z0-9.-]+/)?[A-Za-z0-9_.-]+)=([A-Za-z0-9_.-]*)")
_TAINT = re.compile(r"((?:[a-z0-9.-]+/)?[A-Za-z0-9_.-]+)(?:=([A-Za-z0-9_.-]*))?:(NoSchedule|NoExecute|PreferNoSchedule)")

_GPU_TAINT = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}

_TOKEN: dict[str, Any] = {
    "name": "api-token",
    "projected": {
        "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        ]
    },
}
"""A token for the API of Kubernetes, which only the container of Ray's autoscaler mounts."""


def kubernetes(
    job: Job,
    *,
    image: str,
    workers: int = 1,
    max_workers: int | None = None,
    cpus: int = 4,
    memory_gib: int = 8,
    gpus: int = 0,
    head_memory_gib: int = 8,
    disk_gib: int = 20,
    claim: str | None = None,
    claim_path: str | None = None,
    secret: str | None = None,
    service_account: str | None = None,
    nodes: tuple[str, ...] = (),
    head_nodes: tuple[str, ...] = (),
    tolerations: tuple[str, ...] = (),
    user: int = 1000,
    retries: int = 3,
    idle_timeout_s: int = 300,
    namespace: str = "default",
    operator_namespace: str | None = None,
    context: str | None = None,
) -> Submission:
    """What submits a study to Kubernetes, where KubeRay 1.5.1 or newer runs.

    Args:
        job: The study.
        image: Image of all pods: sweeper, as ``cluster/Dockerfile`` makes it, with the Ray that is installed here.
        workers: Pods for trials at the start, and at least.
        max_workers: Most of them: with more than ``workers``, the cluster grows as nodes can be had. None for no more.
        cpus: CPUs of each.
        memory_gib: Memory of each, GiB.
        gpus: GPUs of each, of NVIDIA.
        head_memory_gib: Memory of the head's pod, which runs no trial, but loads the data, GiB.
        disk_gib: Most that a pod writes to its node's disk, GiB.
        claim: PersistentVolumeClaim for results and data, which all pods can write to; None if they are in a bucket.
        claim_path: Where it is mounted in every pod; None for the results folder.
        secret: Secret whose keys are the environment variables that the bucket needs, such as AWS_SECRET_ACCESS_KEY.
        service_account: ServiceAccount by which the bucket knows the pods (workload identity).
        nodes: Labels of the nodes for workers, as ``key=value``.
        head_nodes: The same for the head, which should not be on a node that may be taken away.
        tolerations: Taints of nodes that workers may run on all the same, as ``key=value:Effect``; that of GPUs is among them.
        user: Number of the user and the group that all runs as; 1 or more.
        retries: How often the job begins again, on a new cluster, where the study goes on.
        idle_timeout_s: Seconds after the study's end until a worker beyond ``workers`` ends.
        namespace: Namespace of all of it.
        operator_namespace: Namespace in which KubeRay runs; None lets in what calls itself KubeRay in any namespace.
        context: Context of kubectl; None for the current one.

    Raises:
        InputError: An option cannot be, or the study's file and own code are too large.
    """
    most = workers if max_workers is None else max_workers
    _check_counts(
        1, workers=workers, cpus=cpus, memory_gib=memory_gib, head_memory_gib=head_memory_gib, disk_gib=disk_gib, user=user
    )
    _check_counts(0, gpus=gpus, retries=retries, idle_timeout_s=idle_timeout_s)
    _check_counts(workers, max_workers=most)
    fits(job, cpus, gpus)
    _check_names(claim=claim, secret=secret, service_account=service_account, namespace=namespace)
    _check_names(operator_namespace=operator_namespace)
    files = _files(job)
    volumes, mounts, environment = _claimed(job, claim, claim_path)
    grows = most > workers
    command = job.command(study_file=f"{JOB_FOLDER}/study.yaml", code=f"{JOB_FOLDER}/code" if len(files) > 1 else None)
    text = filled(
        Path(__file__).with_suffix(".yaml"),
        head_volumes=_items([*volumes, _TOKEN] if grows else volumes, 12),
        head_mounts=_items(mounts, 16),
        environment=_items(environment, 16),
        worker_volumes=_items(volumes, 14),
        worker_mounts=_items(mounts, 18),
        **_written(
            name=job.name,
            namespace=namespace,
            operator_namespace={} if operator_namespace is None else {"kubernetes.io/metadata.name": operator_namespace},
            entrypoint=_entrypoint(growing(command, most, cpus, gpus) if grows else command),
            image=word("image", image, _IMAGE, "registry.example.org/sweeper:0.1.0"),
            user=user,
            retries=retries,
            ray_version=metadata.version("ray"),
            grows=grows,
            idle_timeout_s=idle_timeout_s,
            autoscaler_mounts=[{"name": "api-token", "mountPath": TOKEN_FOLDER, "readOnly": True}] if grows else [],
            service_account=service_account or "",
            credentials=[] if secret is None else [{"secretRef": {"name": secret}}],
            job_folder=JOB_FOLDER,
            items=[{"key": key, "path": path} for key, path, _ in files],
            head_nodes=_labels("head_nodes", head_nodes),
            head_resources=_resources(HEAD_CPUS, head_memory_gib, 0),
            head_shared=_shared(head_memory_gib),
            disk=f"{disk_gib}Gi",
            workers=workers,
            max_workers=most,
            nodes=_labels("nodes", nodes),
            tolerations=[*map(_toleration, tolerations), *([_GPU_TAINT] if gpus else [])],
            worker_resources=_resources(cpus, memory_gib, gpus),
            worker_shared=_shared(memory_gib),
        ),
    )
    written = {"configmap.json": _config_map(job, namespace, files), "kubernetes.yaml": text}
    where = () if context is None else ("--context", one_line("context", context))
    return _submission(job, written, ("kubectl", *where, "--namespace", namespace))


def _submission(job: Job, files: Mapping[str, str], kubectl: Command) -> Submission:
    """The commands around the files. They find what belongs to a job by its label, and need nothing of an earlier submission."""
    both = ("--filename", "configmap.json", "--filename", "kubernetes.yaml")
    ended = ("--ignore-not-found", "--cascade=foreground")
    label = f"app.kubernetes.io/instance={job.name}"
    return Submission(
        files=files,
        submit=((*kubectl, "delete", "rayjobs.ray.io", job.name, *ended), (*kubectl, "apply", "--server-side", *both)),
        status=(
            (*kubectl, "get", "rayjobs.ray.io,rayclusters.ray.io,pods", "--selector", label, "--output", "wide"),
            (*kubectl, "get", "events", "--field-selector", f"involvedObject.name={job.name}"),
        ),
        logs=((*kubectl, "logs", "--selector", f"{label},app.kubernetes.io/component=submitter", "--tail=2000"),),
        down=((*kubectl, "delete", *both, *ended),),
        notes=(
            "Nodes that the pods need cost money until the job ends or is ended: sweeper cluster down.",
            "A job of this name that is still there is ended first; the study goes on where it was.",
            "Ray's ports are open to the pods of this job, its dashboard to KubeRay as well, where the network plugin enforces "
            "NetworkPolicy; they ask for a token in any case.",
        ),
    )


# ------------------------------------------------------------------------------------------------------ what the pods read


def _files(job: Job) -> list[tuple[str, str, str]]:
    """What goes into the ConfigMap: key, path in `JOB_FOLDER`, text.

    Raises:
        InputError: It is too much.
    """
    files = [("study.yaml", "study.yaml", job.study_file.read_text(encoding="utf-8"))]
    if job.code is not None and "://" not in job.code:
        code = sorted(owncode.read(job.code).files.items())
        files += [(f"code-{number}.py", f"code/{path}", text) for number, (path, text) in enumerate(code)]
    size = sum(len(key) + len(text.encode()) for key, _, text in files)
    if size > LARGEST_MAP:
        raise InputError(
            f"{job.study_file.name} and {job.code or 'no code'} have {size:,} bytes together; a ConfigMap of Kubernetes holds "
            f"{LARGEST_MAP:,}. Put the code into the image, or into a bucket: --code s3://BUCKET/CODE."
        )
    return files


def _config_map(job: Job, namespace: str, files: Sequence[tuple[str, str, str]]) -> str:
    """JSON, in which any text can be written without a question of indentation."""
    labels = {"app.kubernetes.io/instance": job.name, "app.kubernetes.io/part-of": "sweeper"}
    facts = {"name": job.name, "namespace": namespace, "labels": labels}
    data = {key: text for key, _, text in files}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": facts, "data": data}, indent=2) + "\n"


def _entrypoint(command: Command) -> str:
    """A command as one line that two shells read, that of the submitting pod and that of the head: no word needs quotes.

    Raises:
        InputError: One would.
    """
    for part in command:
        if not _WORD.fullmatch(part):
            raise InputError(f"{part!r} cannot be said to a job on Kubernetes. Allowed: letters, digits and _ @ % + = : , . / -")
    return " ".join(command)


def _claimed(job: Job, claim: str | None, claim_path: str | None) -> tuple[list[dict[str, Any]], ...]:
    """The volume of a claim, its mount, and a variable for the cache, which all pods must see; none of them without a claim.

    Raises:
        InputError: The results would be lost with the pods.
    """
    is_folder = "://" not in job.results
    if claim is None:
        if is_folder:
            raise InputError(
                f"--results {job.results}: pods share a folder only if it is on a PersistentVolumeClaim. Give claim: NAME, or "
                "results in a bucket, such as --results s3://BUCKET/RESULTS."
            )
        if claim_path is not None:
            raise InputError("claim_path is the place of a claim, and there is none. Give claim: NAME too, or neither.")
        return [], [], []
    mounted = claim_path or (job.results if is_folder else None)
    if mounted is None:
        raise InputError("claim_path is missing: say where the claim is mounted in every pod, such as /data.")
    word("claim_path", mounted, _PATH, "/data")
    if is_folder and not Path(job.results).is_relative_to(mounted):
        raise InputError(f"--results {job.results} is not in claim_path: {mounted}, so it would be lost with the pods.")
    return (
        [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}],
        [{"name": "claim", "mountPath": mounted}],
        [{"name": "SWEEPER_CACHE", "value": f"{mounted.rstrip('/')}/.sweeper-cache"}],
    )


# ----------------------------------------------------------------------------------------------------------------- values


def _written(**values: Any) -> dict[str, str]:
    """Values as JSON, which is YAML as well."""
    return {name: json.dumps(value) for name, value in values.items()}


def _items(values: Sequence[Mapping[str, Any]], indent: int) -> str:
    """Lines that go on with a list in YAML; ``""`` for none."""
    return "\n".join(f"{' ' * indent}- {json.dumps(value)}" for value in values)


def _resources(cpus: int, memory_gib: int, gpus: int) -> dict[str, Any]:
    """What a container asks for, and the most that it may use: the same, so that no node promises more than it has."""
    return {"cpu": cpus, "memory": f"{memory_gib}Gi"} | ({"nvidia.com/gpu": gpus} if gpus else {})


def _shared(memory_gib: int) -> str:
    """Shared memory for Ray's object store, which by itself takes 30 % of the memory."""
    return f"{memory_gib * 1024 * 3 // 10}Mi"


def _labels(option: str, given: Sequence[str]) -> dict[str, str]:
    found = {}
    for label in given:
        if (parts := _LABEL.fullmatch(label)) is None:
            raise InputError(f"{option}: {label!r} is no label of a node. Write key=value, such as kubernetes.io/arch=amd64.")
        found[parts[1]] = parts[2]
    return found


def _toleration(taint: str) -> dict[str, str]:
    if (parts := _TAINT.fullmatch(taint)) is None:
        raise InputError(f"tolerations: {taint!r} is no taint. Write key=value:NoSchedule or key:NoSchedule (or NoExecute).")
    key, value, effect = parts.groups()
    rest = {"operator": "Exists"} if value is None else {"operator": "Equal", "value": value}
    return {"key": key, **rest, "effect": effect}


def _check_counts(least: int, **given: int) -> None:
    for option, value in given.items():
        count(option, value, least)


def _check_names(**given: str | None) -> None:
    for option, value in given.items():
        if value is not None:
            word(option, value, _NAME, "my-name")
