"""How long a long study takes to go on after its driver was killed: from the start of the process to the next trial.

    python benchmarks/resume.py --trials 100 1000 10000

writes a study with so many finished trials through the real store (two arms of 16 knobs, tpe, early stopping, at most 9 epochs;
some fail, some diverge), with two that were running when the driver died and four not begun, and the last commits not merged
yet. Then `sweeper.driver.launch` goes on with it, in a process of its own, on a private Ray, with a worker that does not train.

``beyond Ray`` is the time from the start of the process to the commit that dispatches the first trial, less that of ``ray.init``
and of importing it. ``processor time`` is what the driver itself computed until then, Ray's start included: it says more on a
machine that does other things too. Then come parts of it; the first question to tpe, which waits until the interrupted trials are
on their way; the time of the last step, which writes the tables; and the driver's peak memory.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import functools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from stub_worker import Options, StubWorker, make_importable, metrics

from sweeper.ledger.ledger import Ledger, StudyFolder
from sweeper.ledger.records import Event, Kind, Stage
from sweeper.search.sampler import RandomSampler
from sweeper.search.study import Search
from sweeper.streams import seed_of
from sweeper.study.spec import StudySpec

INTERRUPTED = 2
NEW = 4

SINGLE_COMMITS = 500
"""Commits at the end that no compaction has merged: half of what the driver lets come together."""


def study(trials: int) -> StudySpec:
    """The study: two arms of one space, so that both are asked."""
    arm = {"architecture": "cnn", "space": "cnn"}
    return StudySpec.model_validate(
        {
            "name": f"resume-{trials}",
            "dataset": {"name": "digits"},
            "arms": {"one": arm, "two": arm},
            "budget": {"trials": trials + INTERRUPTED + NEW, "max_epochs": 9},
            "search": {"sampler": "tpe"},
            "stopping": {"rule": "asha", "grace_epochs": 1, "reduction_factor": 3},
        }
    )


def generate(spec: StudySpec, results: Path, trials: int) -> StudyFolder:
    """Write the study as a driver would have that was killed after so many trials; their configurations are drawn at random."""
    store = StudyFolder(results / spec.name)
    results.mkdir(parents=True, exist_ok=True)
    store.create(spec.to_yaml())
    search = Search(spec)
    draw = RandomSampler(search.spaces["one"], {})  # tpe would take an hour
    search._proposals.configuration = lambda spec, arm, number, own: draw.suggest((), number=number, seed=seed_of(arm, number))  # type: ignore[method-assign]
    facts = {"study_id": spec.study_id, "dataset": "digits", "commit": "0" * 40}
    ledger = Ledger.open(store, {"host": "here"}, spec.study_id)
    ledger.append(Event(kind=Kind.CREATED, study_id=spec.study_id, detail=spec.canonical()))

    def record(event: Event) -> None:
        search.apply(event)
        ledger.append(event.replace(**facts))

    for number in range(trials + INTERRUPTED):
        suggested = search.propose()
        assert suggested is not None
        record(suggested)
        is_single = number > trials - SINGLE_COMMITS // 5
        _train(search, record, suggested, 9 if number < trials else 0, ledger.commit if is_single else lambda: None)
        if ledger.num_buffered >= 1000:
            ledger.commit()
        if is_single:
            ledger.commit()
        elif number + 1 > trials - SINGLE_COMMITS // 5:
            ledger.compact()
    ledger.close()
    return store


def _train(search: Search, record: Callable[[Event], None], suggested: Event, epochs: int, commit: Callable[[], None]) -> None:
    trial = search.trials[suggested.trial or ""]
    kept = {name: getattr(suggested, name) for name in ("trial", "arm", "architecture", "number", "seed", "attempt")}
    common = Event(kind=Kind.EPOCH, stage=Stage.SEARCH, **kept)
    for epoch in range(1, epochs + 1):
        try:
            values = metrics(trial.configuration, trial.seed, epoch)
        except RuntimeError as error:
            record(search.judge(common.replace(kind=Kind.ATTEMPT_ENDED, reason="exception", detail=str(error))))
            return
        costs = {"train_s": 2.5, "evaluate_s": 0.5, "checkpoint_s": 0.1, "wait_s": 0.01, "peak_memory_mb": 900.0}
        facts = {"parameters": 12345, "macs": 678900, "device": "CPU, 1 thread", "worker": "here:1", "is_program_reused": True}
        record(search.judge(common.replace(epoch=epoch, **values, **costs, **facts)))
        commit()
        if trial.status.is_final:
            return


def measure(results: Path, trials: int) -> dict[str, Any]:
    """What one driver takes, told by itself."""
    command = [sys.executable, __file__, "--drive", str(results), "--trials", str(trials)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


class Clock:
    """When things first happened, and how long calls took, in seconds."""

    def __init__(self) -> None:
        self.started = _process_started()
        self.spent: dict[str, float] = {}

    def reached(self, what: str) -> None:
        """Note that this point was reached, once."""
        if what not in self.spent:
            self.spent[what] = time.time() - self.started
            self.spent["processor"] = time.process_time()

    def timed(self, name: str, owner: Any, method: str) -> None:
        """Add up how long a function takes until the first trial is dispatched, and how long its first call took."""
        original = getattr(owner, method)

        @functools.wraps(original)
        def call(*of: Any, **named: Any) -> Any:
            began = time.time()
            try:
                return original(*of, **named)
            finally:
                took = time.time() - began
                if "dispatched" not in self.spent:
                    self.spent[name] = self.spent.get(name, 0.0) + took
                self.spent.setdefault(f"first {name}", took)

        setattr(owner, method, call)


def drive(results: Path, trials: int) -> None:
    """Go on with the study to its end, and print what was measured."""
    clock = Clock()
    from sweeper.driver import launch
    from sweeper.ledger import tables
    from sweeper.search.sampler import TpeSampler

    make_importable()
    commit = Ledger.commit

    def commit_and_tell(ledger: Ledger) -> None:
        rows = tuple(ledger._buffer)
        commit(ledger)
        if any(row.kind is Kind.SUGGESTED for row in rows):
            clock.reached("dispatched")

    Ledger.commit = commit_and_tell  # type: ignore[method-assign]
    began = time.time()
    import ray

    clock.spent["ray"] = time.time() - began
    clock.timed("ray", ray, "init")
    clock.timed("read", StudyFolder, "read")
    clock.timed("fold", Search, "fold")
    clock.timed("ask", TpeSampler, "suggest")
    clock.timed("tables", tables, "write_tables")
    options = Options(epoch_s=0.0)
    launch.launch(study(trials), results, num_cpus=2, worker=functools.partial(StubWorker, options=options))
    clock.spent["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(clock.spent))


def _process_started() -> float:
    """When this process began, seconds since 1970."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    age = float(Path("/proc/uptime").read_text().split()[0]) - ticks / 100
    return time.time() - age


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the table: its title and how it follows from what was measured."""

    title: str
    value: Callable[[dict[str, float]], float]


COLUMNS = (
    Column(title="to the first trial, s", value=lambda spent: spent["dispatched"]),
    Column(title="of it Ray, s", value=lambda spent: spent["ray"]),
    Column(title="**beyond Ray, s**", value=lambda spent: spent["dispatched"] - spent["ray"]),
    Column(title="processor time, s", value=lambda spent: spent["processor"]),
    Column(title="of it reading, s", value=lambda spent: spent["read"]),
    Column(title="of it folding, s", value=lambda spent: spent["fold"]),
    Column(title="first question to tpe, s", value=lambda spent: spent["first ask"]),
    Column(title="writing tables, s", value=lambda spent: spent["first tables"]),
    Column(title="driver's peak memory, MB", value=lambda spent: spent["memory"]),
)


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10000], help="finished trials of each study")
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive:
        drive(arguments.drive, *arguments.trials)
        return
    print(f"{datetime.date.today()}, {cpu()}, Ray {metadata.version('ray')}, Optuna {metadata.version('optuna')}\n")
    print("| finished trials | rows | parts | " + " | ".join(column.title for column in COLUMNS) + " |")
    print("|---" * (3 + len(COLUMNS)) + "|")
    with tempfile.TemporaryDirectory(prefix="sweeper-resume-") as folder:
        for trials in arguments.trials:
            store = generate(study(trials), Path(folder), trials)
            rows, parts = len(store.read()), len(list((Path(folder) / f"resume-{trials}" / "ledger").glob("*.parquet")))
            spent = measure(Path(folder), trials)
            values = " | ".join(f"{column.value(spent):.2f}" for column in COLUMNS)
            print(f"| {trials:,} | {rows:,} | {parts:,} | {values} |", flush=True)


def cpu() -> str:
    """The machine's processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else "unknown CPU"


if __name__ == "__main__":
    main()
