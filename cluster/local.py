"""This machine alone: a private Ray on loopback, which ends with the sweep."""

from __future__ import annotations

from typing import Any


def local(*, num_cpus: int | None = None, num_gpus: float | None = None, nice: int | None = None) -> dict[str, Any]:
    """Arguments of ``ray.init`` for a private Ray on this machine.

    Args:
        num_cpus: CPUs to use; None for all.
        num_gpus: GPUs to use; None for all that are found. Ray only counts them; it does not check that they exist.
        nice: Niceness of the workers, 0 to 19, above that of this process; None for Ray's 15, which leaves a desktop usable.
    """
    niceness = {} if nice is None else {"_system_config": {"worker_niceness": nice}}
    return {
        "address": "local",  # never the cluster of a RAY_ADDRESS that happens to be set
        "num_cpus": num_cpus,
        "num_gpus": num_gpus,
        "include_dashboard": False,
        "log_to_driver": False,
        **niceness,
    }
