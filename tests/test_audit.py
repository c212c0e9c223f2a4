"""The audit: every kind of damage, made on purpose, is found; whatever a kill leaves is no damage."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sweeper import parts, records, store, tables
from sweeper.audit import whole
from sweeper.audit.findings import Audit, Finding, Found
from sweeper.audit.repair import repair
from sweeper.audit.whole import audit
from sweeper.errors import LedgerError, StudyLockedError
from sweeper.records import Event, Kind, Reason, Status
from sweeper.runner import launch
from sweeper.search.study import Search
from sweeper.spec import StudySpec, parse
from sweeper.storage import place
from sweeper.store import StudyStore
from sweeper.training import checkpoint
from tests.conftest import Run
from tests.driverless import curve, drive, driven
from tests.make_ledger_fixture import FIXTURES

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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of three generations; the second one merged what was there before it."""
    study = StudyStore(tmp_path_factory.mktemp("results") / "made")
    drive(study, spec(), num_events=14)
    drive(study, num_events=14, compact_every=12)
    drive(study, commit_every=4)
    tables.write_tables(study.folder, study.read())
    return Path(study.folder)


@pytest.fixture
def study(made: Path, tmp_path: Path) -> StudyStore:
    return StudyStore(Path(shutil.copytree(made, tmp_path / "made")))


def found(study: StudyStore) -> dict[Found, int]:
    audited = audit(study)
    return {kind: audited.number(kind) for kind in Found if audited.number(kind)}


def part(study: StudyStore, condition: Callable[[pa.Table], bool]) -> Path:
    """The first part of which this holds."""
    return next(path for path in sorted(Path(study.ledger_folder).iterdir()) if condition(pq.read_table(path)))


def change(path: Path, column: str, old: Any, new: Any, where: Callable[[dict[str, Any]], bool] = lambda row: True) -> None:
    """Change a value in the first row of a part that has the old one."""
    rows = pq.read_table(path).to_pylist()
    row = next(row for row in rows if row[column] == old and where(row))
    row[column] = new
    path.unlink()
    parts.write(place(path), pa.Table.from_pylist(rows, records.schema()))


def add(study: StudyStore, *events: Event) -> None:
    """What a driver would add, whether it makes sense or not."""
    with study.drive() as ledger:
        for event in events:
            ledger.append(event)


def trained(study: StudyStore, trial: str, attempt: int, *epochs: int) -> list[Path]:
    folder = Path(study.folder) / "checkpoints" / trial
    arrays = [np.arange(200.0)]
    for epoch in epochs:
        checkpoint.write(folder, checkpoint.Checkpoint(epoch=epoch, attempt=attempt, rows=(), model=arrays, optimizer=arrays))
    return [Path(checkpoint.path_of(folder, attempt, epoch)) for epoch in epochs]


def trials_that_are(study: StudyStore, status: Status) -> list[str]:
    return [row["trial"] for row in tables.tables(study.read())[0].to_pylist() if row["status"] == status]


# What is whole is found whole


def test_a_study_that_lost_nothing(study: StudyStore) -> None:
    audited = audit(study)
    assert audited.findings == ()
    read = study.read()
    assert (audited.suggested, sum(audited.by_status.values()), audited.late) == (8, 8, 0)
    assert audited.by_status["completed"] == len(trials_that_are(study, Status.COMPLETED)) > 0
    assert audited.events == len(read)
    assert audited.epochs == tables.tables(read)[1].num_rows
    assert audited.retried == sum(row["attempt"] > 1 for row in tables.tables(read)[0].to_pylist()) > 0
    assert not audited.is_driven


def test_nothing_yet(tmp_path: Path) -> None:
    empty = StudyStore(tmp_path / "made")
    empty.create(spec().to_yaml())
    assert audit(empty).findings == ()
    assert audit(empty).suggested == 0


@pytest.mark.parametrize("version", range(1, records.SCHEMA_VERSION + 1))
def test_a_study_of_every_schema(version: int, tmp_path: Path, run: Run) -> None:
    study = StudyStore(Path(shutil.copytree(FIXTURES / f"ledger-v{version}", tmp_path / f"ledger-v{version}")))
    assert found(study) == ({Found.UNPROVEN: 1} if version == 1 else {}), "not a number equals itself"
    assert audit(study).late == 0
    code, out, _ = run("audit", Path(study.folder))
    assert code == 0
    assert out.rstrip().endswith("readable, as far as schema 1 can tell" if version == 1 else "everything readable")
    for path in sorted(Path(study.ledger_folder).iterdir()):
        shutil.copyfile(path, path.with_name(parts.name_of(9, len(parts.names(study.ledger_folder)))))
    assert Found.REPEATED not in found(study)


