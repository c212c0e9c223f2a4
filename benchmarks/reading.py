"""CPU seconds of the commands that read a large stored study: from its current tables, and from its ledger.

    python benchmarks/reading.py --trials 100000 --epochs 10

A study of six arms is stored whose trials all ran to their end, the best of each arm confirmed on five seeds, in one part of a
ledger, as a driver leaves it. Each command then runs in processes of its own, in turn with tables that are current and with
tables that say nothing of the ledger. ``imports`` is the same command on a study of twelve trials: what a command costs
whatever the size of a study. Seconds are of the processes' CPU time, which other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from report import ARMS, made

from sweeper.driver.opened import open_study
from sweeper.ledger import parts, records, stamp
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import EPOCH_COLUMNS, Event, Kind
from sweeper.study.spec import StudySpec

COMMANDS = ("pareto", "recommend", "report", "status")

SUGGESTED = ("arm", "architecture", "number", "stage", "parent", "seed", "configuration", "max_epochs")
"""What the row says that suggests a trial."""

ON_EPOCHS = ("parameters", "macs", "dataset", "versions", "commit", "test_accuracy")
"""What epoch rows say beside the columns of the table of epochs."""


def spec(name: str, num_trials: int, num_epochs: int) -> StudySpec:
    """The study that is stored."""
    return StudySpec.model_validate(
        {
            "name": name,
            "dataset": {"name": "digits"},
            "arms": {arm: {"architecture": arm, "space": arm} for arm in ARMS},
            "objectives": ["max val_accuracy", "min parameters"],
            "budget": {"trials": num_trials, "max_epochs": num_epochs},
            "search": {"sampler": "random"},
            "stopping": {"rule": "none"},
        }
    )


def store(results: Path, name: str, num_trials: int, num_epochs: int) -> StudyFolder:
    """A finished study with made-up results, its ledger merged into one part."""
    study, files, found = spec(name, num_trials, num_epochs), StudyFolder(results / name), made(num_trials, num_epochs)
    results.mkdir(parents=True, exist_ok=True)
    files.create(study.to_yaml())
    with files.drive({"workers": 2, "ray_s": 3.0}, study_id=study.study_id) as ledger:
        ledger.append(Event(kind=Kind.CREATED, study_id=study.study_id, detail=study.canonical()))
    trials = found.trials
    first = trials.reindex(columns=["trial", *SUGGESTED]).assign(kind="suggested", status="running", attempt=1, order=0)
    more = trials.set_index("trial")[list(ON_EPOCHS)]
    epochs = found.epochs[list(EPOCH_COLUMNS)].join(more, on="trial").assign(kind="epoch")
    is_last = epochs["epoch"] == num_epochs
    epochs["status"] = np.where(is_last, "completed", "running")
    epochs["reason"] = pd.Series("max_epochs", epochs.index).where(is_last)
    epochs["test_accuracy"] = epochs["test_accuracy"].where(is_last)
    epochs = epochs.assign(order=epochs["epoch"], worker="here:1", is_program_reused=True, device="CPU, 1 thread")
    places = {trial: place for place, trial in enumerate(trials["trial"])}
    rows = pd.concat([first, epochs], ignore_index=True).assign(place=lambda frame: frame["trial"].map(places))
    rows = rows.sort_values(["place", "order"])
    numbers = np.arange(len(rows))
    rows = rows.assign(
        study_id=study.study_id, generation=1, sequence=3 + numbers // 1000, position=numbers % 1000, time=1e9 + numbers
    ).reindex(columns=records.schema().names)
    table = pa.Table.from_pandas(rows, schema=records.schema(), preserve_index=False)
    there = parts.names(files.ledger_folder)
    merged = parts.merge([*parts.read_all(files.ledger_folder).values(), table.replace_schema_metadata(None)])
    last = parts.from_events(
        [Event(kind=Kind.COMPACTED, time=2e9, generation=1, sequence=4 + int(numbers[-1]) // 1000, position=0)]
    )
    merged = parts.merge([merged.replace_schema_metadata(None), last])
    parts.write(files.ledger_folder / parts.name_of(1, 4 + int(numbers[-1]) // 1000), merged)
    parts.remove(files.ledger_folder, there)
    return files


def cpu_of(command: list[str]) -> tuple[float, float]:
    """CPU seconds and seconds on the clock of one process."""
    before, begun = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return used, time.perf_counter() - begun


def taken(results: Path, study: str, command: str, repeats: int) -> dict[str, float]:
    """Medians over some processes of one command."""
    line = [sys.executable, "-W", "ignore", "-m", "sweeper", command, study, "--results", str(results)]
    times = [cpu_of(line) for _ in range(repeats)]
    return {
        name: round(statistics.median(values), 2)
        for name, values in zip(("cpu", "seconds"), zip(*times, strict=True), strict=True)
    }


def main() -> None:
    """Make the studies, time every command three ways, print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=COMMANDS)
    parser.add_argument("--folder", type=Path, help="Keep the studies here; a temporary folder otherwise.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        results = asked.folder or Path(temporary)
        for name, sizes in (("small", (12, 2)), ("large", (asked.trials, asked.epochs))):
            if not (results / name).exists():
                open_study(store(results, name, *sizes)).write_tables()
        stamped = results / "large" / "tables" / stamp.NAME
        for command in asked.commands:
            taking = {"imports": taken(results, "small", command, asked.repeats)}
            taking["tables"] = taken(results, "large", command, asked.repeats)
            kept = stamped.read_bytes()
            stamped.unlink()
            taking["ledger"] = taken(results, "large", command, asked.repeats)
            stamped.write_bytes(kept)
            print(json.dumps({"command": command, **taking}), flush=True)


if __name__ == "__main__":
    main()
