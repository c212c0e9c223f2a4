"""Trials per second that a driver starts, follows and ends, and what it keeps of them in memory; its workers train nothing.

    python benchmarks/trial_rate.py --trials 2000

One study of one arm for each sampler, through the real driver on a local Ray with two workers; each measurement in a process of
its own, in turn; the median by rate counts. The rate is taken from the first epoch row to the last one, so the start of Ray and
of its workers does not count. Memory is the driver's resident memory: once Ray runs, and after some numbers of trials.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from stub_worker import Options, StubWorker, make_importable

SAMPLERS = ("random", "qmc", "tpe")

WORKERS = 2


def resident_mb() -> float:
    """Resident memory of this process, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024 / 1e6


def marks(trials: int) -> list[int]:
    """Numbers of ended trials after which memory is read."""
    return [trials // 4, trials // 2, trials]


def sweep(sampler: str, trials: int, max_epochs: int, folder: Path) -> dict[str, Any]:
    """Trials per second of one sweep, and the driver's memory by the number of trials that ended, in MB."""
    from sweeper.driver import launch
    from sweeper.ledger.ledger import StudyFolder
    from sweeper.ledger.records import Event, Kind
    from sweeper.search.study import Search
    from sweeper.study.spec import StudySpec

    ended, memory_mb = 0, dict[int, float]()

    def watch(search: Search, event: Event | None) -> None:
        nonlocal ended
        if event is not None and event.kind is Kind.SUGGESTED and not memory_mb:
            memory_mb[0] = resident_mb()
        if event is not None and event.status is not None and event.status.is_final:
            ended += 1
            if ended in marks(trials):
                memory_mb[ended] = resident_mb()

    make_importable()
    spec = StudySpec.model_validate(
        {
            "name": "rate",
            "dataset": {"name": "digits"},
            "arms": {"cnn": {"architecture": "cnn", "space": "cnn"}},
            "budget": {"trials": trials, "max_epochs": max_epochs},
            "search": {"sampler": sampler},
            "stopping": {"rule": "none"},
        }
    )
    worker = functools.partial(StubWorker, options=Options(epoch_s=0.0, has_checkpoints=False))
    outcome = launch.launch(spec, folder, num_cpus=WORKERS, worker=worker, watch=watch)
    times = [event.time or 0.0 for event in StudyFolder(outcome.folder).read() if event.kind is Kind.EPOCH]
    assert ended == trials
    return {"rate": trials / (times[-1] - times[0]), "memory_mb": memory_mb}


def measure(sampler: str, trials: int, max_epochs: int) -> dict[str, Any]:
    """One sweep in a process of its own."""
    options = ["--trials", str(trials), "--max-epochs", str(max_epochs)]
    run = subprocess.run([sys.executable, __file__, "--one", sampler, *options], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000, help="trials of a sweep, at least 4")
    parser.add_argument("--max-epochs", type=int, default=1, help="epochs of a trial")
    parser.add_argument("--sampler", choices=SAMPLERS, nargs="+", default=["random", "tpe"])
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each, in turn; the median counts")
    parser.add_argument("--one", choices=SAMPLERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        with tempfile.TemporaryDirectory(prefix="sweeper-rate-") as folder:
            print(json.dumps(sweep(arguments.one, arguments.trials, arguments.max_epochs, Path(folder))))
        return
    runs = [
        {sampler: measure(sampler, arguments.trials, arguments.max_epochs) for sampler in arguments.sampler}
        for _ in range(arguments.repeats)
    ]
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpus = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    print(
        f"{datetime.date.today()}, {len(cpus)} x {cpus[0]}, Ray {metadata.version('ray')}, {WORKERS} workers, "
        f"{arguments.max_epochs} epochs a trial\n"
    )
    after = marks(arguments.trials)
    head = " | ".join(["MB at the start", *(f"after {count:,}" for count in after)])
    print(f"| sampler | trials | trials/s | {head} |\n|{'---|' * (len(after) + 4)}")
    for sampler in arguments.sampler:
        found = sorted((run[sampler] for run in runs), key=lambda run: run["rate"])[len(runs) // 2]
        memory = " | ".join(f"{found['memory_mb'][str(count)]:.0f}" for count in (0, *after))
        print(f"| {sampler} | {arguments.trials:,} | {found['rate']:.1f} | {memory} |")


if __name__ == "__main__":
    main()
