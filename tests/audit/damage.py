"""A study to be damaged, and ways to do it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sweeper.audit.findings import Found
from sweeper.audit.whole import audit
from sweeper.ledger import parts, records, tables
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Status
from sweeper.storage import place
from sweeper.study.spec import StudySpec, parse
from sweeper.training import checkpoint

STUDY = """\
name: {name}
dataset: {{name: digits}}
arms: {{cnn: {{}}, resnet: {{}}}}
budget: {{trials: 8, max_epochs: 4}}
search: {{sampler: random}}
stopping: {{rule: asha, grace_epochs: 1, reduction_factor: 2}}
"""


def spec(name: str = "made") -> StudySpec:
    return parse(STUDY.format(name=name))


def found(study: StudyFolder) -> dict[Found, int]:
    audited = audit(study)
    return {kind: audited.number(kind) for kind in Found if audited.number(kind)}


def part(study: StudyFolder, condition: Callable[[pa.Table], bool]) -> Path:
    """The first part of which this holds."""
    return next(path for path in sorted(Path(study.ledger_folder).iterdir()) if condition(pq.read_table(path)))


def change(path: Path, column: str, old: Any, new: Any, where: Callable[[dict[str, Any]], bool] = lambda row: True) -> None:
    """Change a value in the first row of a part that has the old one."""
    rows = pq.read_table(path).to_pylist()
    row = next(row for row in rows if row[column] == old and where(row))
    row[column] = new
    path.unlink()
    parts.write(place(path), pa.Table.from_pylist(rows, records.schema()))


def add(study: StudyFolder, *events: Event) -> None:
    """What a driver would add, whether it makes sense or not."""
    with study.drive() as ledger:
        for event in events:
            ledger.append(event)


def trained(study: StudyFolder, trial: str, attempt: int, *epochs: int) -> list[Path]:
    folder = Path(study.folder) / "checkpoints" / trial
    arrays = [np.arange(200.0)]
    for epoch in epochs:
        checkpoint.write(folder, checkpoint.Checkpoint(epoch=epoch, attempt=attempt, rows=(), model=arrays, optimizer=arrays))
    return [Path(checkpoint.path_of(folder, attempt, epoch)) for epoch in epochs]


def trials_that_are(study: StudyFolder, status: Status) -> list[str]:
    return [row["trial"] for row in tables.tables(study.read())[0].to_pylist() if row["status"] == status]
