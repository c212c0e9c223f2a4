"""Run a command and measure it from outside: wall time, and the peak memory of all its processes together."""

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


def watched(command: list[str], log: Path) -> tuple[float, float]:
    """Seconds from the start of a command to its end, and the largest proportional memory (PSS) of its processes, in MB.

    A page that n processes share counts as 1/n for each, so the sum is what the machine gave away. Processes are those that
    descend from the command, Ray's own included, looked at every half second.

    Args:
        command: What to run.
        log: Where its output goes.

    Raises:
        RuntimeError: The command failed; with the end of its output.
    """
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    peak, started = 0.0, time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        while process.poll() is None:
            peak = max(peak, sum(map(_proportional_mb, descendants(process.pid))))
            try:
                process.wait(EVERY_S)
            except subprocess.TimeoutExpired:
                continue
    took = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{log.read_text()[-4000:]}")
    return took, peak


def _proportional_mb(process: int) -> float:
    """The proportional memory of a process in MB; 0 when it has ended."""
    try:
        return float(memory(process)[1]["proportional"])
    except (OSError, IndexError, KeyError):
        return 0.0
