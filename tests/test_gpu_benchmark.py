"""The benchmark for a GPU, as far as it can be tested without one."""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.conftest import QUICKLY_COMPILED

ROOT = Path(__file__).parents[1]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu", ROOT / "benchmarks" / "gpu.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu", module)  # where its dataclasses look for their types
    spec.loader.exec_module(module)
    return module


def test_without_a_gpu_it_refuses(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    assert gpu.main([]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "No GPU is visible here (nvidia-smi finds none), so there is nothing to measure.\n")


def test_use_of_the_gpu_is_that_of_the_seconds_in_which_all_train(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(command: list[str], **options: Any) -> Any:
        asked.extend(command[1:3])
        return SimpleNamespace(stdout="A GPU\n" if "name" in command[2] else "50, 2000\n")

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    monkeypatch.setattr(gpu, "SAMPLE_S", 0.01)
    monkeypatch.setattr(gpu.subprocess, "run", answer)
    with gpu.Device() as device:
        while not device.samples:
            pass
    assert (device.name, device.samples[0][1:]) == ("A GPU", (0.5, 2000.0))
    assert set(asked) == {"--id=3", "--query-gpu=name", "--query-gpu=utilization.gpu,memory.used"}
    device.samples = [(1.0, 0.1, 900.0), (2.0, 0.6, 100.0), (3.0, 0.8, 300.0), (4.0, 0.1, 900.0)]
    assert device.between(1.5, 3.5) == (pytest.approx(0.7), 300.0)
    assert all(map(math.isnan, device.between(5, 6)))


def test_the_table_compares_each_line_with_fit(gpu: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    jobs: list[tuple[str, int, int]] = []

    def run(job: dict[str, Any], processes: int) -> Any:
        jobs.append((job["way"], job["seeds"], processes))
        if job["way"] == "fit" and processes > 1:
            return None
        rate = 1000.0 * job["seeds"] * (2 if job["way"] == "worker" else 1)
        return gpu.Measured(images_per_s=rate, use=0.5, memory_mb=math.nan)

    table = gpu.lines(gpu.QUICK, "jax", run)
    assert table[2:] == [
        "| small CNN | one worker | 2,000 | 50% | - | 1,000 | 50% | 2.00 |",
        "| small CNN | 2 workers sharing | 2,000 | 50% | - | not measured | - | - |",
        "| small CNN | 2 seeds in one program | 4,000 | 50% | - | 1,000 | 50% | 4.00 |",
    ]
    assert jobs == [("worker", 1, 1), ("fit", 1, 1), ("worker", 1, 2), ("fit", 1, 2), ("worker", 2, 1)]
    assert capsys.readouterr().out.splitlines() == table
    assert len(gpu.lines(gpu.QUICK, "torch", run)) == 4, "seeds together are for JAX alone"


@pytest.mark.long
def test_all_of_it_small_on_a_cpu(tmp_path: Path) -> None:
    """On JAX, whose processes import no TensorFlow, which they check themselves."""
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--quick", "--cpu"]
    environment = os.environ | QUICKLY_COMPILED | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| small")]
    assert [row[1] for row in rows] == ["one worker", "2 workers sharing", "2 seeds in one program"]
    assert all(float(row[number].replace(",", "")) > 0 for row in rows for number in (2, 5, 7)), done.stdout
