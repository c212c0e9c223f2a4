"""A driver to be killed: ``sweeper launch``, and a witness outside of the study is told what was acknowledged.

    python ray_driver.py --outside DIR --run N [--trainer stub|keras] [--epoch-s S] STUDY.yaml [options of sweeper launch]

Into the folder ``--outside`` go ``rows-<run>.jsonl``, every row of a commit once it returned; ``phases-<run>.txt``, how far the
driver came and when; and ``epochs.jsonl``, every epoch a worker trained. All are only ever appended to. The exit code is that of
``sweeper launch``.
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

from sweeper import cli
from sweeper.driver import launch
from sweeper.ledger import tables
from sweeper.ledger.ledger import Ledger
from sweeper.ledger.records import Event, Kind

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


def main() -> None:
    """Run the command line; ends the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outside", type=Path, required=True)
    parser.add_argument("--run", type=int, required=True)
    parser.add_argument("--trainer", choices=("stub", "keras"), default="stub")
    parser.add_argument("--epoch-s", type=float, default=Options.epoch_s, help="that the stub takes for an epoch")
    arguments, rest = parser.parse_known_args()
    phase = functools.partial(_phase, Appended(arguments.outside / f"phases-{arguments.run}.txt"))
    phase("started")
    make_importable()
    _tell_acknowledged(Appended(arguments.outside / f"rows-{arguments.run}.jsonl"), phase)
    options = Options(run=arguments.run, log=arguments.outside / "epochs.jsonl", epoch_s=arguments.epoch_s)
    worker: Callable[..., Any] = StubWorker if arguments.trainer == "stub" else LoggedWorker
    launch.launch = functools.partial(launch.launch, worker=functools.partial(worker, options=options))
    sys.argv = ["sweeper", "launch", *rest]
    cli.main()


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
    waiting = {Kind.SUGGESTED: "dispatched", Kind.EPOCH: "training"}

    def commit_and_tell(ledger: Ledger) -> None:
        rows = tuple(ledger._buffer)
        commit(ledger)
        file.write("".join(f"{json.dumps(told(row))}\n" for row in rows))
        for kind in waiting.keys() & {row.kind for row in rows}:
            phase(waiting.pop(kind))

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
    main()