@pytest.mark.parametrize("seed", range(12))
def test_killed_anywhere_any_number_of_times(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    study = StudyStore(tmp_path / "made")
    is_finished = False
    while not is_finished:
        cut = chance.choice([*range(1, 25), None])
        compact_every = chance.choice([None, 2, 5, 11])
        drive(study, spec(), cut, commit_every=chance.randrange(1, 9), compact_every=compact_every)
        audited = audit(study)
        assert {finding.kind for finding in audited.findings} <= {Found.STALE}, audited.findings
        assert audited.by_status["running"] == 0
        assert audited.suggested == sum(audited.by_status.values())
        is_finished = Search(spec()).fold(study.read()).is_finished
    assert audited.by_status["interrupted"] == 0
    assert audited.suggested == 8


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", range(10))
def test_a_compaction_interrupted_anywhere_loses_nothing(study: StudyStore, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    left = step

    def may_crash(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash
            return function(*arguments, **keywords)

        return call

    with study.drive() as ledger, monkeypatch.context() as patch:
        for owner, name in ((os, "fsync"), (os, "link"), (Path, "unlink")):
            patch.setattr(owner, name, may_crash(getattr(owner, name)))
        with pytest.raises(Crash):
            ledger.compact()
    assert found(study) == {}
    drive(study)
    assert found(study) == {}


def test_what_a_dead_driver_wrote_late_is_counted_and_no_fault(study: StudyStore) -> None:
    dead = store.Ledger.open(study, {}, None)
    late = [dead.append(Event(kind=Kind.EPOCH, trial="cnn-00000", attempt=1, epoch=9, status=Status.RUNNING)) for _ in range(3)]
    path = Path(study.ledger_folder) / parts.name_of(*late[0].key[:2])
    os.unlink(Path(study.folder) / "owner.json")  # as a successor on another machine does, after a minute without a sign of life
    drive(study)
    parts.write(place(path), parts.from_events(late))
    dead.close()
    audited = audit(study)
    assert (audited.findings, audited.late) == ((), 3)
    with study.drive() as ledger:
        ledger.compact()
    audited = audit(study)
    assert (audited.findings, audited.late) == ((), 3)


def test_beside_a_driver_that_writes_and_compacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "AGAIN_AFTER_S", 0.02)
    study = StudyStore(tmp_path / "made")
    study.create(spec().to_yaml())
    is_over = threading.Event()
    audits: list[Audit] = []
    errors: list[BaseException] = []

    def watch() -> None:
        try:
            while not is_over.is_set():
                audits.append(audit(study))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        with driven(study, commit_every=1, compact_every=3) as clock:
            monkeypatch.setattr(clock, "seconds", lambda trial: trained(study, trial, 1, 1, 2) and 1.0)
            clock.run()
    finally:
        is_over.set()
        thread.join()
    assert not errors
    assert any(audited.is_driven and audited.suggested for audited in audits)
    assert [finding for audited in audits for finding in audited.faults] == []


def test_while_a_driver_works_only_what_stays_is_reported(study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "AGAIN_AFTER_S", 0.0)
    stays, passes, comes = (Finding(kind=Found.ORPHANED, where=where, what=where) for where in ("stays", "passes", "comes"))
    quiet = audit(study)
    looks = iter([(stays, passes), (stays, comes)] * 2)

    def examine(material: whole.Material) -> Audit:
        return dataclasses.replace(quiet, findings=next(looks), is_driven=material.is_driven)

    monkeypatch.setattr(whole, "examine", examine)
    with study.drive():
        assert audit(study).findings == (stays,)
    assert audit(study).findings == (stays, passes), "nobody changes anything meanwhile"


# Damage to the ledger


def test_a_lost_commit_leaves_a_hole(study: StudyStore) -> None:
    path = Path(study.ledger_folder) / "000003-000000002.parquet"
    num_events = audit(study).events
    num_rows = len(pq.read_table(path))
    path.unlink()
    audited = audit(study)
    assert audited.events == num_events - num_rows
    lost = [finding.where for finding in audited.findings if finding.kind is Found.LOST]
    assert "generation 3, commit 2" in lost
    assert audited.number(Found.UNCHECKED) == 1


def test_a_lost_merged_part_loses_whole_generations(study: StudyStore) -> None:
    merged = part(study, lambda table: len(set(table.column("generation").to_pylist())) > 1)
    merged.unlink()
    lost = [finding.where for finding in audit(study).findings if finding.kind is Found.LOST]
    assert any(where.startswith("generation 1, commits 1 to ") for where in lost)


def test_a_fence_that_speaks_of_what_is_not_there(study: StudyStore) -> None:
    second = [path for path in sorted(Path(study.ledger_folder).iterdir()) if path.name.startswith("000002")]
    second[-1].unlink()
    finding = next(finding for finding in audit(study).findings if finding.kind is Found.LOST)
    assert finding.where.startswith("generation 2, commit")
    assert finding.what == "a later driver saw it, and it is not there"
    with study.drive():
        pass  # whose fence knows no better
    assert finding in audit(study).findings


def test_the_last_part_is_missed_where_the_tables_know_of_it(study: StudyStore) -> None:
    last = sorted(Path(study.ledger_folder).iterdir())[-1]
    assert pc.any(pc.equal(pq.read_table(last).column("kind"), "epoch")).as_py()
    last.unlink()
    finding = next(finding for finding in audit(study).findings if finding.kind is Found.LOST)
    assert finding.where.endswith("epochs.parquet")
    (Path(study.folder) / "tables" / "epochs.parquet").unlink()
    (Path(study.folder) / "tables" / "trials.parquet").unlink()
    assert audit(study).faults == (), "nothing that is left knows of it, as the README says"


def test_the_last_part_is_missed_where_its_name_is_left(study: StudyStore) -> None:
    shutil.rmtree(Path(study.folder) / "tables")
    *_, before, last = sorted(Path(study.ledger_folder).iterdir())
    shutil.copyfile(before, last)
    (finding,) = [finding for finding in audit(study).findings if finding.kind is Found.LOST]
    assert finding.what == "a part has its number, and its rows are not there"
    assert finding.commits == (3, parts.sequence_of(last.name), parts.sequence_of(last.name))
    assert repair(study)[1].faults == ()
    assert found(study)[Found.GIVEN_UP] == 1


@pytest.mark.parametrize("num_parts", [1, 2])
def test_what_a_repair_took_note_of_is_not_taken_for_a_later_part(study: StudyStore, num_parts: int) -> None:
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


def test_a_row_cut_out_of_a_commit(study: StudyStore) -> None:
    path = part(study, lambda table: set(table.column("generation").to_pylist()) == {3} and len(table) > 1)
    table = pq.read_table(path)
    path.unlink()
    parts.write(place(path), table.slice(1))
    finding = next(finding for finding in audit(study).findings if finding.kind is Found.LOST)
    assert finding.where.startswith("generation 3, commit")
    assert finding.what == f"1 of its {len(table)} rows are not there"


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "link"])
def test_an_unreadable_part_is_named_with_its_fault(study: StudyStore, damage: str) -> None:
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


