"""CPU seconds in which a worker loads its framework: `sweeper.training.devices.load` beside a plain ``import keras``, in turns.

    python benchmarks/start.py [--pairs 10]

Each is a process of its own. Prints the medians and the median of the ratios of the pairs.
"""

from __future__ import annotations

import argparse
import datetime
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

WAYS = {
    "plain": "import keras",
    "ours": "from sweeper.training import devices; devices.load()",
}


def seconds(code: str) -> float:
    """CPU seconds of a process that runs this and prints what it took since its own modules were there."""
    timed = f"import time; began = time.process_time(); {code}; print(time.process_time() - began)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout)


def main() -> None:
    """Time pairs, and print what came of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, default=10)
    pairs = [{name: seconds(code) for name, code in WAYS.items()} for _ in range(parser.parse_args().pairs)]
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {len(pairs)} pairs")
    for name in WAYS:
        print(f"{name}: {statistics.median(pair[name] for pair in pairs):.2f} s")
    print(f"ours / plain: {statistics.median(pair['ours'] / pair['plain'] for pair in pairs):.2f}")


if __name__ == "__main__":
    main()
