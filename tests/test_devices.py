"""The worker's framework: environment, shares of a GPU, seeds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweeper.driver import connection
from sweeper.study.spec import ResourcesSpec, TrainingSpec
from sweeper.training import devices
from tests.continuation import kit


def environment(backend: str = "tensorflow", gpus: float = 0, cpus: int = 1) -> dict[str, str]:
    return devices.environment(TrainingSpec(backend=backend), ResourcesSpec(gpus_per_trial=gpus, cpus_per_trial=cpus), "/k")  # type: ignore[arg-type]


def test_a_worker_without_gpu_sees_none_and_one_with_gpu_is_left_to_ray() -> None:
    assert environment()["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in environment(gpus=0.5), "Ray assigns the device to each worker"
    assert environment(backend="jax")["KERAS_BACKEND"] == "jax"
    assert environment(cpus=3)["OMP_NUM_THREADS"] == "3"


@pytest.mark.long
def test_keras_is_loaded_without_what_it_only_looks_for_and_that_can_be_imported_later() -> None:
    code = (
        "import gc, importlib, sys; from sweeper.training import devices; devices.load()\n"
        "assert gc.isenabled()\n"
        "sought = ('sklearn', 'matplotlib', 'pandas', 'scipy', 'jax')\n"
        "print([name for name in sought if name in sys.modules], [importlib.import_module(name).__name__ for name in sought])"
    )
    run = [sys.executable, "-c", code]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[] ['sklearn', 'matplotlib', 'pandas', 'scipy', 'jax']"


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


def test_torchs_cap_is_a_share_of_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    cuda = SimpleNamespace(
        is_available=lambda: True,
        set_per_process_memory_fraction=lambda share: calls.append(share),
        get_device_name=lambda number: "a GPU",
    )
    fake = SimpleNamespace(
        cuda=cuda,
        set_num_threads=lambda threads: calls.append(threads),
        use_deterministic_algorithms=lambda wanted, warn_only: None,
    )
    monkeypatch.setitem(sys.modules, "torch", fake)
    assert devices._torch(TrainingSpec(backend="torch"), ResourcesSpec(cpus_per_trial=2, gpus_per_trial=0.25)) == "a GPU"
    assert devices._torch(TrainingSpec(backend="torch"), ResourcesSpec(gpus_per_trial=1)) == "a GPU"
    assert devices._torch(TrainingSpec(backend="torch"), ResourcesSpec()) == "cpu"
    assert calls == [2, 0.25, 1, 1], "threads, and the cap of a share"


def test_workers_of_other_shapes_complete_what_all_were_started_with(monkeypatch: pytest.MonkeyPatch) -> None:
    training = TrainingSpec(backend="jax")
    none, half = ResourcesSpec(), ResourcesSpec(gpus_per_trial=0.5, cpus_per_trial=2)
    common = devices.common_environment(training, [none, half], "/k")
    assert common == {
        "KERAS_BACKEND": "jax", "KERAS_HOME": "/k", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONHASHSEED": "0",
        "TF_DETERMINISTIC_OPS": "1",
    }  # fmt: skip
    assert devices.common_environment(training, [half], "/k") == devices.environment(training, half, "/k")
    for shape, expected in (
        (none, {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}),
        (half, {"CUDA_VISIBLE_DEVICES": "3", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.500", "OMP_NUM_THREADS": "2"}),
    ):
        worker = {"SWEEPER_KERAS_HOME": "/k", "CUDA_VISIBLE_DEVICES": "3"}  # which Ray has assigned, or shows to all
        monkeypatch.setattr(os, "environ", worker)
        connection.take_environment(training, shape)
        assert expected.items() <= worker.items()
        assert worker["KERAS_HOME"] == "/k"
        assert ("JAX_PLATFORMS" in worker) == (shape == none)
    monkeypatch.setattr(os, "environ", bare := dict[str, str]())  # a Ray that somebody else started
    connection.take_environment(training, none)
    assert "KERAS_HOME" not in bare


@pytest.mark.parametrize(
    ("variables", "is_cpu", "folder"),
    [
        ({"HOME": "/me"}, True, None),
        ({"HOME": "/me"}, False, "/me/.cache/sweeper/jax"),
        ({"HOME": "/me", "XDG_CACHE_HOME": "/c"}, False, "/c/sweeper/jax"),
        ({"HOME": "/me", "SWEEPER_JAX_CACHE": "off"}, False, None),
        ({"HOME": "/me", "SWEEPER_JAX_CACHE": "/mine"}, True, "/mine"),
        ({"HOME": "/me", "JAX_COMPILATION_CACHE_DIR": "/theirs"}, False, None),
        ({}, False, None),
    ],
)
def test_jax_keeps_compiled_programs_in_the_users_own_folder(variables: dict[str, str], is_cpu: bool, folder: str | None) -> None:
    assert devices.jax_cache(variables, is_cpu=is_cpu) == (folder and Path(folder))


COUNTED = """
import collections, json, sys
import jax
counts = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **details: counts.update([event]))
from tests.continuation import process
process.main(sys.argv[1])
print(json.dumps([counts[f"/jax/compilation_cache/cache_{name}"] for name in ("hits", "misses")]))
"""


@pytest.mark.long
def test_a_second_process_compiles_no_program_of_jax_anew(tmp_path: Path) -> None:
    kit.write_data(tmp_path / "data.npz")
    told = []
    for number in (1, 2):
        job = {
            "data": str(tmp_path / "data.npz"), "checkpoints": str(tmp_path / str(number)), "backend": "jax", "loops": False,
            "answer": str(tmp_path / "answer.json"), "tasks": [{**kit.task("t", kit.Axis(), known=0), "epochs": 1}],
        }  # fmt: skip
        (tmp_path / "job.json").write_text(json.dumps(job))
        variables = environment(backend="jax") | {
            "KERAS_HOME": str(tmp_path / "keras"),
            devices.JAX_CACHE: str(tmp_path / "cache"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # else a quick machine keeps nothing of so small a network
        }
        done = subprocess.run(
            [sys.executable, "-c", COUNTED, str(tmp_path / "job.json")],
            cwd=Path(__file__).parents[1],
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        rows = json.loads((tmp_path / "answer.json").read_text())["t"]
        told.append((json.loads(done.stdout.splitlines()[-1]), kit.metrics(rows)))
    (hits, misses), first = told[0]
    assert hits == 0 < misses
    assert told[1] == ([misses, 0], first), "the same programs, bit for bit"
