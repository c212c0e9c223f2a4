"""A running Ray: one of our own on this machine, or the cluster that a study runs on."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweeper import catalog
from sweeper.errors import SweeperError
from sweeper.garbage import uncollected
from sweeper.study.spec import ResourcesSpec, StudySpec, TrainingSpec

KERAS_HOME = "SWEEPER_KERAS_HOME"
"""Names Keras's home to the workers of a private Ray. KERAS_HOME itself would also divert what this process downloads."""


def load_ray() -> None:
    """Import Ray without its words on widgets: it shows nothing in a notebook, whatever is installed there."""
    logging.getLogger("ray.widgets.util").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        with uncollected():
            import ray  # noqa: F401


@contextlib.contextmanager
def connected(spec: StudySpec, cluster: str, options: dict[str, Any]) -> Iterator[bool]:
    """A running Ray: the one already connected to, or one of the cluster's kind, left at the end of the block.

    Gives whether it is one of our own on this machine, which then ends with the block.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Tune cannot tell a worker that Ray's memory monitor killed from a fault of its own, and ends the sweep. One that the
    # kernel kills is a dead worker like any other, and its trial is tried again.
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    # How long to wait for word of why a connection to a worker broke: one second is too little for a busy machine.
    os.environ.setdefault("RAY_timeout_ms_task_wait_for_death_info", "5000")
    # Ray looks for its own object store ten times, once a second. It is there within milliseconds: look more often.
    os.environ.setdefault("RAY_raylet_client_connect_timeout_milliseconds", "50")
    os.environ.setdefault("RAY_raylet_client_num_connect_attempts", "200")
    # Ray ends processes that wait for a second once their CPUs are promised, which is a moment before they would be taken.
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "300000")
    import ray

    if ray.is_initialized():
        yield cluster == "local"
        return
    with tempfile.TemporaryDirectory(prefix="sweeper-keras-") as keras_home:
        arguments = ray_arguments(spec, cluster, options, keras_home)
        is_private = arguments["address"] == "local"
        try:
            try:
                if is_private:
                    _start_private(spec, arguments)
                else:
                    ray.init(**arguments)
            except Exception as error:  # Ray raises bare ones too, when a process of its own dies as it starts
                raise SweeperError(f"--cluster {cluster}: Ray cannot be used: {error}") from error
            yield is_private
        finally:
            ray.shutdown()


def _start_private(spec: StudySpec, arguments: dict[str, Any]) -> None:
    """Start a Ray of our own, whose workers have their environment from Ray itself.

    Ray starts a process for every CPU as soon as it runs, which takes the first actors. One with a `runtime_env` cannot use
    them: a process more would start for it, seconds later, beside those that stay idle.
    """
    import ray

    runtime_env = arguments.pop("runtime_env")
    variables = runtime_env.pop("env_vars")
    variables[KERAS_HOME] = variables.pop("KERAS_HOME")
    if runtime_env:
        arguments["runtime_env"] = runtime_env
    if not any(shape.gpus_per_trial for shape in spec.shapes):
        arguments["num_gpus"] = 0  # they are hidden now, and Ray refuses to count more than it sees
    with environment_of(variables), _on_loopback(), _token_for_us_alone():
        ray.init(**arguments)
    # Ray's autoscaler has nothing to do on one machine, and takes a second to end. Its death disturbs nothing.
    if (node := getattr(ray._private.worker, "_global_node", None)) is not None:
        node.kill_monitor(check_alive=False)


@contextlib.contextmanager
def _token_for_us_alone() -> Iterator[None]:
    """Close to others the file of a token that Ray makes within the block: everybody on the machine may read it as it is."""
    file = Path.home() / ".ray" / "auth_token"
    was_there = file.exists()
    yield
    if not was_there and file.exists():
        file.chmod(0o600)


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Let a Ray that starts within the block listen on loopback alone.

    On Linux it would listen on every interface of the machine. It takes the address of loopback where it believes that it cannot
    form clusters, as it does on macOS; an address that is asked for by name becomes another one.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with environment_of({ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}):  # for the processes that it starts
            yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def dashboard() -> dict[str, str] | None:
    """Where the dashboard of the running Ray is, ``HOST:PORT``, and the name of the machine it runs on; None without one."""
    import ray

    address = getattr(getattr(ray._private.worker, "_global_node", None), "webui_url", None)
    if not address:
        return None
    heads = [node["NodeManagerHostname"] for node in ray.nodes() if "node:__internal_head__" in node["Resources"]]
    return {"address": address, "head": heads[0] if heads else address.rpartition(":")[0]}


@contextlib.contextmanager
def environment_of(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables within the block; afterwards all are as they were."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def take_environment(training: TrainingSpec, resources: ResourcesSpec) -> None:
    """Complete the environment that this worker process inherited; to be called before Keras is imported.

    What all workers of a study have in common they were started with. Workers of a shape of their own also have a share of a GPU,
    or none, of their own, and Ray gives them what it started for any.
    """
    from sweeper.training.devices import environment

    keras_home = os.environ.get(KERAS_HOME) or os.environ.get("KERAS_HOME", "")
    variables = environment(training, resources, keras_home)
    os.environ.update({name: value for name, value in variables.items() if value or name != "KERAS_HOME"})


def ray_arguments(spec: StudySpec, cluster: str, options: dict[str, Any], keras_home: str) -> dict[str, Any]:
    """Arguments of ``ray.init`` for a study.

    Args:
        spec: The study: its backend and resources decide the environment of the workers.
        cluster: Kind of cluster.
        options: Arguments of that kind.
        keras_home: A folder for Keras's own files; on machines where it does not exist Keras makes it.

    Raises:
        InputError: The kind of cluster cannot be used as asked.
    """
    from sweeper.training.devices import common_environment

    arguments: dict[str, Any] = catalog.load("cluster", cluster)(**options)
    runtime_env = {"env_vars": common_environment(spec.training, spec.shapes, keras_home), **arguments.pop("runtime_env", {})}
    return {"runtime_env": runtime_env, "logging_level": logging.ERROR, **arguments}
