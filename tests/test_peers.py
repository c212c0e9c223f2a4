"""The comparison with Ray Tune and Optuna, in its quick form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [pytest.mark.long, pytest.mark.ray]


def compared(out: Path, workload: str, *sides: str) -> tuple[list[list[str]], list[dict[str, Any]]]:
    """The cells of the printed table, and the figures of every run."""
    command = [sys.executable, str(ROOT / "benchmarks/peers/run.py"), "--quick", "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command += ["--workloads", workload, "--sides", *sides]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    rows = [line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    figures = json.loads((out / "runs.json").read_text())["runs"]
    assert [(run["workload"], run["side"]) for run in figures] == [(workload, side) for side in sides]
    assert len((out / "runs.csv").read_text().splitlines()) == 1 + len(sides)
    for run in figures:
        assert run["epochs"] == sum(run["epochs_by_arm"].values())
        assert 0 < run["train_s"] < run["trial_s"] < 2 * run["wall_s"], "two workers"
        assert run["peak_mb"] > 200, "TensorFlow alone needs more"
    return rows[1:], figures


def test_ray_tune_trains_the_given_seeds_as_ours_does(tmp_path: Path) -> None:
    rows, figures = compared(tmp_path, "seeds", "ours", "ray_tune_reuse")
    assert [row[:2] for row in rows] == [
        ["seeds", "sweeper"],
        ["seeds", "Ray Tune, `reuse_actors`"],
    ]
    assert [(run["trials"], run["epochs"]) for run in figures] == 2 * [(2, 2)], "two seeds, an epoch each"
    assert [row[3:5] for row in rows] == 2 * [["2", "2"]]
