"""Short words for what tests of a ledger write and look at."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind
from sweeper.storage import Place
from tests.buckets import set_modified


def note(text: object) -> Event:
    return Event(kind=Kind.ATTEMPT_ENDED, detail=str(text), time=0.0)


def notes(study: StudyFolder) -> list[str | None]:
    return [event.detail for event in study.read() if event.kind is Kind.ATTEMPT_ENDED]


def without_compactions(study: StudyFolder) -> list[Event]:
    return [event for event in study.read() if event.kind is not Kind.COMPACTED]


def names(study: StudyFolder) -> list[str]:
    return sorted(study.ledger_folder.names())


def table_of(path: Place) -> pa.Table:
    return pq.read_table(io.BytesIO(path.read_bytes()))


def put(path: Place, content: bytes | pa.Table) -> None:
    """Write a file or a part as nothing of ours would."""
    if isinstance(content, pa.Table):
        data = io.BytesIO()
        pq.write_table(content, data)
        content = data.getvalue()
    path.write_whole(content, may_replace=True)


def same(left: Event, right: Event) -> bool:
    """Equality in which NaN equals NaN and nothing else."""
    return repr(left) == repr(right) and dataclasses.asdict(left).keys() == dataclasses.asdict(right).keys()


def failing(code: int) -> Callable[..., Any]:
    def fail(*arguments: Any, **_: Any) -> Any:
        raise OSError(code, os.strerror(code), str(arguments[0]) if arguments else None)

    return fail


def write_owner(study: StudyFolder, age: float, **changes: Any) -> None:
    content = {"host": "h", "pid": os.getpid(), "started": "2020", "token": "t", "machine": "elsewhere", **changes}
    path = study.folder / "owner.json"
    put(path, json.dumps(content).encode())
    set_modified(path, time.time() - age)
