"""The tables of trials and epochs."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from sweeper.errors import InputError, ResultsFolderError
from sweeper.ledger import records, tables
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind, Reason, Stage, Status
from tests.ledger.ledgers import failing

# Tables


def suggested(trial: str, attempt: int = 1, **columns: Any) -> Event:
    return Event(
        kind=Kind.SUGGESTED, trial=trial, arm="cnn", number=0, seed=7, attempt=attempt, status=Status.RUNNING, max_epochs=3,
        configuration='{"depth": 2}', stage=Stage.SEARCH, study_id="s", architecture="cnn", **columns,
    )  # fmt: skip


def epoch(trial: str, number: int, attempt: int = 1, status: Status = Status.RUNNING, **columns: Any) -> Event:
    return Event(kind=Kind.EPOCH, trial=trial, arm="cnn", epoch=number, attempt=attempt, status=status, **columns)


def rows(events: list[Event]) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    trials, epochs = tables.tables(events)
    assert tuple(trials.column_names) == (*records.TRIAL_COLUMNS, *records.BEST_COLUMNS)
    assert tuple(epochs.column_names) == records.EPOCH_COLUMNS
    return {row["trial"]: row for row in trials.to_pylist()}, epochs.to_pylist()


START = Event(kind=Kind.DRIVER_STARTED)


def test_tables_of_nothing() -> None:
    trials, epochs = tables.tables([START])
    assert trials.num_rows == epochs.num_rows == 0
    assert trials.schema.field("best_val_loss_epoch").type == pa.int64()
    assert trials.schema.field("configuration").type == pa.string()
    assert epochs.schema.field("val_loss").type == pa.float64()


def test_tables_by_value() -> None:
    events = [
        START,
        suggested("cnn-0"),
        epoch("cnn-0", 1, val_accuracy=0.5, val_loss=2.0, train_s=1.0, build_s=4.0, peak_memory_mb=10.0, parameters=99),
        epoch("cnn-0", 2, val_accuracy=0.8, val_loss=1.0, train_s=2.0, peak_memory_mb=30.0, device="cpu"),
        Event(kind=Kind.ATTEMPT_ENDED, trial="cnn-0", attempt=1, status=Status.FAILED, reason=Reason.NODE_LOST, detail="gone"),
        suggested("cnn-0", attempt=2),
        epoch("cnn-0", 2, attempt=2, val_accuracy=0.1, val_loss=0.1, train_s=4.0, build_s=5.0, peak_memory_mb=20.0),
        epoch("cnn-0", 3, attempt=2, status=Status.COMPLETED, reason=Reason.MAX_EPOCHS, val_accuracy=0.7, train_s=8.0).replace(
            val_loss=math.nan
        ),
    ]  # fmt: skip
    trials, epochs = rows(events)
    trial = trials["cnn-0"]
    expected = {
        "study_id": "s", "arm": "cnn", "architecture": "cnn", "number": 0, "stage": "search", "parent": None, "seed": 7,
        "attempt": 2, "status": "completed", "reason": "max_epochs", "detail": None, "configuration": '{"depth": 2}',
        "max_epochs": 3, "epoch": 3, "val_accuracy": 0.7, "train_loss": None, "train_s": 15.0, "build_s": 9.0, "wait_s": None,
        "peak_memory_mb": 30.0, "parameters": 99, "device": "cpu", "macs": None, "best_val_accuracy": 0.8,
        "best_val_accuracy_epoch": 2, "best_val_loss": 1.0, "best_val_loss_epoch": 2,
    }  # fmt: skip
    assert {name: trial[name] for name in expected} == expected
    assert math.isnan(trial["val_loss"])
    assert [(row["epoch"], row["attempt"], row["val_accuracy"], row["train_s"]) for row in epochs] == [
        (1, 1, 0.5, 1.0),
        (2, 1, 0.8, 2.0),
        (3, 2, 0.7, 8.0),
    ]


def test_trials_without_epochs_are_rows() -> None:
    failed = Event(kind=Kind.ATTEMPT_ENDED, trial="b", attempt=1, status=Status.FAILED, reason=Reason.NAN, detail="why")
    trials, epochs = rows([START, suggested("a"), suggested("b"), failed])
    assert list(trials) == ["a", "b"]
    assert epochs == []
    assert (trials["a"]["status"], trials["a"]["epoch"], trials["a"]["train_s"]) == ("running", None, None)
    assert (trials["b"]["status"], trials["b"]["reason"], trials["b"]["detail"]) == ("failed", "nan", "why")
    assert trials["b"]["best_val_loss"] is None


def test_running_under_an_older_driver_is_interrupted() -> None:
    events = [START, suggested("a"), epoch("a", 1), suggested("b"), epoch("b", 1, status=Status.STOPPED), suggested("c")]
    again = [*events, START, suggested("c", attempt=2), suggested("d")]
    assert {name: row["status"] for name, row in rows(events)[0].items()} == {"a": "running", "b": "stopped", "c": "running"}
    expected = {"a": "interrupted", "b": "stopped", "c": "running", "d": "running"}
    assert {name: row["status"] for name, row in rows(again)[0].items()} == expected


def test_epochs_are_grouped_by_trial() -> None:
    events = [suggested("b"), suggested("a"), epoch("a", 2), epoch("b", 2), epoch("a", 1), epoch("b", 1)]
    assert [(row["trial"], row["epoch"]) for row in rows(events)[1]] == [("b", 1), ("b", 2), ("a", 1), ("a", 2)]


def test_best_takes_the_first_of_equals_and_may_be_infinite() -> None:
    events = [
        suggested("a"),
        epoch("a", 1, val_accuracy=0.5, val_loss=math.inf),
        epoch("a", 2, val_accuracy=0.5, val_loss=math.nan),
        epoch("a", 3, val_accuracy=None),
    ]
    trial = rows(events)[0]["a"]
    assert (trial["best_val_accuracy_epoch"], trial["best_val_loss"], trial["best_val_loss_epoch"]) == (1, math.inf, 1)
    assert trial["epoch"] == 3
    assert trial["val_accuracy"] is None


def test_best_passes_over_nan_wherever_it_stands() -> None:
    values = [math.nan, 2.0, math.nan, 1.0, math.nan]
    events = [epoch("a", number, val_loss=value, val_accuracy=math.nan) for number, value in enumerate(values, 1)]
    trial = rows(events)[0]["a"]
    assert (trial["best_val_loss"], trial["best_val_loss_epoch"]) == (1.0, 4)
    assert (trial["best_val_accuracy"], trial["best_val_accuracy_epoch"]) == (None, None)


def test_write_tables(local_study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    study = local_study
    with study.drive() as ledger:
        ledger.append(suggested("a"))
        ledger.append(epoch("a", 1, val_loss=math.nan))
    events = study.read()
    paths = tables.write_tables(study.folder, events)
    assert paths == (study.folder / "tables" / "trials.parquet", study.folder / "tables" / "epochs.parquet")
    for path, table in zip(paths, tables.tables(events), strict=True):
        written = pq.read_table(path)
        assert written.schema.equals(table.schema, check_metadata=True)
        assert repr(written.to_pylist()) == repr(table.to_pylist())
        assert written.schema.metadata == {b"sweeper_schema": str(records.SCHEMA_VERSION).encode()}
    before = [path.read_bytes() for path in paths]
    monkeypatch.setattr(os, "replace", failing(errno.ENOSPC))
    with pytest.raises(ResultsFolderError, match="full"):
        tables.write_tables(study.folder, [])
    assert [path.read_bytes() for path in paths] == before
    assert sorted((study.folder / "tables").names()) == ["epochs.parquet", "trials.parquet"]


@pytest.mark.parametrize("to", tables.FORMATS)
def test_export(tmp_path: Path, to: str) -> None:
    events = [suggested("a", detail='line\n"quoted", and so on'), epoch("a", 1, val_loss=math.nan, train_loss=0.1)]
    trials, epochs = tables.export(events, tmp_path / "out" / "deep", to)
    assert (trials.name, epochs.name) == (f"trials.{to}", f"epochs.{to}")
    read = pyarrow.csv.read_csv if to == "csv" else pq.read_table
    (row,) = read(epochs).to_pylist()
    assert (row["trial"], row["train_loss"]) == ("a", 0.1)
    if to == "parquet":
        assert math.isnan(row["val_loss"])
    else:
        header, line = epochs.read_bytes().decode().splitlines()
        fields = dict(zip(header.replace('"', "").split(","), line.split(","), strict=True))
        assert (fields["val_loss"], fields["val_accuracy"], fields["trial"]) == ("nan", "", '"a"')


def test_export_refuses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown format 'parque'. Did you mean 'parquet'\? Allowed: csv, parquet"):
        tables.export([], tmp_path / "out", "parque")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsFolderError, match="is a file"):
        tables.export([], tmp_path / "file", "csv")
