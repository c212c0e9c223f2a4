"""A command on a cluster that may grow: it runs whatever the cluster says, and its end is that of the whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster import _grow

WAITING = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(7))
pathlib.Path("there").touch()
time.sleep(60)
"""


def test_workers_are_asked_for_while_a_command_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[int, int, int, bool]] = []
    ran = tmp_path / "ran"

    def ask(workers: int, cpus: int, gpus: int) -> None:
        asked.append((workers, cpus, gpus, ran.exists()))
        raise ConnectionError("no cluster")

    monkeypatch.setattr(_grow, "ask", ask)
    command = [sys.executable, "-c", f"open({str(ran)!r}, 'w'); raise SystemExit(3)"]
    monkeypatch.setattr(sys, "argv", ["_grow", "--workers", "8", "--cpus", "4", "--gpus", "1", *command])
    monkeypatch.setattr(signal, "signal", lambda number, what: None)  # it would set those of this process
    assert _grow.main() == 3
    assert asked == [(8, 4, 1, False), (0, 4, 1, True)]
    assert "cannot be asked for 8 workers: no cluster" in capsys.readouterr().err


def test_a_signal_ends_the_command_and_not_what_waits_for_it(tmp_path: Path) -> None:
    code = f"import sys; from cluster import _grow; sys.exit(_grow.run([sys.executable, '-c', {WAITING!r}]))"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment, start_new_session=True)
    until = time.monotonic() + 60
    while not (tmp_path / "there").exists() and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(30) == 7