def test_a_part_of_a_newer_version_is_not_moved_away(study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_tables_that_know_of_a_newer_part_stay(study: StudyStore) -> None:
    last = sorted(Path(study.ledger_folder).iterdir())[-1]
    newer = pq.read_table(last).replace_schema_metadata({"sweeper_schema": str(records.SCHEMA_VERSION + 1)})
    last.unlink()
    pq.write_table(newer, last)
    assert any(finding.where.endswith("epochs.parquet") for finding in audit(study).faults)
    assert repair(study)[0] == []
    assert (Path(study.folder) / "tables" / "epochs.parquet").is_file()


@pytest.mark.parametrize("column", ["kind", "status", "reason", "stage"])
def test_a_word_this_version_does_not_know(study: StudyStore, column: str) -> None:
    path = part(study, lambda table: table.column(column).null_count < len(table))
    old = next(value for value in pq.read_table(path).column(column).to_pylist() if value is not None)
    change(path, column, old, "frobnicated")
    (finding,) = [finding for finding in audit(study).findings if finding.kind is Found.UNREADABLE]
    assert finding.what == f"1 rows with {column} 'frobnicated', which this version does not know"


def test_a_fence_that_cannot_be_read(study: StudyStore) -> None:
    path = Path(study.ledger_folder) / "000003-000000001.parquet"
    change(path, "kind", "driver_started", "driver_started")
    assert found(study) == {}
    detail = pq.read_table(path).column("detail").to_pylist()[0]
    change(path, "detail", detail, "[]")
    finding = audit(study).findings[0]
    assert finding.kind is Found.UNREADABLE
    assert "has no readable fence" in finding.what


def test_rows_that_lack_columns(study: StudyStore) -> None:
    add(study, Event(kind=Kind.EPOCH, trial="cnn-00000"), Event(kind=Kind.SUGGESTED))
    assert found(study)[Found.UNREADABLE] == 2


def test_two_different_rows_of_one_key(study: StudyStore) -> None:
    path = part(study, lambda table: "epoch" in table.column("kind").to_pylist())
    copy = path.with_name("000003-000000099.parquet")
    shutil.copyfile(path, copy)
    assert Found.REPEATED not in found(study), "twice the same is what an interrupted compaction leaves"
    old = next(value for value in pq.read_table(copy).column("val_loss").to_pylist() if value is not None)
    change(copy, "val_loss", old, float(np.nextafter(old, 1)))
    (finding,) = [finding for finding in audit(study).findings if finding.kind is Found.REPEATED]
    assert finding.what == f"two different rows of this key, in {path.name} and {copy.name}"


# Damage to trials


def test_a_trial_without_its_suggestion(study: StudyStore) -> None:
    add(study, Event(kind=Kind.EPOCH, trial="cnn-00099", arm="cnn", attempt=1, epoch=1, status=Status.RUNNING))
    lost = {finding.where: finding.what for finding in audit(study).findings if finding.kind is Found.LOST}
    assert lost == {"trial cnn-00099": "1 rows of it are there, and its suggestion is not"}


def test_epochs_and_attempts_that_miss_what_goes_before_them(study: StudyStore) -> None:
    row = {"trial": "cnn-00000", "arm": "cnn", "status": Status.RUNNING}
    add(study, Event(kind=Kind.EPOCH, attempt=5, epoch=9, **row))
    lost = {finding.where: finding.count for finding in audit(study).findings if finding.kind is Found.LOST}
    last = max(event.attempt or 0 for event in study.read() if event.trial == "cnn-00000" and event.kind is Kind.SUGGESTED)
    ended = max(event.epoch or 0 for event in study.read()[:-1] if event.trial == "cnn-00000")
    assert lost == {
        f"trial cnn-00000, attempts {last + 1} to 5": 5 - last,
        f"trial cnn-00000, epochs {ended + 1} to 8": 8 - ended,
    }


def test_repeated_and_differing_epochs(study: StudyStore) -> None:
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


# Decisions


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
    study: StudyStore, status: str, reason: str | None, new_status: str, new_reason: str | None
) -> None:
    path = part(study, lambda table: (status, "epoch") in {(row["status"], row["kind"]) for row in table.to_pylist()})
    rows = pq.read_table(path).to_pylist()
    row = next(row for row in rows if row["kind"] == "epoch" and (row["status"], row["reason"]) == (status, reason))
    row.update(status=new_status, reason=new_reason)
    path.unlink()
    parts.write(place(path), pa.Table.from_pylist(rows, records.schema()))
    misjudged = [finding for finding in audit(study).findings if finding.kind is Found.MISJUDGED]
    assert misjudged[0].where == f"trial {row['trial']}, attempt {row['attempt']}, epoch {row['epoch']}"
    assert misjudged[0].what.endswith(f"follows {status}" + (f" ({reason})" if reason else ""))


