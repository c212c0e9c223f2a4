"""The worker's framework: environment, shares of a GPU, seeds."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from sweeper.study.spec import ResourcesSpec, TrainingSpec
from sweeper.training import devices


def environment(backend: str = "tensorflow", gpus: float = 0, cpus: int = 1) -> dict[str, str]:
    return devices.environment(TrainingSpec(backend=backend), ResourcesSpec(gpus_per_trial=gpus, cpus_per_trial=cpus), "/k")  # type: ignore[arg-type]


def test_a_worker_without_gpu_sees_none_and_one_with_gpu_is_left_to_ray() -> None:
    assert environment()["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in environment(gpus=0.5), "Ray assigns the device to each worker"
    assert environment(backend="jax")["KERAS_BACKEND"] == "jax"
    assert environment(cpus=3)["OMP_NUM_THREADS"] == "3"


def test_dropout_follows_from_the_seed_where_keras_leaves_it_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    devices.seed_dropout(1)
    assert "torch" not in sys.modules, "nothing is imported for it"
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(manual_seed=seeds.append))
    devices.seed_dropout(5)
    assert seeds == [5]


def test_a_share_of_a_gpu_is_a_share_of_its_memory() -> None:
    assert devices.memory_cap_mb(0.25, 80_000) == 20_000
    assert devices.memory_cap_mb(1, 80_000) is None
    assert devices.memory_cap_mb(0, 80_000) is None
    assert environment(backend="jax", gpus=0.25)["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.250"


def test_tensorflows_cap_is_set_before_its_first_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    calls: list[Any] = []
    monkeypatch.setattr(devices, "_gpu_memory_mb", lambda: 40_000.0)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu0"])
    monkeypatch.setattr(
        tf.config, "set_logical_device_configuration", lambda gpu, found: calls.append((gpu, found[0].memory_limit))
    )
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", lambda threads: calls.append(("intra", threads)))
    monkeypatch.setattr(tf.config.threading, "set_inter_op_parallelism_threads", lambda threads: calls.append(("inter", threads)))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"device_name": "a GPU"})
    name = devices.configure(TrainingSpec(), ResourcesSpec(cpus_per_trial=4, gpus_per_trial=0.5))
    assert name == "a GPU"
    assert calls == [("intra", 4), ("inter", 1), ("gpu0", 20_000)]
