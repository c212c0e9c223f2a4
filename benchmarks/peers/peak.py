"""Run a command and measure it from outside: wall time, and processor time and peak memory of all its processes together."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from memory import descendants, memory  # what benchmarks/memory.py measures a sweep with

EVERY_S = 0.5

ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "RAY_USAGE_STATS_ENABLED": "0",
    "CUDA_VISIBLE_DEVICES": "",
    # Ray gives its workers a niceness of 15; beside other work on the machine they would wait where Optuna's processes would not.
    "RAY_worker_niceness": "0",
}
"""What every side is run with."""


def watched(command: list[str], log: Path) -> dict[str, float]:
    """What a command takes: ``wall_s``, ``cpu_s``, and ``peak_mb``, the largest sum of proportional memory (PSS).

    A page that n processes share counts as 1/n for each, so the sum is what the machine gave away. Processes are those that
    descend from the command, Ray's own included, looked at every half second: what a process computes after the last look is
    missing from ``cpu_s``.

    Args:
        command: What to run.
        log: Where its output goes.

    Raises:
        RuntimeError: The command failed; with the end of its output.
    """
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    peak_mb, cpu_s, started = 0.0, dict[int, float](), time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        while process.poll() is None:
            seen = {number: found for number in descendants(process.pid) if (found := _look(number))}
            cpu_s |= {number: seconds for number, (seconds, _) in seen.items()}
            peak_mb = max(peak_mb, sum(megabytes for _, megabytes in seen.values()))
            try:
                process.wait(EVERY_S)
            except subprocess.TimeoutExpired:
                continue
    took = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{log.read_text()[-4000:]}")
    return {"wall_s": took, "cpu_s": sum(cpu_s.values()), "peak_mb": peak_mb}


def _look(process: int) -> tuple[float, float] | None:
    """Processor time of a process so far, in seconds, and its proportional memory in MB; None when it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), float(memory(process)[1]["proportional"])
    except (OSError, IndexError, KeyError):
        return None
