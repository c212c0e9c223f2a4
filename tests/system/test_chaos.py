"""A sweep on three hosts in trouble loses and repeats nothing; `benchmarks/chaos` makes it, and measures what it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HARNESS = Path(__file__).parents[2] / "benchmarks" / "chaos" / "run.py"


def test_nodes_die_and_are_cut_off_and_the_driver_is_killed_and_preempted(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    kept = tmp_path / "kept"
    kept.mkdir()
    command = [sys.executable, str(HARNESS), "--short", "--json", str(file), "--keep", str(kept)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(file.read_text())["trouble"]
    assert found["done"] == {"node": 3, "cut": 1, "mend": 1, "driver": 2, "preemption": 1}
    assert found["acknowledged"] > 300, "eighteen trials of twenty epochs, some of which fail early"
    assert found["lost"] == found["repeated"] == found["again"] == found["unfinished"] == 0 and found["faults"] == []
