"""The stamp of the tables: they are read in the ledger's place only while they are what it would give."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sweeper.audit.repair import repair
from sweeper.driver.opened import open_study, recorded
from sweeper.errors import LedgerError
from sweeper.ledger import parts, records, stamp, tables
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind
from sweeper.study.spec import parse
from tests.conftest import Run
from tests.driverless import drive

STUDY = """
name: made
dataset: {name: digits, size: 8}
arms: {cnn: {}, lenet: {}}
budget: {trials: 6, max_epochs: 3}
search: {sampler: random}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of two drivers."""
    study = StudyFolder(tmp_path_factory.mktemp("results") / "made")
    drive(study, parse(STUDY), num_events=12)
    drive(study)
    open_study(study).write_tables()
    return Path(str(study.folder))


@pytest.fixture
def study(made: Path, tmp_path: Path) -> StudyFolder:
    return StudyFolder(shutil.copytree(made, tmp_path / "results" / "made"))


def test_current_tables_are_what_the_events_give(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    derived = stamp.derive(study.read(), study.part_names(), open_study(study).num_to_come)
    assert stamp.read(study.folder) == derived
    assert derived.num_to_come == 0 < derived.num_events
    monkeypatch.setattr(StudyFolder, "read", _never)
    stored = recorded(study, with_num_to_come=True)
    assert stored.derived == derived
    assert stored.first == parse(STUDY)


def test_without_epochs_the_table_of_epochs_is_not_read(study: StudyFolder) -> None:
    whole = stamp.read(study.folder)
    assert whole is not None
    _no_table(study)
    found = stamp.read(study.folder, with_epochs=False)
    assert found is not None
    assert found.trials == whole.trials
    assert (found.epochs.num_rows, found.epochs.schema) == (0, whole.epochs.schema)


def _never(self: StudyFolder) -> list[Event]:
    raise AssertionError("the ledger was read")


def _commit(study: StudyFolder) -> None:
    with study.drive() as ledger:
        ledger.append(Event(kind=Kind.COMPACTED))


def _compact(study: StudyFolder) -> None:
    with study.drive() as ledger:
        assert ledger.compact()


def _late(study: StudyFolder) -> None:
    """A part that a driver wrote which had lost the study, after which the fence hides it."""
    table = parts.from_events([Event(kind=Kind.COMPACTED, time=1.0, generation=1, sequence=999, position=0)])
    parts.write(study.ledger_folder / parts.name_of(1, 999), table)


def _lose(study: StudyFolder) -> None:
    (study.ledger_folder / max(study.part_names())).remove()


def _shorten(study: StudyFolder) -> None:
    path = Path(str(study.ledger_folder)) / min(study.part_names())
    path.write_bytes(path.read_bytes()[:-1])


def _go_apart(study: StudyFolder) -> None:
    """The newest part is that of another copy of the study: same name, same size."""
    path = Path(str(study.ledger_folder)) / max(study.part_names())
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)


def _edit(study: StudyFolder) -> None:
    path = Path(str(study.folder)) / "tables" / "trials.parquet"
    table = pq.read_table(path)
    column = pc.add(table.column("val_accuracy"), 0.5)
    pq.write_table(table.set_column(table.column_names.index("val_accuracy"), "val_accuracy", column), path)


def _half_written(study: StudyFolder) -> None:
    """A driver that was killed between the two tables."""
    table = pq.read_table(Path(str(study.folder)) / "tables" / "epochs.parquet")
    pq.write_table(table.slice(1), Path(str(study.folder)) / "tables" / "epochs.parquet")


def _edit_stamp(study: StudyFolder) -> None:
    path = Path(str(study.folder)) / "tables" / stamp.NAME
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "to_come": 7}))


def _cut_stamp(study: StudyFolder) -> None:
    path = Path(str(study.folder)) / "tables" / stamp.NAME
    path.write_bytes(path.read_bytes()[:40])


def _another_stamp(study: StudyFolder) -> None:
    (Path(str(study.folder)) / "tables" / stamp.NAME).write_text("[]")


def _no_table(study: StudyFolder) -> None:
    (Path(str(study.folder)) / "tables" / "epochs.parquet").unlink()


CHANGES = [
    _commit, _compact, _late, _lose, _shorten, _go_apart, _edit, _half_written, _edit_stamp, _cut_stamp, _another_stamp, _no_table
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_whatever_changed_since_the_ledger_is_read(study: StudyFolder, change: Callable[[StudyFolder], None]) -> None:
    assert stamp.read(study.folder) is not None
    change(study)
    assert stamp.read(study.folder) is None
    if change in (_shorten, _go_apart):
        with pytest.raises(LedgerError):
            recorded(study)
        return
    names, events = study.part_names(), study.read()
    assert recorded(study).derived == stamp.derive(events, names)


def test_tables_of_other_code_or_of_an_older_schema_are_not_current(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(stamp, "_code", lambda: "older")
        open_study(study).write_tables()
        assert stamp.read(study.folder) is not None
    assert stamp.read(study.folder) is None
    open_study(study).write_tables()
    assert stamp.read(study.folder) is not None
    monkeypatch.setattr(tables, "__file__", records.__file__)
    assert stamp.read(study.folder) is None


def test_no_stamp_speaks_of_parts_that_came_after_the_events(study: StudyFolder) -> None:
    opened = open_study(study)
    _commit(study)
    opened.write_tables()
    assert stamp.read(study.folder) is None
    assert open_study(study).derived.num_events == len(opened.events) + 2


def test_a_driver_killed_before_its_tables_leaves_those_of_before(study: StudyFolder, run: Run) -> None:
    code, before, _ = run("pareto", "made", "--results", str(study.folder.parent), "--json")
    assert code == 0
    _commit(study)  # and no tables
    code, after, _ = run("pareto", "made", "--results", str(study.folder.parent), "--json")
    assert (code, after) == (0, before)
    assert stamp.read(study.folder) is None


def test_a_repair_stamps_what_it_writes(study: StudyFolder) -> None:
    _edit(study)
    done, after = repair(study)
    assert any("trials.parquet" in line for line in done)
    assert after.faults == ()
    derived = stamp.read(study.folder)
    assert derived is not None
    assert derived.num_to_come is None, "a repair folds no search"
    assert recorded(study, with_num_to_come=True).derived.num_to_come == 0


def test_a_file_of_another_study_is_refused_also_where_tables_are_current(study: StudyFolder) -> None:
    path = Path(str(study.folder)) / "study.yaml"
    path.write_text(path.read_text().replace("size: 8", "size: 16"))
    assert stamp.read(study.folder) is not None
    with pytest.raises(LedgerError, match="no longer the study"):
        recorded(study)


def test_reading_events_leaves_the_collector_as_it_was(study: StudyFolder) -> None:
    import gc

    assert gc.isenabled()
    study.read()
    assert gc.isenabled()
    gc.disable()
    try:
        study.read()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_tables_keep_their_types(study: StudyFolder) -> None:
    derived = stamp.read(study.folder)
    assert derived is not None
    for found, table in zip((derived.trials, derived.epochs), tables.tables(study.read()), strict=True):
        assert found.schema.equals(table.schema, check_metadata=True)
    assert derived.runs.schema == tables.RUN_SCHEMA
    assert isinstance(derived.runs, pa.Table)
    assert len(derived.runs) == 2
