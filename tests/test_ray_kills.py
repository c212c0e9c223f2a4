"""A real sweep survives the death of its driver, of a worker and of Ray itself, and signals; `benchmarks/kills` does it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.long]

HARNESS = Path(__file__).parents[1] / "benchmarks" / "kills" / "ray_sweep.py"

SEED = 10
"""All three processes die while trials run: when Ray loses its raylet as it starts, it waits half a minute."""


def kills(tmp_path: Path, target: str, count: int) -> dict[str, Any]:
    """What the harness found in one study that was killed so many times."""
    file = tmp_path / "found.json"
    options = ["--target", target, "--kills", str(count), "--trials", "18", "--seed", str(SEED)]
    options += ["--json", str(file), "--keep", str(tmp_path)]
    hidden = ("KERAS_HOME", "KERAS_BACKEND", "RAY_ADDRESS", "CUDA_VISIBLE_DEVICES")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    run = subprocess.run([sys.executable, str(HARNESS), *options], env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_nothing_is_lost_when_driver_worker_and_raylet_are_killed(tmp_path: Path) -> None:
    found = kills(tmp_path, "mixed", 3)
    [row], [[story]] = found["rows"], found["stories"]
    assert {kill["target"] for kill in story["kills"]} == {"driver", "worker", "raylet"}
    assert {kill["phase"] for kill in story["kills"]} == {"training"}
    assert row["acknowledged"] > 60
    assert row["lost"] == row["repeated"] == row["again"] == row["unfinished"] == row["unreadable"] == 0
    assert row["most_redone"] <= 1


def test_signals_end_a_sweep_with_everything_saved(tmp_path: Path) -> None:
    found = kills(tmp_path, "signals", 2)
    [row], [[story]] = found["rows"], found["stories"]
    assert [kill["target"] for kill in story["kills"]] in (["SIGINT", "SIGTERM"], ["SIGTERM", "SIGINT"])
    assert row["acknowledged"] > 60
    assert row["redone"] == 0, "an epoch that was trained is known when the driver ends by itself"
