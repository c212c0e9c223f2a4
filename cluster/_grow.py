"""Runs a command on a Ray cluster that may grow: asks Ray's autoscaler for workers before it, and for none any more after it."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys


def ask(workers: int, cpus: int, gpus: int) -> None:
    """Ask for so many workers in all, those included that are there. The autoscaler adds them as it can get them, also anew.

    Args:
        workers: How many; 0 takes back what was asked before.
        cpus: CPUs of each.
        gpus: GPUs of each.
    """
    import ray
    from ray.autoscaler.sdk import request_resources

    ray.init(address="auto", log_to_driver=False)
    try:
        request_resources(bundles=[{"CPU": cpus} | ({"GPU": gpus} if gpus else {})] * workers)
    finally:
        ray.shutdown()


def run(command: list[str]) -> int:
    """Exit code of a command. Whoever ends this process, a terminal or Ray, sends the same signal to the command; it decides."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)  # which the command does not inherit, as it would if they were ignored
    return subprocess.Popen(command).wait()


def main() -> int:
    """Run the command that follows the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("workers", "cpus", "gpus"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    _try_to_ask(options.workers, options.cpus, options.gpus)
    code = run(options.command)
    _try_to_ask(0, options.cpus, options.gpus)
    return code if code >= 0 else 128 - code


def _try_to_ask(workers: int, cpus: int, gpus: int) -> None:
    """As `ask`; the command matters more than the size of the cluster."""
    try:
        ask(workers, cpus, gpus)
    except Exception as error:
        print(f"the cluster cannot be asked for {workers} workers: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
