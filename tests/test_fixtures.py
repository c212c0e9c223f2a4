"""Every schema a ledger ever had is read: a study made with each, by value."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import SCHEMA_VERSION, Kind, Status
from sweeper.ledger.tables import tables
from sweeper.search.study import Search
from sweeper.study.spec import parse_stored
from tests.driverless import drive, facts
from tests.make_ledger_fixture import FIXTURES

VERSIONS = range(1, SCHEMA_VERSION + 1)


def fixture(version: int) -> Path:
    return FIXTURES / f"ledger-v{version}"


def test_there_is_a_fixture_of_every_schema() -> None:
    assert sorted(path.name for path in FIXTURES.glob("ledger-v*")) == sorted(fixture(version).name for version in VERSIONS), (
        "SCHEMA_VERSION has no fixture yet: commit the result of python -m tests.make_ledger_fixture"
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ledger_of_this_schema_is_read_by_value(version: int) -> None:
    study = StudyFolder(fixture(version))
    written = {pq.read_schema(path).metadata[b"sweeper_schema"] for path in (fixture(version) / "ledger").iterdir()}
    assert written == {str(version).encode()}
    expected = json.loads((fixture(version) / "expected.json").read_text())
    read = facts(study)
    for name in ("events", "trials", "epochs", "fold"):
        assert repr(read[name]) == repr(expected[name]), name  # in which NaN is NaN


@pytest.mark.parametrize("version", [1, 2])
def test_what_a_fixture_holds(version: int) -> None:
    is_extended = version > 1
    events = StudyFolder(fixture(version)).read()
    trials, epochs = tables(events)
    rows = {row["trial"]: row for row in trials.to_pylist()}
    counts: Counter[Any] = Counter((row["status"], row["reason"]) for row in rows.values())
    assert counts == {
        ("completed", "max_epochs"): 3 + is_extended,
        ("stopped", "rung"): 4,
        ("failed", "exception"): 1,
        ("failed", "nan"): 1,
    }
    assert epochs.num_rows == 3 + 4 + 1 + 4 + 1 + 2 + 1 + 1 + 4 + 5 * is_extended
    assert rows["cnn-00000"]["val_accuracy"] == 0.656
    assert rows["resnet-00001"]["attempt"] == 1
    assert rows["resnet-00003"]["attempt"] == 2
    assert rows["cnn-00000-s1"]["stage"] == "ablation"
    kinds = Counter(event.kind for event in events)
    assert (kinds[Kind.DRIVER_STARTED], kinds[Kind.PLANNED], kinds[Kind.SUGGESTED]) == (3 + is_extended, 1, 12 + is_extended)
    assert (kinds[Kind.COMPACTED], kinds[Kind.EXTENDED]) == ((3, 1) if is_extended else (0, 0))


@pytest.mark.parametrize("version", [3, 4, 5])
def test_what_a_fixture_with_promotion_holds(version: int) -> None:
    events = StudyFolder(fixture(version)).read()
    trials, epochs = tables(events)
    rows = {row["trial"]: row for row in trials.to_pylist()}
    counts: Counter[Any] = Counter(
        (row["status"], row["reason"]) for row in rows.values() if not row["varies"] and row["stage"] != "confirm"
    )
    assert counts == {
        ("completed", "max_epochs"): 4,
        ("stopped", "rung"): 4,
        ("failed", "exception"): 1,
        ("failed", "nan"): 1,
    }
    paused = Counter(event.epoch for event in events if event.status is Status.PAUSED)
    assert paused == {1: 9, 2: 3, 4: 1}
    assert rows["cnn-00004"]["attempt"] == 4, "one more after each rung"
    assert epochs.num_rows == sum(row["epoch"] for row in rows.values())


def test_what_a_fixture_that_learned_holds() -> None:
    study = StudyFolder(fixture(4))
    search = Search(parse_stored(study.study_yaml(), study.folder), {}).fold(study.read())
    first, second = search.arms["cnn"].lessons
    assert (first.configuration["width"], first.scores, first.is_complete) == (16, (0.25, 0.5, 0.75), True)
    assert (second.configuration["width"], second.scores[0], second.is_complete) == (48, 0.125, False)
    assert math.isnan(second.scores[1])
    assert search.arms["resnet"].lessons == []


def test_what_a_fixture_that_was_confirmed_holds() -> None:
    study = StudyFolder(fixture(5))
    rows = {row["trial"]: row for row in tables(study.read())[0].to_pylist()}
    confirmed = {name: row for name, row in rows.items() if row["stage"] == "confirm"}
    assert {(row["seed"], row["status"], row["latency_ms"], row["latency_ms_batch32_iqr"]) for row in confirmed.values()} == {
        (1001, "completed", 1.5, 0.5),
        (1002, "completed", 1.5, 0.5),
    }
    assert {row["arm"] for row in confirmed.values()} == {"cnn", "resnet"}
    assert (rows["cnn-00000-order1"]["varies"], rows["cnn-00000-s1"]["varies"]) == ("order", None)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_study_of_this_schema_goes_on(version: int, tmp_path: Path) -> None:
    study = StudyFolder(Path(shutil.copytree(fixture(version), tmp_path / f"ledger-v{version}")))
    before = study.read()
    assert drive(study).is_finished
    after = study.read()
    assert repr(after[: len(before)]) == repr(before)
    assert [event.kind for event in after[len(before) :]] == [Kind.DRIVER_STARTED]
