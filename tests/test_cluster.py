"""Kinds of cluster: what is refused without starting anything, and a study on a cluster that was running before."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cluster import attach as attaching
from cluster.attach import attach, check_address, check_answer, shipped_code
from sweeper import catalog
from sweeper.cli import cli
from sweeper.errors import InputError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Status
from sweeper.search.study import Search
from sweeper.study.spec import parse
from tests.tiny_study import wait_for_epochs

STUDY = """
name: tiny
dataset: {name: digits, size: 8}
arms:
  cnn: {fixed: {num_blocks: 2, width: 16, convolutions_per_block: 1, dense_units: 64, batch_size: 64, attention: none,
                head: flatten, kernel_size: 3, batch_norm: true, dropout: 0.0, dense_dropout: 0.1, optimizer: adam,
                label_smoothing: 0.0}}
budget: {trials: 2, max_epochs: 60}
search: {sampler: random}
stopping: {rule: none}
"""

VERSIONS = {"ray_version": metadata.version("ray"), "python_version": ".".join(map(str, sys.version_info[:3]))}
ANSWER: dict[str, Any] = {"address": "10.0.0.1:6379", "metadata": VERSIONS, "is_node": True}


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_JOB_CONFIG_JSON_ENV_VAR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.yaml"
    file.write_text(STUDY)
    return file


# --------------------------------------------------------------------------------------------------- refused at once


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cluster", "attach", "--num-cpus", "2"], r"--num-cpus cannot be used with --cluster attach .*takes: --address\."),
        (["--cluster", "attach", "--num-gpus", "0", "--num-cpus", "1"], r"--num-gpus, --num-cpus cannot be used"),
        (["--address", "10.0.0.1:6379"], r"--address cannot be used with --cluster local .*takes: --num-cpus, .*--nice\."),
        (["--cluster", "attach", "--nice", "0"], r"--nice cannot be used with --cluster attach"),
        (["--cluster", "atach"], r"unknown cluster 'atach'\. Did you mean 'attach'\? Allowed: attach, .*local"),
        (["--cluster", "attach", "--address", "ray://head:10001"], r"inside the cluster"),
    ],
)
def test_options_a_kind_does_not_take_are_refused(arguments: list[str], said: str, study_file: Path) -> None:
    results = study_file.parent / "results"
    outcome = CliRunner().invoke(cli, ["launch", str(study_file), "--results", str(results), *arguments])
    assert isinstance(outcome.exception, InputError)
    with pytest.raises(InputError, match=said):
        raise outcome.exception
    assert not results.exists()


def test_workers_get_the_niceness_asked_for() -> None:
    local = catalog.load("cluster", "local")
    assert local(nice=0)["_system_config"] == {"worker_niceness": 0}
    assert "_system_config" not in local()  # Ray's own


def test_the_command_line_offers_every_option_of_every_kind() -> None:
    offered = {parameter.name for parameter in cli.commands["launch"].params}
    for kind in catalog.names("cluster"):
        assert catalog.submits(kind) or set(catalog.parameters("cluster", kind)) <= offered


@pytest.mark.parametrize(
    "address", ["ray://head:10001", "head", "head:", "head:port", ":6379", "head:99", "head:70000", "a b:6379", ""]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="HOST:PORT"):
        check_address(address)


@pytest.mark.parametrize("address", ["auto", "head:6379", "head.example.org:1024", "10.0.0.1:65535", "[fe80::1]:6379"])
def test_addresses(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"problem": "unreachable", "address": "h:1", "detail": "refused."}, r"nothing answers at h:1 \(refused\)"),
        ({"problem": "silent"}, r"asked:1 did not answer as a Ray cluster within 45 s"),
        ({"problem": "stranger", "address": "h:1", "detail": "x"}, r"is not the head of a Ray cluster \(x\)"),
        ({"problem": "none", "detail": "Could not find any. Please"}, r"without an address: Could not find any\. Give"),
        ({"problem": "token", "address": "h:1"}, r"RAY_AUTH_MODE is not set\. Set RAY_AUTH_MODE=token, and give"),
        ({**ANSWER, "is_node": False}, r"is no node of the cluster at 10\.0\.0\.1:6379.*ray start --address=10\.0\.0\.1:6379"),
        ({**ANSWER, "metadata": VERSIONS | {"ray_version": "1.0"}}, r"runs Ray 1\.0 on Python .*They must be the same"),
        ({**ANSWER, "metadata": VERSIONS | {"python_version": "3.11.99"}}, r"on Python 3\.11\.99"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_one_error(answer: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_answer("asked:1", answer)


def test_a_cluster_that_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_answer("head:6379", ANSWER) == "10.0.0.1:6379"
    monkeypatch.setenv("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL", "minor")
    patched = VERSIONS | {"python_version": f"{sys.version_info.major}.{sys.version_info.minor}.99"}
    assert check_answer("head:6379", {**ANSWER, "metadata": patched}) == "10.0.0.1:6379"


def test_the_private_ray_of_another_program_is_not_found_by_chance() -> None:
    private = {**ANSWER, "metadata": VERSIONS | {"ray_init_cluster": True}}
    with pytest.raises(InputError, match="belongs to a program"):
        check_answer("auto", private)
    assert check_answer("10.0.0.1:6379", private) == "10.0.0.1:6379"


def test_which_cluster_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(attaching, "_ask", lambda address: asked.append(address) or ANSWER)
    attach()
    monkeypatch.setenv("RAY_ADDRESS", "named:6379")
    assert attach()["address"] == "10.0.0.1:6379"
    attach(address="given:6379")
    assert asked == ["auto", "named:6379", "given:6379"]
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(InputError, match="Ray's client"):
        attach()


def test_the_shipped_code_is_our_packages_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    code = shipped_code()
    assert [Path(folder).name for folder in code["py_modules"]] == ["architectures", "cluster", "search_spaces", "sweeper"]
    assert all((Path(folder) / "__init__.py").is_file() for folder in code["py_modules"])
    assert list(Path(code["working_dir"]).iterdir()) == []
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert "working_dir" not in shipped_code()


def listening() -> socket.socket:
    """A socket on a free port of this machine that takes connections and says nothing."""
    opened = socket.socket()
    opened.bind(("0.0.0.0", 0))
    opened.listen()
    return opened


def free_port() -> int:
    with listening() as opened:
        return int(opened.getsockname()[1])


def test_nothing_at_the_address() -> None:
    with pytest.raises(InputError, match="nothing answers at"):
        attach(address=f"127.0.0.1:{free_port()}")


@pytest.mark.long
def test_something_that_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attaching, "ANSWER_TIMEOUT_S", 4.0)
    with listening() as opened, pytest.raises(InputError, match="did not answer as a Ray cluster within 4 s"):
        attach(address=f"127.0.0.1:{opened.getsockname()[1]}")


def test_a_token_that_cannot_be_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray ends the process that asks."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "absent"))
    with listening() as opened, pytest.raises(InputError, match="asks for a token, and the one that was given is missing"):
        attach(address=f"127.0.0.1:{opened.getsockname()[1]}")


# ------------------------------------------------------------------------------------------- a Ray of our own

OWN = """
import json, os, pathlib, sys, time, ray
from ray.tune.execution.class_cache import _ActorClassCache
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from sweeper.driver import asking, exposure, tune
from sweeper.driver.connection import connected
from sweeper.study import spec

