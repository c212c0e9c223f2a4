"""The columns: each one described, in a unit its name agrees with."""

from __future__ import annotations

import dataclasses
import enum

import pyarrow as pa
import pytest

from sweeper.ledger import records
from sweeper.ledger.records import (
    BEST_COLUMNS,
    EPOCH_COLUMNS,
    METRICS,
    OBJECTIVES,
    TRIAL_COLUMNS,
    Event,
    Kind,
    Reason,
    Stage,
    Status,
)

COLUMNS = {column["name"]: column for column in records.describe()}
UNITS = {"_s": "seconds", "_mb": "MB", "_ms": "ms", "_ms_batch32": "ms", "_iqr": "ms", "_accuracy": "fraction", "_loss": "nats"}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_says_what_it_means_and_in_which_unit(name: str) -> None:
    column = COLUMNS[name]
    assert len(column["meaning"]) > 8
    assert not column["meaning"].endswith(".")
    ending = max((ending for ending in UNITS if name.endswith(ending)), key=len, default=None)
    if ending is not None:
        assert column["type"] == "float"
        assert column["unit"] == UNITS[ending]
    elif column["unit"] and not column["unit"].startswith("seconds since"):
        assert column["unit"] == "epochs"
    assert column["type"] in ("str", "int", "float", "bool", "Kind", "Stage", "Status", "Reason")


def test_the_columns_are_the_fields_of_an_event() -> None:
    assert list(COLUMNS) == [field.name for field in dataclasses.fields(Event)]
    required = [field.name for field in dataclasses.fields(Event) if field.name != "kind" and field.default is not None]
    assert required == [], "None says that a column does not apply"


@pytest.mark.parametrize("columns", [TRIAL_COLUMNS, EPOCH_COLUMNS])
def test_the_tables_have_columns_of_the_ledger_each_once(columns: tuple[str, ...]) -> None:
    assert set(columns) <= set(COLUMNS)
    assert len(set(columns)) == len(columns)
    assert {"study_id", "trial", "arm", "number", "seed", "attempt", "status", "epoch", *METRICS} <= set(columns)


def test_best_columns_go_with_metrics() -> None:
    assert not set(BEST_COLUMNS) & set(TRIAL_COLUMNS)
    assert {name.removeprefix("best_").removesuffix("_epoch") for name in BEST_COLUMNS} <= set(METRICS)


def test_objectives_are_numbers_of_a_trial_and_say_which_way_is_better() -> None:
    assert set(OBJECTIVES) <= set(TRIAL_COLUMNS)
    assert set(METRICS) <= set(OBJECTIVES)
    assert {COLUMNS[name]["type"] for name in OBJECTIVES} <= {"int", "float"}
    assert {name for name, goal in OBJECTIVES.items() if goal == "max"} == {
        name for name in OBJECTIVES if name.endswith("_accuracy")
    }
    assert set(OBJECTIVES.values()) == {"max", "min"}


def test_the_schema_has_the_types_of_the_columns_and_its_version() -> None:
    schema = records.schema()
    assert schema.names == list(COLUMNS)
    expected = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    for field in schema:
        assert field.type == expected.get(COLUMNS[field.name]["type"], pa.string()), field.name
    assert schema.metadata == {b"sweeper_schema": str(records.SCHEMA_VERSION).encode()}


@pytest.mark.parametrize("words", [Kind, Status, Reason, Stage])
def test_words_are_what_they_are_called(words: type[enum.StrEnum]) -> None:
    assert all(word.value == word.name.lower() for word in words)


def test_an_event_takes_words_as_text_and_refuses_others() -> None:
    event = Event(kind="epoch", status="running", stage="search")  # type: ignore[arg-type]
    assert (event.kind, event.status, event.stage, event.reason) == (Kind.EPOCH, Status.RUNNING, Stage.SEARCH, None)
    assert event.replace(reason="nan").reason is Reason.NAN
    with pytest.raises(ValueError, match="dancing"):
        event.replace(status="dancing")
    assert event.replace(generation=1, sequence=2, position=0).key == (1, 2, 0)


def test_final_is_what_does_not_run_again() -> None:
    assert {status for status in Status if status.is_final} == {Status.COMPLETED, Status.STOPPED, Status.FAILED}


def test_names_of_trials() -> None:
    assert records.trial_name("cnn", 7) == "cnn-00007"
    assert records.trial_name("resnet_se", 123456) == "resnet_se-123456"
