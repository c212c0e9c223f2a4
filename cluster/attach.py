"""A Ray cluster that is already running: its nodes do the work, and it keeps running when the sweep ends."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from sweeper.catalog import PACKAGES
from sweeper.errors import InputError

ANSWER_TIMEOUT_S = 45.0
"""Time limit for the answer of the cluster, including the start of the process that asks."""

GIVE_TOKEN = (
    "Set RAY_AUTH_MODE=token, and give the cluster's token in the environment variable RAY_AUTH_TOKEN, in a file that "
    "RAY_AUTH_TOKEN_PATH names, or in ~/.ray/auth_token."
)
"""What to do if a cluster asks for a token."""

SHIPPED_WITHOUT = ("__pycache__", "*.pyc")
"""Files of our packages that are not shipped."""


def attach(*, address: str = "auto") -> dict[str, Any]:
    """Arguments of ``ray.init`` for a running cluster of which this machine is a node.

    Our own packages are shipped to the nodes, so a node only needs what they import. Every node must be able to write to the
    results folder under the same path, as on a shared file system, because workers write checkpoints there. Start the nodes with
    ``RAY_memory_monitor_refresh_ms=0``. Otherwise Ray's memory monitor may kill a worker, which ends the sweep. A worker that the
    kernel kills counts as dead, and its trial is tried again.

    Args:
        address: ``HOST:PORT`` of the head, as ``ray start --head`` printed it; ``auto`` for the address in the environment
            variable RAY_ADDRESS, or else for the cluster that runs on this machine.

    Raises:
        InputError: The address cannot be used, nothing answers there in time, or the cluster refuses us: it has another version
            of Ray or Python, it asks for a token, or this machine is not one of its nodes.
    """
    named = (os.environ.get("RAY_ADDRESS") or "auto") if address == "auto" else address
    check_address(named)
    found = check_answer(named, _ask(named))
    return {"address": found, "log_to_driver": False, "runtime_env": shipped_code()}


def check_address(address: str) -> None:
    """Raise `InputError` unless an address is ``auto`` or ``HOST:PORT``."""
    if "://" in address:
        raise InputError(
            f"--address {address}: an address of Ray's client cannot be used, because the sweep itself must run inside the "
            "cluster. Run this command on one of its nodes, with --address HOST:PORT as `ray start --head` printed it "
            "(6379 unless another port was given)."
        )
    port = re.fullmatch(r"(?:\[[0-9a-fA-F:.%]+\]|[^\s:/]+):(\d{1,5})", address)
    if address != "auto" and (port is None or not 1024 <= int(port[1]) <= 65535):
        raise InputError(
            f"--address {address}: write HOST:PORT, with a port from 1024 to 65535, as `ray start --head` printed it, or auto."
        )


def check_answer(named: str, answer: dict[str, Any]) -> str:
    """The address to use, if the cluster that answered accepts us.

    Args:
        named: The address that was asked.
        answer: What `cluster._probe.probe` found.

    Raises:
        InputError: It does not accept us; the message says why and what to do.
    """
    address = answer.get("address") or named
    detail = " ".join(str(answer.get("detail", "")).split()).rstrip(".")
    mend = "Give the address that `ray start --head` printed, as --address HOST:PORT or in RAY_ADDRESS"
    match answer.get("problem"):
        case "none":
            raise InputError(f"--cluster attach, without an address: {detail.split('. ')[0]}. {mend}.")
        case "unreachable":
            raise InputError(f"--cluster attach: nothing answers at {address} ({detail}). Is the cluster running? {mend}.")
        case "silent":
            raise InputError(
                f"--cluster attach: {address} did not answer as a Ray cluster within {ANSWER_TIMEOUT_S:.0f} s. {mend}."
            )
        case "stranger":
            raise InputError(f"--cluster attach: what answers at {address} is not the head of a Ray cluster ({detail}). {mend}.")
        case "token":
            raise InputError(_token_advice(address))
    _check_versions(address, answer["metadata"])
    if named == "auto" and answer["metadata"].get("ray_init_cluster"):
        raise InputError(
            f"--cluster attach: the only Ray found, at {address}, belongs to a program that started it for itself and ends it. "
            f"Start a cluster with `ray start --head`. {mend}."
        )
    if not answer["is_node"]:
        raise InputError(
            f"--cluster attach: this machine is no node of the cluster at {address}, and the sweep itself must run on one. Run "
            f"this command on a node, or make this machine one with: ray start --address={address}"
        )
    return str(address)


def _token_advice(address: str) -> str:
    """What to do if the cluster asks for a token. It never shows a token, or anything that Ray says about one."""
    mode = os.environ.get("RAY_AUTH_MODE")
    sent = (
        "the one that was given is missing or not its own"
        if mode == "token"
        else f"none was sent: RAY_AUTH_MODE is {mode or 'not set'}"
    )
    return f"--cluster attach: the cluster at {address} asks for a token, and {sent}. {GIVE_TOKEN}"


def _check_versions(address: str, theirs: dict[str, Any]) -> None:
    """Raise `InputError` unless the cluster runs our versions of Ray and Python.

    Ray itself would refuse as well. With RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL=minor the last part of the Python version may
    differ.
    """
    level = 2 if os.environ.get("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL") == "minor" else 3
    ours = {"ray_version": metadata.version("ray"), "python_version": ".".join(map(str, sys.version_info[:3]))}
    is_same_python = str(theirs["python_version"]).split(".")[:level] == ours["python_version"].split(".")[:level]
    if theirs["ray_version"] != ours["ray_version"] or not is_same_python:
        raise InputError(
            f"--cluster attach: the cluster at {address} runs Ray {theirs['ray_version']} on Python {theirs['python_version']}, "
            f"this command Ray {ours['ray_version']} on Python {ours['python_version']}. They must be the same: run this command "
            "in the environment the cluster was started in, or start the cluster in this one."
        )


def _ask(address: str) -> dict[str, Any]:
    """What `cluster._probe` finds at an address."""
    command = [sys.executable, "-P", str(Path(__file__).with_name("_probe.py"))]
    if address != "auto":
        command.append(address)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return {"problem": "silent"}
    if done.returncode == 0:
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
    if "token" in done.stderr:
        return {"problem": "token"}
    return {"problem": "stranger", "detail": f"asking ended with {done.returncode}"}


def shipped_code() -> dict[str, Any]:
    """The part of a runtime environment that brings our packages to every node."""
    code: dict[str, Any] = {"py_modules": [*map(str, our_folders().values())], "excludes": list(SHIPPED_WITHOUT)}
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ:
        # Without a working folder, workers import first from the folder in which this command was called, and on another node
        # that folder may hold old code. A job submitted with a working folder already has one, and may have only one.
        code["working_dir"] = _empty_folder().name
    return code


def our_folders() -> dict[str, Path]:
    """The folder of each of our packages, by its name."""
    found = {}
    for name in sorted({package.split(".")[0] for package in PACKAGES.values()}):
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.submodule_search_locations
        found[name] = Path(next(iter(spec.submodule_search_locations)))
    return found


@functools.cache
def _empty_folder() -> tempfile.TemporaryDirectory[str]:
    """An empty folder, deleted when this process ends."""
    return tempfile.TemporaryDirectory(prefix="sweeper-empty-")