def test_a_trial_that_ends_twice_is_told_twice(study: StudyStore) -> None:
    trial = trials_that_are(study, Status.COMPLETED)[0]
    last = max(event.attempt or 0 for event in study.read() if event.trial == trial)
    add(study, Event(kind=Kind.ATTEMPT_ENDED, trial=trial, attempt=last, status=Status.FAILED, reason=Reason.EXCEPTION))
    (finding,) = audit(study).faults
    assert (finding.kind, finding.what) == (Found.UNTOLD, "it is failed, and samplers know of it 2 times")


def test_a_metric_changed_by_hand_contradicts_the_decisions_after_it(study: StudyStore) -> None:
    stopped = next(event for event in study.read() if event.status is Status.STOPPED)
    path = part(study, lambda table: stopped.key in zip(*(table.column(name).to_pylist() for name in parts._KEY), strict=True))
    change(path, "val_accuracy", stopped.val_accuracy, 0.99, lambda row: row["trial"] == stopped.trial)
    assert audit(study).number(Found.MISJUDGED) >= 1


def test_a_failure_after_a_death_is_judged_by_the_rules_of_its_time(study: StudyStore, tmp_path: Path) -> None:
    new = StudyStore(tmp_path / "other" / "made")
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


def test_a_study_whose_architectures_are_gone_is_audited_whole(study: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeper.catalog.names", lambda kind: [])
    assert found(study) == {}


def test_what_the_search_cannot_follow(study: StudyStore) -> None:
    event = next(event for event in study.read() if event.kind is Kind.SUGGESTED)
    add(study, event.replace(trial="other-00000", arm="other"))
    assert "the search cannot follow" in next(one for one in audit(study).findings if one.kind is Found.UNREADABLE).what


# Checkpoints


def test_checkpoints_that_are_of_use(study: StudyStore) -> None:
    completed = trials_that_are(study, Status.COMPLETED)[0]
    trained(study, completed, 1, 4)
    assert found(study) == {}
    assert audit(study).checkpoints == 1
    assert audit(study).checkpoint_bytes > 3200


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "text"])
def test_a_checkpoint_that_cannot_be_read(study: StudyStore, damage: str) -> None:
    (path,) = trained(study, trials_that_are(study, Status.COMPLETED)[0], 1, 4)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"torn": data[:-100], "flipped": data, "empty": b"", "text": b"hello"}[damage])
    assert found(study) == {Found.TORN: 1}


