"""What all tests share: a quiet Keras with a home of its own, one configured framework, one Ray."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

_KERAS_HOME = tempfile.mkdtemp(prefix="sweeper-test-keras-")
os.environ.update(
    KERAS_BACKEND="tensorflow",
    KERAS_HOME=_KERAS_HOME,
    TF_CPP_MIN_LOG_LEVEL="3",
    TF_NUM_INTRAOP_THREADS="1",
    TF_NUM_INTEROP_THREADS="1",
    CUDA_VISIBLE_DEVICES="",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
)

if TYPE_CHECKING:
    from sweeper.storage.objects import ObjectPlace

Run = Callable[..., tuple[int, str, str]]

QUICKLY_COMPILED = {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"}
"""For processes in which JAX would compile for longer than it computes."""

SLOWEST = (
    "test_docs_run", "test_slurm", "test_networks", "test_equality", "test_machines", "test_ray_kills", "test_chaos", "test_jobs",
    "test_refused", "test_notebooks", "test_seen", "test_cluster", "test_training", "test_conformance", "test_kills",
    "test_object_stores", "test_published", "test_command", "test_launch", "test_peers", "test_launch_s3", "test_driver",
    "test_golden", "test_knobs", "test_recipes", "test_together", "test_nodes", "test_page", "test_jax", "test_augmentation",
    "test_three_hosts", "test_gpu_benchmark",
)  # fmt: skip
"""Files that take longest. They begin before all others: a process that got one of them last would go on alone."""

settings.register_profile(
    "project", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files come first, all others stay in their order."""
    place = {name: number for number, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def pytest_collection_finish() -> None:
    """Whatever looks for circles later need not look at a million objects of modules, which stay, nor look so often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
def framework() -> None:
    """TensorFlow as a worker has it; its threads are set in the environment, since collecting tests already runs operations."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.fixture
def half_precision() -> Iterator[None]:
    """Layers compute in float16, their weights are float32."""
    yield from _under_policy("mixed_float16")


@pytest.fixture
def double_precision() -> Iterator[None]:
    """Keeps rounding, which fifty layers of random weights enlarge a thousandfold, far below what is tested."""
    yield from _under_policy("float64")


def _under_policy(name: str) -> Iterator[None]:
    import keras

    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    yield
    keras.config.set_dtype_policy(previous)


@pytest.fixture
def shapes_alone() -> Iterator[None]:
    """Networks get no weights."""
    from sweeper.training.built import shapes_alone

    with shapes_alone():
        yield


@pytest.fixture
def released() -> Iterator[None]:
    """Lets go of the network of a test after it: models hold themselves in circles, and the largest take gigabytes."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray for all tests that need one: two CPUs, two logical GPUs."""
    import ray

    from sweeper.driver.connection import ray_arguments
    from sweeper.study.spec import StudySpec

    spec = StudySpec.model_validate(
        {
            "name": "tests",
            "dataset": {"name": "digits"},
            "arms": {"cnn": {"architecture": "cnn", "space": "cnn"}},
            "budget": {"trials": 1, "max_epochs": 1},
        }
    )
    os.environ.pop("CUDA_VISIBLE_DEVICES")  # Ray counts logical GPUs only where none are hidden from it
    ray.init(**ray_arguments(spec, "local", {"num_cpus": 2, "num_gpus": 2}, _KERAS_HOME))
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .npz of a few digits whose test images are damaged: reading them raises."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * 255 / 16).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    whole = {
        "x_train": images[:120], "y_train": labels[:120], "x_validation": images[120:180], "y_validation": labels[120:180],
        "x_test": images[180:240], "y_test": labels[180:240],
    }  # fmt: skip
    np.savez(path, **whole)
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("x_test.npy").header_offset
    damaged = bytearray(path.read_bytes())
    damaged[offset + 500] ^= 255
    path.write_bytes(bytes(damaged))
    return path


@pytest.fixture(autouse=True)
def networks_built_here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this process has the framework, a study's first networks are built in it, instead of in a process for each study."""
    if request.node.get_closest_marker("ray") is not None or "framework" in request.fixturenames:
        from sweeper.driver import networks
        from tests.driverless import building

        monkeypatch.setattr(networks, "building", building)


@pytest.fixture
def ray_ready(ray_session: None) -> None:
    """The shared Ray."""


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps of this process train one trial at a time, so that one worker loads the framework, not two."""
    from sweeper.driver import launch

    places = launch.Places
    monkeypatch.setattr(launch, "Places", lambda offers, max_concurrent, tell: places(offers, 1, tell))


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """The address of an S3 endpoint on loopback, one for all tests that need one."""
    from tests import buckets

    with buckets.endpoint() as address:
        yield address


@pytest.fixture
def bucket(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> ObjectPlace:
    """An empty bucket, with the environment that gives access to it."""
    from tests import buckets

    for name, value in buckets.environment(s3_address).items():
        monkeypatch.setenv(name, value)
    return buckets.new_bucket(s3_address)


@pytest.fixture
def shared_data() -> Path:
    """Real data beside the project; tests that need it are skipped where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data beside the project are absent")
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in an empty folder: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    from sweeper.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sweeper", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(ended.value.code or 0), out, err

    return run
