"""A driver to be killed: launches a study and tells a witness outside of it what was acknowledged.

    python ray_driver.py STUDY.yaml --results DIR --outside DIR --run N [--trainer stub|keras] [--max-concurrent N]

Into the folder ``--outside`` go ``rows-<run>.jsonl``, every row of a commit once it returned; ``phases-<run>.txt``, how far the
driver came and when; and ``epochs.jsonl``, every epoch a worker trained. All are only ever appended to. The exit code is that of
``sweeper launch``: 0 done, 2 cannot run, 130 interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from stub_worker import LoggedWorker, Options, StubWorker, make_importable

from sweeper import runner, tables
from sweeper.errors import SweeperError
from sweeper.records import Event
from sweeper.spec import parse
from sweeper.store import Ledger

TOLD = (
    "kind",
    "trial",
    "attempt",
    "epoch",
    "status",
    "reason",
    "configuration",
    "seed",
    "train_loss",
    "val_loss",
    "val_accuracy",
)
"""Columns of a row that the witness keeps, beside its key."""


def main() -> int:
    """Launch the study; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--outside", type=Path, required=True)
    parser.add_argument("--run", type=int, required=True)
    parser.add_argument("--trainer", choices=("stub", "keras"), default="stub")
    parser.add_argument("--max-concurrent", type=int)
    arguments = parser.parse_args()
    phase = functools.partial(_phase, Appended(arguments.outside / f"phases-{arguments.run}.txt"))
    phase("started")
    make_importable()
    _tell_acknowledged(Appended(arguments.outside / f"rows-{arguments.run}.jsonl"), phase)
    options = Options(run=arguments.run, log=arguments.outside / "epochs.jsonl")
    worker: Callable[..., Any] = StubWorker if arguments.trainer == "stub" else LoggedWorker
    try:
        outcome = runner.launch(
            parse(arguments.study.read_text(encoding="utf-8")),
            arguments.results,
            num_cpus=2,
            max_concurrent=arguments.max_concurrent,
            worker=functools.partial(worker, options=options),
        )
    except SweeperError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    phase("ended")
    return 130 if outcome.is_interrupted else 0


class Appended:
    """A file that is only appended to; what was written survives the process and the machine."""

    def __init__(self, path: Path):
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, text: str) -> None:
        """Append, and wait until it is durable."""
        os.write(self._descriptor, text.encode())
        os.fsync(self._descriptor)


def _phase(file: Appended, name: str) -> None:
    file.write(f"{time.time():.3f} {name}\n")


def _tell_acknowledged(file: Appended, phase: Callable[[str], None]) -> None:
    """Wrap the ledger's commit, and the last step of a sweep, for the witness."""
    commit, write_tables = Ledger.commit, tables.write_tables
    is_running = False

    def commit_and_tell(ledger: Ledger) -> None:
        nonlocal is_running
        rows = tuple(ledger._buffer)
        commit(ledger)
        file.write("".join(f"{json.dumps(told(row))}\n" for row in rows))
        if not is_running and any(row.trial for row in rows):
            is_running = True
            phase("running")

    def tell_and_write(*of: Any) -> Any:
        phase("closing")
        return write_tables(*of)

    Ledger.commit = commit_and_tell  # type: ignore[method-assign]
    tables.write_tables = tell_and_write


def told(event: Event) -> dict[str, Any]:
    """What the witness keeps of a row; bit for bit, since JSON gives every float back."""
    row = dataclasses.asdict(event)
    return {"key": list(event.key), **{name: row[name] for name in TOLD}}


if __name__ == "__main__":
    sys.exit(main())