def test_checkpoints_nobody_needs(study: StudyStore) -> None:
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


# The study's file


@pytest.mark.parametrize("change", ["another", "no study", "no text"])
def test_a_study_file_that_was_changed(study: StudyStore, run: Run, change: str) -> None:
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


# Tables


def test_tables_that_are_not_what_the_ledger_gives(study: StudyStore) -> None:
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


# Repair


@pytest.mark.parametrize("which", ["first", "suggestion", "middle", "end of a generation", "last"])
def test_what_is_lost_is_done_again(tmp_path: Path, which: str) -> None:
    study = StudyStore(tmp_path / "made")
    drive(study, spec(), num_events=16)
    drive(study, num_events=12)
    names = parts.names(study.ledger_folder)
    first_generation = [name for name in names if name.startswith("000001")]
    suggestion = part(study, lambda table: "suggested" in table.column("kind").to_pylist()).name
    name = {
        "first": names[0], "suggestion": suggestion, "middle": first_generation[6],
        "end of a generation": first_generation[-1], "last": names[-1],
    }[which]  # fmt: skip
    path = Path(study.ledger_folder) / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(LedgerError):
        study.read()
    assert audit(study).number(Found.UNREADABLE) == 1
    _, after = repair(study)
    assert after.number(Found.UNREADABLE) == 0
    assert (Path(study.folder) / "damaged" / name).is_file()
    assert after.number(Found.GIVEN_UP) >= 1
    assert drive(study).is_finished
    trials, epochs = tables.tables(study.read())
    assert trials.num_rows == 8
    assert not {row["status"] for row in trials.to_pylist()} & {"running", "interrupted"}
    assert audit(study).faults == ()
    assert all(row["epoch"] <= 4 and row["val_accuracy"] == curve(row["trial"], row["epoch"]) for row in epochs.to_pylist())


def test_nothing_that_is_moved_away_takes_the_place_of_another(study: StudyStore) -> None:
    path = Path(study.ledger_folder) / "000003-000000002.parquet"
    for content in (b"one", b"two"):
        path.write_bytes(content)
        repair(study)
    assert sorted(one.name for one in (Path(study.folder) / "damaged").glob("00*")) == [path.name, f"{path.name}.2"]