class Actor:
    def look(self, names):
        return os.getpid(), {name: os.environ.get(name) for name in names}

def workers(raylet):
    found = pathlib.Path("/proc").glob(f"{raylet}/task/*/children")
    pids = [int(pid) for file in found for pid in file.read_text().split()]
    return [pid for pid in pids if "Agent" not in pathlib.Path(f"/proc/{pid}/cmdline").read_text()]

before = dict(os.environ)
with connected(spec.load(sys.argv[1]), "local", {"num_cpus": 2, "num_gpus": 1}):
    processes = ray._private.worker._global_node.all_processes
    first = workers(processes["raylet"][0].process.pid)
    time.sleep(1.5)  # for a second at most would Ray let them wait
    groups = [ray.util.placement_group([{"CPU": 1}]) for _ in range(2)]
    assert all(group.wait(30) for group in groups)
    time.sleep(0.5)
    with tune._in_waiting_processes():
        trial = _ActorClassCache().get(Actor)
    actors = [
        trial.options(num_cpus=1, scheduling_strategy=PlacementGroupSchedulingStrategy(group)).remote() for group in groups
    ]
    looks = ray.get([actor.look.remote(sys.argv[2:]) for actor in actors])
    changed = [name for name in sys.argv[2:] if os.environ.get(name) != before.get(name)]
    ports = exposure.ports(asking.alive())[0]
    listening = {port.program: port.is_open for port in ports}
