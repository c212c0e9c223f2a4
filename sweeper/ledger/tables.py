"""The two result tables, derived from the ledger: what pandas, DuckDB and notebooks read.

They are pure functions of the events, so they may be deleted and written again at any time. The columns and what they
mean are in `sweeper.ledger.records`: one row per trial, and one row per (trial, epoch), the first one recorded, because the
search acted on that one.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from sweeper.errors import InputError, ResultsFolderError, did_you_mean
from sweeper.ledger import records
from sweeper.ledger.records import BEST_COLUMNS, EPOCH_COLUMNS, METRICS, TRIAL_COLUMNS, Event, Kind, Status
from sweeper.storage import Place, Where, explain, place

FORMATS = ("csv", "parquet")
"""What `export` can write."""

RUN_SCHEMA = pa.schema(
    [
        ("generation", pa.int64()),
        ("started", pa.float64()),
        ("ended", pa.float64()),
        ("workers", pa.int64()),
        ("ray_s", pa.float64()),
    ]
)
"""Of `runs`."""

_FACTS = (
    "study_id",
    "arm",
    "architecture",
    "number",
    "stage",
    "parent",
    "seed",
    "varies",
    "configuration",
    "max_epochs",
)
"""Known when a trial is suggested."""

_LATENCIES = ("latency_ms", "latency_ms_iqr", "latency_ms_batch32", "latency_ms_batch32_iqr")
_LATEST = ("parameters", "macs", *_LATENCIES, "dataset", "device", "versions", "commit")
"""Measured once in a while; the newest value counts."""

_LAST_EPOCH = ("epoch", *METRICS, "test_loss", "test_accuracy", "learning_rate")
_SUMS = ("import_s", "build_s", "train_s", "evaluate_s", "checkpoint_s", "wait_s")


@dataclasses.dataclass(kw_only=True)
class _Trial:
    """What is known of one trial while the events are walked through."""

    row: dict[str, Any]
    last: int = 0
    epochs: dict[int, Event] = dataclasses.field(default_factory=dict)


def tables(events: Iterable[Event]) -> tuple[pa.Table, pa.Table]:
    """The table of trials and the table of epochs.

    Trials come in order of their first event, epochs by trial and number. Repeated epochs (of a retry that began before
    the point where its predecessor was lost) count in a trial's times and memory, because they were paid for, and
    nowhere else. A trial that was running when a later driver started, and has no event since, is interrupted.

    Args:
        events: In order of their keys, as `sweeper.ledger.ledger.StudyFolder.read` gives them.
    """
    trials: dict[str, _Trial] = {}
    newest_start = -1
    for index, event in enumerate(events):
        if event.kind is Kind.DRIVER_STARTED:
            newest_start = index
        if event.trial is None:
            continue
        trial = trials.get(event.trial)
        if trial is None:
            trial = trials[event.trial] = _Trial(row={"trial": event.trial})
        _apply(trial, event, index)
    for trial in trials.values():
        _finish(trial, newest_start)
    rows = [trial.row for trial in trials.values()]
    epochs = [trial.epochs[epoch] for trial in trials.values() for epoch in sorted(trial.epochs)]
    return (
        _typed({name: [row.get(name) for row in rows] for name in (*TRIAL_COLUMNS, *BEST_COLUMNS)}),
        _typed({name: [getattr(event, name) for event in epochs] for name in EPOCH_COLUMNS}),
    )


def runs(events: Iterable[Event]) -> pa.Table:
    """One row per start of a driver: how long it worked, with how many workers.

    Args:
        events: As for `tables`.

    Returns:
        Columns ``generation``; ``started`` and ``ended``, seconds since 1970: when Ray was about to start, and the last event;
        ``workers``, trials that could run at once; ``ray_s``, seconds until Ray ran, in which the data are read as well. The last
        two are empty for drivers that did not record them, and ``started`` is then when Ray ran.
    """
    rows: dict[int, dict[str, Any]] = {}
    for event in events:
        assert event.generation is not None
        if event.kind is Kind.DRIVER_STARTED:
            detail = json.loads(event.detail or "{}")
            ray_s = detail.get("ray_s")
            started = None if event.time is None else event.time - (ray_s or 0.0)
            facts = {"started": started, "ended": event.time, "workers": detail.get("workers"), "ray_s": ray_s}
            rows[event.generation] = {"generation": event.generation, **facts}
        elif event.generation in rows and event.time is not None:
            rows[event.generation]["ended"] = event.time
    return pa.Table.from_pylist(list(rows.values()), schema=RUN_SCHEMA)


def write_tables(folder: Where, events: Iterable[Event]) -> tuple[Place, Place]:
    """The paths of ``tables/trials.parquet`` and ``tables/epochs.parquet``, written anew, each one whole.

    Args:
        folder: The study's folder.
        events: See `tables`.

    Raises:
        ResultsFolderError: The folder cannot be written.
    """
    return export(events, place(folder) / "tables", "parquet")


def export(events: Iterable[Event], out: Where, to: str) -> tuple[Place, Place]:
    """The paths of the tables of trials and epochs, written to a folder as ``trials`` and ``epochs`` with the format's ending.

    In CSV an empty field means "does not apply" and ``nan`` is NaN.

    Args:
        events: See `tables`.
        out: Folder or ``s3://BUCKET/PREFIX``, made when it is missing; older files of these names are replaced.
        to: One of `FORMATS`.

    Raises:
        InputError: No such format.
        ResultsFolderError: The folder cannot be written.
    """
    if to not in FORMATS:
        raise InputError(f"unknown format '{to}'.{did_you_mean(to, FORMATS)} Allowed: {', '.join(FORMATS)}.")
    out = place(out)
    trials, epochs = tables(events)
    paths = (out / f"trials.{to}", out / f"epochs.{to}")
    try:
        out.make_folder()
        for path, table in zip(paths, (trials, epochs), strict=True):
            data = pa.BufferOutputStream()
            if to == "csv":
                pyarrow.csv.write_csv(table, data)
            else:
                pq.write_table(table, data, compression="zstd")
            path.write_whole(data.getvalue(), may_replace=True)
    except OSError as error:
        raise ResultsFolderError(explain(error, out)) from error
    return paths


def _apply(trial: _Trial, event: Event, index: int) -> None:
    row = trial.row
    is_newest = event.kind in (Kind.SUGGESTED, Kind.EXTENDED)
    for name in _FACTS:
        if is_newest or name not in row:
            value = getattr(event, name)
            if value is not None:
                row[name] = value
    if event.attempt is not None and event.attempt > row.get("attempt", 0):
        row["attempt"] = event.attempt
    for name in _LATEST:
        value = getattr(event, name)
        if value is not None:
            row[name] = value
    if event.status is not None:
        row["status"], row["reason"], row["detail"] = event.status, event.reason, event.detail
        trial.last = index
    if event.kind is Kind.EPOCH:
        assert event.epoch is not None, "an epoch row without its epoch"
        trial.epochs.setdefault(event.epoch, event)
        for name in _SUMS:
            value = getattr(event, name)
            if value is not None:
                row[name] = row.get(name, 0.0) + value
        memory = event.peak_memory_mb
        if memory is not None and memory > row.get("peak_memory_mb", -math.inf):
            row["peak_memory_mb"] = memory


def _finish(trial: _Trial, newest_start: int) -> None:
    row = trial.row
    if row.get("status") is Status.RUNNING and trial.last < newest_start:
        row["status"] = Status.INTERRUPTED
    if trial.epochs:
        last = trial.epochs[max(trial.epochs)]
        row.update((name, getattr(last, name)) for name in _LAST_EPOCH)
    _best(trial, "val_accuracy", lambda value: -value)
    _best(trial, "val_loss", lambda value: value)


def _best(trial: _Trial, metric: str, badness: Callable[[float], float]) -> None:
    values = [(getattr(event, metric), epoch) for epoch, event in trial.epochs.items()]
    known = [(badness(value), epoch, value) for value, epoch in values if value is not None and not math.isnan(value)]
    if known:
        _, trial.row[f"best_{metric}_epoch"], trial.row[f"best_{metric}"] = min(known)


def _typed(columns: dict[str, list[Any]]) -> pa.Table:
    types = {field.name: field.type for field in records.schema()}
    types |= {name: pa.int64() if name.endswith("_epoch") else pa.float64() for name in BEST_COLUMNS}
    return pa.table(columns, schema=pa.schema([(name, types[name]) for name in columns], metadata=records.schema().metadata))
