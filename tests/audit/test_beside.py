"""Decisions, and what lies beside the ledger: checkpoints, the file of the study, tables."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweeper.audit.findings import Found
from sweeper.audit.repair import repair
from sweeper.audit.whole import audit
from sweeper.driver.launch import launch
from sweeper.errors import LedgerError
from sweeper.ledger import parts, records
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind, Reason, Status
from sweeper.storage import place
from tests.audit.damage import add, change, found, part, spec, trained, trials_that_are
from tests.conftest import Run
from tests.driverless import driven


@pytest.mark.parametrize(
    ("status", "reason", "new_status", "new_reason"),
    [
        ("stopped", "rung", "running", None),
        ("stopped", "rung", "stopped", "nan"),
        ("completed", "max_epochs", "failed", "nan"),
        ("completed", "max_epochs", "completed", "rung"),
        ("running", None, "running", "rung"),
    ],
)
def test_a_decision_changed_by_hand(
    study: StudyFolder, status: str, reason: str | None, new_status: str, new_reason: str | None
) -> None:
    path = part(study, lambda table: (status, "epoch") in {(row["status"], row["kind"]) for row in table.to_pylist()})
    rows = pq.read_table(path).to_pylist()
    row = next(row for row in rows if row["kind"] == "epoch" and (row["status"], row["reason"]) == (status, reason))
    row.update(status=new_status, reason=new_reason)
    path.unlink()
    parts.write(place(path), pa.Table.from_pylist(rows, records.schema()))
    misjudged = [finding for finding in audit(study).findings if finding.kind is Found.MISJUDGED]
    assert misjudged[0].where == f"trial {row['trial']}, attempt {row['attempt']}, epoch {row['epoch']}"
    assert misjudged[0].what.endswith(f"give {status}" + (f" ({reason})" if reason else ""))


def test_a_trial_that_ends_twice_is_told_twice(study: StudyFolder) -> None:
    trial = trials_that_are(study, Status.COMPLETED)[0]
    last = max(event.attempt or 0 for event in study.read() if event.trial == trial)
    add(study, Event(kind=Kind.ATTEMPT_ENDED, trial=trial, attempt=last, status=Status.FAILED, reason=Reason.EXCEPTION))
    (finding,) = audit(study).faults
    assert (finding.kind, finding.what) == (Found.UNTOLD, "it is failed, but samplers have it 2 times")


def test_a_metric_changed_by_hand_contradicts_the_decisions_after_it(study: StudyFolder) -> None:
    stopped = next(event for event in study.read() if event.status is Status.STOPPED)
    path = part(study, lambda table: stopped.key in zip(*(table.column(name).to_pylist() for name in parts._KEY), strict=True))
    change(path, "val_accuracy", stopped.val_accuracy, 0.99, lambda row: row["trial"] == stopped.trial)
    assert audit(study).number(Found.MISJUDGED) >= 1


def test_a_failure_after_a_death_is_judged_by_the_rules_of_its_time(study: StudyFolder, tmp_path: Path) -> None:
    new = StudyFolder(tmp_path / "other" / "made")
    with driven(new, spec()) as clock:
        for _ in range(3):
            event = clock.search.propose()
            assert event is not None and event.trial is not None
            clock.record(event)
            clock.end(event.trial, Reason.NODE_LOST)
        clock.ledger.commit()  # type: ignore[union-attr]
    assert Found.MISJUDGED not in found(new)
    path = part(new, lambda table: "node_lost" in table.column("reason").to_pylist())
    change(path, "status", "interrupted", "failed", lambda row: row["reason"] == "node_lost")
    assert found(new)[Found.MISJUDGED] == 1
    start = Path(new.ledger_folder) / "000001-000000001.parquet"
    change(start, "detail", pq.read_table(start).column("detail").to_pylist()[0], json.dumps({"fence": {}}))
    assert Found.MISJUDGED not in found(new), "under schema 1 the third lost node was a failure"


def test_a_study_whose_architectures_are_gone_is_audited_whole(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeper.catalog.names", lambda kind: [])
    assert found(study) == {}


def test_what_the_search_cannot_follow(study: StudyFolder) -> None:
    event = next(event for event in study.read() if event.kind is Kind.SUGGESTED)
    add(study, event.replace(trial="other-00000", arm="other"))
    assert "the search cannot follow" in next(one for one in audit(study).findings if one.kind is Found.UNREADABLE).what


def test_checkpoints_that_are_of_use(study: StudyFolder) -> None:
    completed = trials_that_are(study, Status.COMPLETED)[0]
    trained(study, completed, 1, 4)
    assert found(study) == {}
    assert audit(study).checkpoints == 1
    assert audit(study).checkpoint_bytes > 3200


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "text"])
def test_a_checkpoint_that_cannot_be_read(study: StudyFolder, damage: str) -> None:
    (path,) = trained(study, trials_that_are(study, Status.COMPLETED)[0], 1, 4)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"torn": data[:-100], "flipped": data, "empty": b"", "text": b"hello"}[damage])
    assert found(study) == {Found.TORN: 1}


def test_checkpoints_nobody_needs(study: StudyFolder) -> None:
    completed, stopped = trials_that_are(study, Status.COMPLETED)[0], trials_that_are(study, Status.STOPPED)[0]
    _, newest = trained(study, completed, 1, 3, 4)
    trained(study, stopped, 1, 1)
    (half,) = trained(study, "resnet-00000", 1, 1)
    half.rename(half.with_name(f".{half.name}.0123.tmp"))
    assert found(study) == {Found.USELESS: 2, Found.LEFTOVER: 1}
    assert audit(study).faults == (), "a kill may leave all of them"
    trained(study, "cnn-00042", 1, 1)
    trained(study, completed, 7, 1)
    (torn,) = trained(study, completed, 1, 5)
    torn.write_bytes(b"")
    assert found(study) == {Found.USELESS: 1, Found.LEFTOVER: 1, Found.ORPHANED: 2, Found.TORN: 1}
    done, after = repair(study)
    assert after.faults == ()
    assert sum(line.startswith("removed ") for line in done) == 5
    assert [path for path in (Path(study.folder) / "checkpoints").rglob("*") if path.is_file()] == [newest]


@pytest.mark.parametrize("change", ["another", "no study", "no text"])
def test_a_study_file_that_was_changed(study: StudyFolder, run: Run, change: str) -> None:
    path = Path(study.folder) / "study.yaml"
    whole_file = path.read_bytes()
    path.write_bytes(
        {"another": whole_file.replace(b"grace_epochs: 1", b"grace_epochs: 2"), "no study": b"name: made\n", "no text": b"\xff"}[
            change
        ]
    )
    assert found(study) == {Found.CHANGED: 1, Found.UNCHECKED: 1}
    for command in (("audit",), ("resume",), ("status",)):
        code, out, err = run(*command, Path(study.folder))
        assert code == 1
        assert "Restore the file from a copy" in out + err
    assert run("retrain", Path(study.folder), "cnn-00000")[0] == 1
    with pytest.raises(LedgerError):
        launch(spec(), Path(study.folder).parent)
    path.write_bytes(whole_file)
    assert found(study) == {}


def test_tables_that_are_not_what_the_ledger_gives(study: StudyFolder) -> None:
    path = Path(study.folder) / "tables" / "trials.parquet"
    table = pq.read_table(path)
    for content in (table.slice(1), table.drop_columns("seed")):
        pq.write_table(content, path)
        assert found(study) == {Found.STALE: 1}
        assert repair(study)[1].findings == ()
        assert pq.read_table(path).equals(table)
    path.write_bytes(b"no table")
    assert found(study) == {Found.STALE: 1}
    path.unlink()
    assert found(study) == {Found.STALE: 1}
    assert audit(study).faults == (), "a driver that is killed writes no tables"