print(json.dumps({"listening": listening, "first": first, "looks": looks, "changed": changed, "processes": sorted(processes)}))
"""


@pytest.mark.ray
def test_the_first_actors_are_the_processes_that_a_ray_of_our_own_starts_with(study_file: Path) -> None:
    """Ray puts an actor into a process that waits, if their environments are the same; so it does with those of Tune's trials."""
    settings = {"KERAS_BACKEND": "tensorflow", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "CUDA_VISIBLE_DEVICES": ""}
    environment = {name: value for name, value in os.environ.items() if name not in ("KERAS_HOME", *settings)}
    command = [sys.executable, "-c", OWN, str(study_file), "KERAS_HOME", *settings]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert {pid for pid, _ in seen["looks"]} == set(seen["first"])
    assert [own for _, own in seen["looks"]] == [settings | {"KERAS_HOME": None}] * 2
    assert seen["changed"] == []
    assert "monitor" not in seen["processes"]
    assert seen["listening"] == {"GCS": False, "raylet": False, "workers and agents": False}, "on loopback alone"


# -------------------------------------------------------------------------------------- a cluster that was running


@pytest.fixture
def head() -> Iterator[tuple[str, Path, dict[str, str]]]:
    """A cluster of this machine with a token of its own: its address, its folder and the settings to use it with."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # pytest's own are too long for a socket's name
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    port = free_port()
    ports = [f"--port={port}", f"--ray-client-server-port={free_port()}", "--min-worker-port=0", "--max-worker-port=0"]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2", *ports]
    command += ["--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={folder}"]
    plain = {name: value for name, value in os.environ.items() if name not in ("KERAS_HOME", "KERAS_BACKEND", "PYTHONPATH")}
    # Workers compile what they import, and only what was shipped shall lie there.
    settings = {
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment = plain | token | settings
    with (folder / "head.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 180
        while "Ray runtime started" not in (folder / "head.log").read_text():
            assert time.monotonic() < deadline and process.poll() is None, (folder / "head.log").read_text()
            time.sleep(0.2)
        yield f"127.0.0.1:{port}", folder, token
        assert process.poll() is None, "the cluster keeps running"
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def sweeper(*arguments: str, **settings: str) -> subprocess.Popen[str]:
    """A command as a user starts it."""
    plain = {name: value for name, value in os.environ.items() if name not in ("KERAS_HOME", "KERAS_BACKEND")}
    command = [sys.executable, "-m", "sweeper", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=plain | settings)


LOOK = """
import json, sys, ray
from sweeper.driver.connection import ray_arguments
from sweeper.study import spec

def look():
    import os, architectures, keras, sweeper
    files = [sweeper.__file__, architectures.__file__, sys.modules["sweeper"].__path__[0]]
    return files, {name: os.environ.get(name) for name in ("KERAS_HOME", "KERAS_BACKEND", "OMP_NUM_THREADS")}

ray.init(**ray_arguments(spec.load(sys.argv[1]), "attach", {"address": sys.argv[2]}, sys.argv[3]))
print(json.dumps(ray.get(ray.remote(num_cpus=0)(look).remote())))
"""


@pytest.mark.ray
@pytest.mark.long
def test_a_study_on_a_cluster_that_was_running(head: tuple[str, Path, dict[str, str]], study_file: Path) -> None:
    """Refused with another token, interrupted by SIGTERM, resumed to its end; the cluster outlives it all."""
    address, folder, token = head
    results = study_file.parent / "results"
    where = ("--results", str(results), "--cluster", "attach", "--address", address)
    process = sweeper("launch", str(study_file), *where, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 2, output
    assert "missing or not its own" in output
    assert "0" * 64 not in output and "Traceback" not in output
    assert not results.exists()

    process = sweeper("launch", str(study_file), *where, **token)
    wait_for_epochs(process, results / "tiny", 2)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 130, output
    assert "Traceback" not in output
    trials = Search(parse(STUDY)).fold(StudyFolder(results / "tiny").read()).trials
    assert Status.INTERRUPTED in {trial.status for trial in trials.values()}
    process = sweeper("resume", "tiny", *where, **token)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    assert "2 completed" in output
    assert sorted(path.name for path in results.iterdir()) == ["tiny"]

    keras_home = study_file.parent / "keras"
    command = [sys.executable, "-c", LOOK, str(study_file), address, str(keras_home)]
    files, settings = json.loads(subprocess.run(command, env=os.environ | token, capture_output=True, text=True).stdout)
    assert all(file.startswith(str(folder)) and "py_modules_files" in file for file in files), files
    assert settings == {"KERAS_HOME": str(keras_home), "KERAS_BACKEND": "tensorflow", "OMP_NUM_THREADS": "1"}
    assert keras_home.is_dir(), "made where the worker runs"
    shipped = [path for path in folder.glob("session_2*/runtime_resources/*/**/*") if path.is_file() and path.suffix != ".lock"]
    templates = {"", ".json", ".md", ".sbatch", ".sh", ".yaml"}
    assert {path.suffix for path in shipped} == {".py", ".pyi", ".typed", ".css", ".js", *templates}
    assert sum(path.stat().st_size for path in shipped) < 3_000_000
