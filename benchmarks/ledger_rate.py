"""Epoch rows per second that become durable: through the store alone, and through a sweep beside what stock Ray Tune reaches.

    python benchmarks/ledger_rate.py --rows 2000

Four measurements, each in a process of its own, one after the other, three times; the median of each counts:

- the store alone: rows appended one at a time, a group commit at least every second and 1,000 rows, parts merged as in a sweep;
- Ray Tune with a trainable that computes nothing, two at once, workers used again, once with its default loggers (CSV, JSON and,
  where it is installed, TensorBoard) and once without;
- our driver on the same Ray Tune, with a worker that computes nothing and writes no checkpoint.

The rate of a sweep is taken from the first result that reaches the driver to the last one (ours: to the commit of the last one),
so the start of Ray and of its workers does not count.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stub_worker import Options, StubWorker, make_importable, metrics

EPOCHS = 100
"""Results of one trial."""

STORE_ROWS = 50_000

DURABLE = {
    "store": "every row, by a commit (fsync of file and folder) within 1 s or 1,000 rows",
    "stock": "nothing by fsync; each trial's result.json and progress.csv are flushed row by row",
    "bare": "nothing; results stay in the driver, its own state is written every 10 s or more",
    "ours": "every row, by a commit (fsync of file and folder) within 1 s or 1,000 rows",
}

NAMES = {
    "store": "the store alone",
    "stock": "stock Ray Tune, default loggers",
    "bare": "stock Ray Tune, no loggers",
    "ours": "our driver",
}


def store(rows: int, folder: Path) -> tuple[int, float]:
    """Rows appended as fast as they can be: how many, and seconds."""
    from sweeper.driver.session import COMPACT_AFTER
    from sweeper.ledger.ledger import StudyFolder
    from sweeper.ledger.records import Event, Kind, Reason, Stage, Status

    known = StudyFolder(folder / "rate")
    known.create("rate")
    commits = 0
    common = Event(
        kind=Kind.EPOCH, study_id="0" * 16, arm="one", architecture="cnn", stage=Stage.SEARCH, seed=1, attempt=1,
        status=Status.RUNNING, device="CPU, 1 thread", worker="here:1", is_program_reused=True, commit="0" * 40, parameters=12345,
        macs=678900, train_s=2.5, evaluate_s=0.5, checkpoint_s=0.1, wait_s=0.01, peak_memory_mb=900.0,
    )  # fmt: skip
    with known.drive() as ledger:
        started = time.perf_counter()
        for row in range(rows):
            number, epoch = divmod(row, EPOCHS)
            end = {"status": Status.COMPLETED, "reason": Reason.MAX_EPOCHS} if epoch == EPOCHS - 1 else {}
            name = f"one-{number:05d}"
            values = {"train_loss": 1 / (row + 1), "train_accuracy": 0.5, "val_loss": 2 / (row + 1), "val_accuracy": 0.5}
            ledger.append(common.replace(trial=name, number=number, epoch=epoch + 1, **values, **end))
            commits += ledger.commit_if_due()
            if commits >= COMPACT_AFTER:
                commits = 0
                ledger.compact()
        ledger.commit()
        took = time.perf_counter() - started
    return rows, took


def stock(rows: int, folder: Path) -> tuple[int, float]:
    """Ray Tune as it is: results that reached its driver, and seconds from the first to the last."""
    import logging

    import ray
    from ray import tune

    class Idle(tune.Trainable):  # type: ignore[misc]
        def step(self) -> dict[str, Any]:
            return metrics({"number": 1}, 7, self.iteration + 1)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

    times: list[float] = []

    class Clock(tune.Callback):  # type: ignore[misc]
        def on_trial_result(self, *of: Any, **named: Any) -> None:
            times.append(time.time())

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    results = tune.Tuner(
        tune.with_resources(Idle, {"cpu": 1}),
        tune_config=tune.TuneConfig(num_samples=rows // EPOCHS, reuse_actors=True),
        run_config=tune.RunConfig(
            storage_path=str(folder),
            stop={"training_iteration": EPOCHS},
            callbacks=[Clock()],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    ).fit()
    assert results.num_errors == 0
    ray.shutdown()
    return len(times), times[-1] - times[0]


def ours(rows: int, folder: Path) -> tuple[int, float]:
    """Our driver with the stub: epoch rows in the ledger, and seconds from the first one to the commit of the last."""
    from sweeper.driver import launch
    from sweeper.ledger.ledger import Ledger, StudyFolder
    from sweeper.ledger.records import Kind
    from sweeper.study.spec import StudySpec

    commit, durable = Ledger.commit, [0.0]

    def commit_and_tell(ledger: Ledger) -> None:
        has_rows = any(row.kind is Kind.EPOCH for row in ledger._buffer)
        commit(ledger)
        if has_rows:
            durable[0] = time.time()

    Ledger.commit = commit_and_tell  # type: ignore[method-assign]
    make_importable()
    spec = StudySpec.model_validate(
        {
            "name": "rate",
            "dataset": {"name": "digits"},
            "arms": {"cnn": {"architecture": "cnn", "space": "cnn"}},
            "budget": {"trials": rows // EPOCHS, "max_epochs": EPOCHS},
            "search": {"sampler": "random"},
            "stopping": {"rule": "none"},
        }
    )
    worker = functools.partial(StubWorker, options=Options(epoch_s=0.0, has_checkpoints=False))
    outcome = launch.launch(spec, folder, num_cpus=2, worker=worker)
    times = [event.time or 0.0 for event in StudyFolder(outcome.folder).read() if event.kind is Kind.EPOCH]
    return len(times), durable[0] - times[0]


def measure(kind: str, rows: int) -> dict[str, float]:
    """One measurement in a process of its own."""
    environment = (
        os.environ | {"RAY_AIR_NEW_OUTPUT": "0"} | ({"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"} if kind == "bare" else {})
    )
    command = [sys.executable, __file__, "--one", kind, "--rows", str(STORE_ROWS if kind == "store" else rows)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure all four and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000, help=f"results of each sweep, {EPOCHS} a trial")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each, in turn; the median counts")
    parser.add_argument("--one", choices=tuple(NAMES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        with tempfile.TemporaryDirectory(prefix="sweeper-rate-") as folder:
            done = {"store": store, "stock": stock, "bare": stock, "ours": ours}[arguments.one](arguments.rows, Path(folder))
        print(json.dumps({"rows": done[0], "seconds": done[1]}))
        return
    runs = [{kind: measure(kind, arguments.rows) for kind in NAMES} for _ in range(arguments.repeats)]
    found = {kind: sorted((run[kind] for run in runs), key=lambda run: run["seconds"])[len(runs) // 2] for kind in NAMES}
    rates = {kind: values["rows"] / values["seconds"] for kind, values in found.items()}
    board = "with" if find_spec("tensorboardX") else "without"
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpus = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    print(f"{datetime.date.today()}, {len(cpus)} x {cpus[0]}, Ray {metadata.version('ray')}, {board} TensorBoard\n")
    print("| what | rows | seconds | rows/s | times stock | what is durable, and when |\n|---|---|---|---|---|---|")
    for kind, values in found.items():
        numbers = f"{values['rows']:,.0f} | {values['seconds']:.1f} | {rates[kind]:,.0f} | {rates[kind] / rates['stock']:.1f}"
        print(f"| {NAMES[kind]} | {numbers} | {DURABLE[kind]} |")


if __name__ == "__main__":
    main()
