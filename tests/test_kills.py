"""The harness that kills drivers, on small studies; and whether it finds faults that are planted in the driver.

It forks, which a process with a framework in it must not do: so it runs in a process of its own, as its users run it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, and looks things up in /proc"),
]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "kills" / "store.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})


def figures(path: Path, *arguments: object) -> list[dict[str, Any]]:
    done = run("--small", "--json", path, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return list(json.loads(path.read_text()))


def test_nothing_is_lost(tmp_path: Path) -> None:
    """Any of the faults at every 30th call, and fourteen kills at random; the whole of it is the command's business."""
    found = figures(tmp_path / "figures.json", "--every", 30, "--kills", 14, "--seed", 3)
    assert sum(each["kills"] for each in found) > 18
    assert sum(each["acknowledged"] for each in found) > 200
    assert sum(each["redone"] for each in found) > 0, "no kill cost anything, so none can have struck a worker"


def test_nothing_is_lost_whatever_strikes_at_a_call_of_a_small_study(tmp_path: Path) -> None:
    """At every tenth call; at each of them it is the command's business."""
    found = figures(tmp_path / "figures.json", "--kills", 0, "--every", 10)
    assert found[0]["studies"] > 20


def test_a_seed_gives_the_same_kills(tmp_path: Path) -> None:
    first, second = (figures(tmp_path / name, "--every", 80, "--kills", 0, "--seed", 5)[0] for name in ("first", "second"))
    assert first | {"seconds": 0} == second | {"seconds": 0}


def test_nothing_is_lost_of_trials_that_wait_and_are_promoted(tmp_path: Path) -> None:
    found = figures(tmp_path / "figures.json", "--every", 30, "--kills", 7, "--rule", "promote")
    assert sum(each["kills"] for each in found) > 12
    assert sum(each["acknowledged"] for each in found) > 200


def test_planted_faults_are_found() -> None:
    done = run("--plants")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": found") > 10
