"""Damage to the ledger and to what it says of trials."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sweeper.audit.findings import Found
from sweeper.audit.repair import repair
from sweeper.audit.whole import audit
from sweeper.ledger import parts, records
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind, Status
from sweeper.storage import place
from tests.audit.damage import add, change, found, part, trained


def test_a_lost_commit_leaves_a_hole(study: StudyFolder) -> None:
    path = Path(study.ledger_folder) / "000003-000000002.parquet"
    num_events = audit(study).events
    num_rows = len(pq.read_table(path))
    path.unlink()
    audited = audit(study)
    assert audited.events == num_events - num_rows
    lost = [finding.where for finding in audited.findings if finding.kind is Found.LOST]
    assert "generation 3, commit 2" in lost
    assert audited.number(Found.UNCHECKED) == 1


def test_a_lost_merged_part_loses_whole_generations(study: StudyFolder) -> None:
    merged = part(study, lambda table: len(set(table.column("generation").to_pylist())) > 1)
    merged.unlink()
    lost = [finding.where for finding in audit(study).findings if finding.kind is Found.LOST]
    assert any(where.startswith("generation 1, commits 1 to ") for where in lost)


def test_a_fence_that_speaks_of_what_is_not_there(study: StudyFolder) -> None:
    second = [path for path in sorted(Path(study.ledger_folder).iterdir()) if path.name.startswith("000002")]
    second[-1].unlink()
    finding = next(finding for finding in audit(study).findings if finding.kind is Found.LOST)
    assert finding.where.startswith("generation 2, commit")
    assert finding.what == "a later driver saw it, but it is missing"
    with study.drive():
        pass  # whose fence knows no better
    assert finding in audit(study).findings


def test_the_last_part_is_missed_where_the_tables_know_of_it(study: StudyFolder) -> None:
    last = sorted(Path(study.ledger_folder).iterdir())[-1]
    assert pc.any(pc.equal(pq.read_table(last).column("kind"), "epoch")).as_py()
    last.unlink()
    finding = next(finding for finding in audit(study).findings if finding.kind is Found.LOST)
    assert finding.where.endswith("epochs.parquet")
    (Path(study.folder) / "tables" / "epochs.parquet").unlink()
    (Path(study.folder) / "tables" / "trials.parquet").unlink()
    assert audit(study).faults == (), "nothing that is left knows of it, as docs/resume-and-audit.md says"


def test_the_last_part_is_missed_where_its_name_is_left(study: StudyFolder) -> None:
    shutil.rmtree(Path(study.folder) / "tables")
    *_, before, last = sorted(Path(study.ledger_folder).iterdir())
    shutil.copyfile(before, last)
    (finding,) = [finding for finding in audit(study).findings if finding.kind is Found.LOST]
    assert finding.what == "a part is named after it, but its rows are missing"
    assert finding.commits == (3, parts.sequence_of(last.name), parts.sequence_of(last.name))
    assert repair(study)[1].faults == ()
    assert found(study)[Found.GIVEN_UP] == 1


@pytest.mark.parametrize("num_parts", [1, 2])
def test_what_a_repair_took_note_of_is_not_taken_for_a_later_part(study: StudyFolder, num_parts: int) -> None:
    with study.drive() as ledger:
        if num_parts == 2:
            ledger.append(Event(kind=Kind.CREATED))
    for name in parts.names(study.ledger_folder)[-num_parts:]:
        (Path(study.ledger_folder) / name).write_bytes(b"torn")
    assert repair(study)[1].number(Found.GIVEN_UP) == num_parts
    with study.drive() as ledger:
        assert ledger.generation == 5
    with study.drive():
        pass
    assert audit(study).number(Found.GIVEN_UP) == num_parts
    (Path(study.ledger_folder) / parts.name_of(5, 1)).unlink()
    assert audit(study).number(Found.LOST) == 1


def test_a_row_cut_out_of_a_commit(study: StudyFolder) -> None:
    path = part(study, lambda table: set(table.column("generation").to_pylist()) == {3} and len(table) > 1)
    table = pq.read_table(path)
    path.unlink()
    parts.write(place(path), table.slice(1))
    finding = next(finding for finding in audit(study).findings if finding.kind is Found.LOST)
    assert finding.where.startswith("generation 3, commit")
    assert finding.what == f"1 of its {len(table)} rows are missing"


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "link"])
def test_an_unreadable_part_is_named_with_its_fault(study: StudyFolder, damage: str) -> None:
    path = Path(study.ledger_folder) / "000003-000000002.parquet"
    data = bytearray(path.read_bytes())
    if damage == "link":
        path.unlink()
        path.symlink_to(Path(study.folder) / "absent")
    else:
        data[len(data) // 8] ^= 4
        path.write_bytes({"torn": data[:-50], "flipped": data, "empty": b""}[damage])
    audited = audit(study)
    (finding,) = [finding for finding in audited.findings if finding.kind is Found.UNREADABLE]
    assert finding.where == str(path)
    assert ("link to nowhere" if damage == "link" else "not a readable part") in finding.what
    assert "generation 3, commit 2" in [finding.where for finding in audited.findings if finding.kind is Found.LOST]


def test_a_part_of_a_newer_version_is_not_moved_away(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, study.drive() as ledger:
        patch.setattr(records, "SCHEMA_VERSION", records.SCHEMA_VERSION + 1)
        ledger.append(Event(kind=Kind.CREATED))
        ledger.commit()
        patch.undo()
    (finding,) = [finding for finding in audit(study).findings if finding.kind is Found.UNREADABLE]
    assert "Upgrade sweeper" in finding.what
    (path,) = trained(study, "cnn-00042", 1, 1)
    repair(study)
    assert not (Path(study.folder) / "damaged").exists()
    assert path.exists(), "the part that cannot be read yet may speak of this trial"
    assert audit(study).number(Found.UNREADABLE) == 1


def test_tables_that_know_of_a_newer_part_stay(study: StudyFolder) -> None:
    last = sorted(Path(study.ledger_folder).iterdir())[-1]
    newer = pq.read_table(last).replace_schema_metadata({"sweeper_schema": str(records.SCHEMA_VERSION + 1)})
    last.unlink()
    pq.write_table(newer, last)
    assert any(finding.where.endswith("epochs.parquet") for finding in audit(study).faults)
    assert repair(study)[0] == []
    assert (Path(study.folder) / "tables" / "epochs.parquet").is_file()


@pytest.mark.parametrize("column", ["kind", "status", "reason", "stage"])
def test_a_word_this_version_does_not_know(study: StudyFolder, column: str) -> None:
    path = part(study, lambda table: table.column(column).null_count < len(table))
    old = next(value for value in pq.read_table(path).column(column).to_pylist() if value is not None)
    change(path, column, old, "frobnicated")
    (finding,) = [finding for finding in audit(study).findings if finding.kind is Found.UNREADABLE]
    assert finding.what == f"1 rows with {column} 'frobnicated', which this version does not know"


def test_a_fence_that_cannot_be_read(study: StudyFolder) -> None:
    path = Path(study.ledger_folder) / "000003-000000001.parquet"
    change(path, "kind", "driver_started", "driver_started")
    assert found(study) == {}
    detail = pq.read_table(path).column("detail").to_pylist()[0]
    change(path, "detail", detail, "[]")
    finding = audit(study).findings[0]
    assert finding.kind is Found.UNREADABLE
    assert "has no readable fence" in finding.what


def test_rows_that_lack_columns(study: StudyFolder) -> None:
    add(study, Event(kind=Kind.EPOCH, trial="cnn-00000"), Event(kind=Kind.SUGGESTED))
    assert found(study)[Found.UNREADABLE] == 2


def test_two_different_rows_of_one_key(study: StudyFolder) -> None:
    path = part(study, lambda table: "epoch" in table.column("kind").to_pylist())
    copy = path.with_name("000003-000000099.parquet")
    shutil.copyfile(path, copy)
    assert Found.REPEATED not in found(study), "twice the same is what an interrupted compaction leaves"
    old = next(value for value in pq.read_table(copy).column("val_loss").to_pylist() if value is not None)
    change(copy, "val_loss", old, float(np.nextafter(old, 1)))
    (finding,) = [finding for finding in audit(study).findings if finding.kind is Found.REPEATED]
    assert finding.what == f"two different rows of this key, in {path.name} and {copy.name}"


def test_a_trial_without_its_suggestion(study: StudyFolder) -> None:
    add(study, Event(kind=Kind.EPOCH, trial="cnn-00099", arm="cnn", attempt=1, epoch=1, status=Status.RUNNING))
    lost = {finding.where: finding.what for finding in audit(study).findings if finding.kind is Found.LOST}
    assert lost == {"trial cnn-00099": "1 rows of it are there, but its suggestion is missing"}


def test_epochs_and_attempts_that_miss_what_goes_before_them(study: StudyFolder) -> None:
    row = {"trial": "cnn-00000", "arm": "cnn", "status": Status.RUNNING}
    add(study, Event(kind=Kind.EPOCH, attempt=5, epoch=9, **row))
    lost = {finding.where: finding.count for finding in audit(study).findings if finding.kind is Found.LOST}
    last = max(event.attempt or 0 for event in study.read() if event.trial == "cnn-00000" and event.kind is Kind.SUGGESTED)
    ended = max(event.epoch or 0 for event in study.read()[:-1] if event.trial == "cnn-00000")
    assert lost == {
        f"trial cnn-00000, attempts {last + 1} to 5": 5 - last,
        f"trial cnn-00000, epochs {ended + 1} to 8": 8 - ended,
    }


def test_repeated_and_differing_epochs(study: StudyFolder) -> None:
    first = next(event for event in study.read() if event.kind is Kind.EPOCH)
    same = first.replace(status=Status.RUNNING, reason=None)
    suggested = next(event for event in study.read() if event.kind is Kind.SUGGESTED and event.trial == first.trial)
    last = max(event.attempt or 0 for event in study.read() if event.trial == first.trial and event.kind is Kind.SUGGESTED)
    add(study, suggested.replace(attempt=last + 1), same.replace(attempt=last + 1))
    assert Found.DIFFERING not in found(study), "trained again, to the same numbers"
    assert first.val_loss is not None
    another = same.replace(attempt=last + 2, val_loss=float(np.nextafter(first.val_loss, 1)))
    add(study, suggested.replace(attempt=last + 2), another)
    assert found(study)[Found.DIFFERING] == 1
    assert not Found.DIFFERING.is_fault
    add(study, another)
    assert found(study)[Found.REPEATED] == 1
    add(study, suggested.replace(attempt=last + 2))
    assert found(study)[Found.REPEATED] == 2
