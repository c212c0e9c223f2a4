"""The worker's framework: threads, determinism, precision and a share of a GPU, all set before its first operation."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweeper.garbage import uncollected
from sweeper.study.spec import ResourcesSpec, TrainingSpec

JAX_CACHE = "SWEEPER_JAX_CACHE"
"""Environment variable of a worker: the folder of JAX's compiled programs, or ``off``."""

LARGEST_JAX_CACHE = 4 * 2**30
"""Bytes of compiled programs that are kept; the least recently used go first."""


def environment(training: TrainingSpec, resources: ResourcesSpec, keras_home: str) -> dict[str, str]:
    """Environment variables a worker process must start with.

    Args:
        training: Backend and determinism.
        resources: CPUs, and the part of a GPU one trial may use.
        keras_home: A folder of our own, because importing Keras writes a file into its home.
    """
    variables = {
        "KERAS_BACKEND": training.backend,
        "KERAS_HOME": keras_home,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OMP_NUM_THREADS": str(resources.cpus_per_trial),
        "PYTHONHASHSEED": "0",
    }
    if resources.gpus_per_trial == 0:
        # Ray hides GPUs from a worker that asked for none; this also keeps the framework from searching for them.
        variables["CUDA_VISIBLE_DEVICES"] = ""
        variables["JAX_PLATFORMS"] = "cpu"
    if training.deterministic:
        variables["TF_DETERMINISTIC_OPS"] = "1"
        if resources.gpus_per_trial:
            variables["XLA_FLAGS"] = "--xla_gpu_deterministic_ops=true"
            variables["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    if 0 < resources.gpus_per_trial < 1:
        variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{resources.gpus_per_trial:.3f}"
    if resources.gpus_per_trial:
        variables["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    return variables


def common_environment(training: TrainingSpec, shapes: Sequence[ResourcesSpec], keras_home: str) -> dict[str, str]:
    """What of `environment` is the same for workers of all these shapes."""
    first, *others = (environment(training, shape, keras_home) for shape in shapes)
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def load() -> None:
    """Import Keras, in half of the time.

    Keras and TensorFlow look for what they would wrap, draw with or read from: scikit-learn, matplotlib, pandas, SciPy and JAX.
    Nothing here needs that. Only what this process has not imported is kept from them, only meanwhile. Keras's other backends
    need JAX, which needs SciPy.

    Half a million objects come with the modules, and all of them stay.
    """
    sought = ["sklearn", "matplotlib", "pandas"]
    if os.environ.get("KERAS_BACKEND") == "tensorflow":
        sought += ["jax", "scipy"]
    hidden = [name for name in sought if name not in sys.modules]
    try:
        for name in hidden:
            sys.modules[name] = None  # type: ignore[assignment]  # Python's own mark of what cannot be imported
        with uncollected():
            import keras  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]


def configure(training: TrainingSpec, resources: ResourcesSpec) -> str:
    """Set up the framework in this process, once, before its first operation; gives the name of the device.

    To Ray, a fraction of a GPU is bookkeeping only. The cap set here (TensorFlow, torch) or in the environment (JAX) keeps trials
    that share a GPU from taking its whole memory.
    """
    load()
    gc.freeze()  # a worker looks no more through what was loaded
    import keras

    keras.config.set_dtype_policy(training.precision)
    backend = keras.backend.backend()
    assert backend == training.backend, f"Keras runs on {backend}, the study asks for {training.backend}"
    return {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[backend](training, resources)


def seed_dropout(seed: int) -> None:
    """Seed dropout on torch, where Keras leaves it to torch's own generator; on other backends every layer has a seed."""
    if (torch := sys.modules.get("torch")) is not None:  # imported only where Keras runs on it
        torch.manual_seed(seed)


def memory_cap_mb(gpus_per_trial: float, total_mb: float) -> int | None:
    """MB of a GPU one trial may take; None when it has the whole GPU or none."""
    return int(total_mb * gpus_per_trial) if 0 < gpus_per_trial < 1 else None


def _tensorflow(training: TrainingSpec, resources: ResourcesSpec) -> str:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(resources.cpus_per_trial)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if training.deterministic:
        tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus or not resources.gpus_per_trial:
        # On a CPU it takes as long as tracing a network, and makes no step of it faster.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        return "cpu"
    cap = memory_cap_mb(resources.gpus_per_trial, _gpu_memory_mb())
    if cap is not None:
        tf.config.set_logical_device_configuration(gpus[0], [tf.config.LogicalDeviceConfiguration(memory_limit=cap)])
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "gpu"))


def _jax(training: TrainingSpec, resources: ResourcesSpec) -> str:
    import jax

    device: Any = jax.devices()[0]
    is_cpu = device.platform == "cpu"
    if (folder := jax_cache(os.environ, is_cpu=is_cpu)) is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", LARGEST_JAX_CACHE)
    return "cpu" if is_cpu else str(device.device_kind)


def jax_cache(variables: Mapping[str, str], *, is_cpu: bool) -> Path | None:
    """Where JAX keeps compiled programs for later processes; None where it keeps none, or where the user told JAX itself.

    It loads machine code from there, so this is the user's own folder and never one of results, which are passed around. On a CPU
    it is off unless it is asked for.

    Args:
        variables: Environment.
        is_cpu: Whether JAX computes on a CPU.

    Source: https://docs.jax.dev/en/latest/persistent_compilation_cache.html
    """
    asked = variables.get(JAX_CACHE, "")
    if asked:
        return None if asked == "off" else Path(asked)
    if is_cpu or "JAX_COMPILATION_CACHE_DIR" in variables or not (home := variables.get("HOME")):
        return None
    return Path(variables.get("XDG_CACHE_HOME") or f"{home}/.cache") / "sweeper" / "jax"


def _torch(training: TrainingSpec, resources: ResourcesSpec) -> str:
    import torch

    torch.set_num_threads(resources.cpus_per_trial)
    torch.use_deterministic_algorithms(training.deterministic, warn_only=True)
    if not torch.cuda.is_available() or not resources.gpus_per_trial:
        return "cpu"
    if resources.gpus_per_trial < 1:
        torch.cuda.set_per_process_memory_fraction(resources.gpus_per_trial)
    return str(torch.cuda.get_device_name(0))


def _gpu_memory_mb() -> float:
    """Memory of the visible GPU, in MB, as nvidia-smi says, because the framework must not be started yet."""
    import subprocess

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] or "0"
    query = ["nvidia-smi", f"--id={visible}", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    return float(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0])