def test_tables_that_hold_lost_rows_are_kept(study: StudyStore) -> None:
    sorted(Path(study.ledger_folder).iterdir())[-1].unlink()
    before = (Path(study.folder) / "tables" / "epochs.parquet").read_bytes()
    repair(study)
    assert (Path(study.folder) / "damaged" / "epochs.parquet").read_bytes() == before


def test_no_repair_while_a_driver_works(study: StudyStore) -> None:
    with study.drive(), pytest.raises(StudyLockedError):
        repair(study)
    assert repair(study)[1].faults == ()
    assert study.owner is None


# The command


def test_the_command_on_a_whole_study(study: StudyStore, run: Run) -> None:
    code, out, err = run("audit", Path(study.folder))
    assert (code, err) == (0, "")
    assert "suggested  finished" in out
    assert out.endswith("nothing lost, nothing repeated, everything readable\n")
    code, out, _ = run("audit", "made", "--results", Path(study.folder).parent, "--json")
    facts = json.loads(out)
    assert code == 0
    assert {name: facts[name] for name in ("suggested", "finished", "interrupted", "lost", "repeated", "unreadable")} == {
        "suggested": 8, "finished": 8, "interrupted": 0, "lost": 0, "repeated": 0, "unreadable": 0,
    }  # fmt: skip
    assert (facts["findings"], facts["is_clean"]) == ([], True)


def test_the_command_on_an_interrupted_study(tmp_path: Path, run: Run) -> None:
    study = StudyStore(tmp_path / "made")
    drive(study, spec(), num_events=9)
    code, out, _ = run("audit", Path(study.folder), "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["interrupted"] == facts["suggested"] - facts["finished"] > 0
    code, out, _ = run("audit", Path(study.folder), "--repair")
    assert code == 0
    assert f"wrote {Path(study.folder) / 'tables' / 'epochs.parquet'}" in out
    assert "note" not in run("audit", Path(study.folder))[1]


def test_the_command_on_a_damaged_study(study: StudyStore, run: Run) -> None:
    path = Path(study.ledger_folder) / "000003-000000002.parquet"
    (torn,) = trained(study, trials_that_are(study, Status.COMPLETED)[0], 1, 4)
    path.write_bytes(path.read_bytes()[:-9])
    torn.write_bytes(b"")
    code, out, err = run("audit", Path(study.folder))
    assert (code, err) == (1, "")
    assert f"unreadable: {path}: " in out
    assert "lost: generation 3, commit 2: " in out
    assert "(restore it from a copy; --repair moves it to damaged/)" in out
    assert out.splitlines()[-1].endswith("something is wrong with this study")
    assert path.exists(), "without --repair nothing is changed"
    code, out, _ = run("audit", Path(study.folder), "--json")
    facts = json.loads(out)
    assert (code, facts["unreadable"], facts["torn"], facts["is_clean"]) == (1, 1, 1, False)
    assert facts["lost"] > 0
    assert {"kind", "where", "what", "repair"} <= facts["findings"][0].keys()
    code, out, _ = run("audit", Path(study.folder), "--repair", "--json")
    facts = json.loads(out)
    assert (facts["unreadable"], facts["torn"]) == (0, 0)
    assert facts["given_up"] > 0
    assert [line.split()[0] for line in facts["repaired"]] == ["moved", "removed", "took"]
    assert not path.exists()
    assert not torn.exists()
    drive(study)
    code, out, _ = run("audit", Path(study.folder))
    assert code == 0
    assert "note, given_up: generation 3, commit 2: " in out
    assert out.endswith("nothing lost, but for what a repair took note of, nothing repeated, everything readable\n")


def test_the_command_mends_what_can_be_mended(study: StudyStore, run: Run) -> None:
    trained(study, "cnn-00042", 1, 1)
    assert run("audit", Path(study.folder))[0] == 1
    code, out, _ = run("audit", Path(study.folder), "--repair")
    assert code == 0
    assert out.splitlines()[0].startswith("removed ")
    assert run("audit", Path(study.folder))[0] == 0


def test_what_the_command_refuses(study: StudyStore, run: Run) -> None:
    assert run("audit", "absent")[0] == 2
    with study.drive():
        code, _, err = run("audit", Path(study.folder), "--repair")
        assert code == 2
        assert "is locked by" in err
        assert run("audit", Path(study.folder))[0] == 0
