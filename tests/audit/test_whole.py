"""What is whole is found whole."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeper.audit import whole
from sweeper.audit.findings import Audit, Finding, Found
from sweeper.audit.whole import audit
from sweeper.ledger import parts, records, tables
from sweeper.ledger.ledger import Ledger, StudyFolder
from sweeper.ledger.records import Event, Kind, Status
from sweeper.search.study import Search
from sweeper.storage import place
from tests.audit.damage import found, spec, trained, trials_that_are
from tests.conftest import Run
from tests.driverless import drive, driven
from tests.make_ledger_fixture import FIXTURES


def test_a_study_that_lost_nothing(study: StudyFolder) -> None:
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
    empty = StudyFolder(tmp_path / "made")
    empty.create(spec().to_yaml())
    assert audit(empty).findings == ()
    assert audit(empty).suggested == 0


@pytest.mark.parametrize("version", range(1, records.SCHEMA_VERSION + 1))
def test_a_study_of_every_schema(version: int, tmp_path: Path, run: Run) -> None:
    study = StudyFolder(Path(shutil.copytree(FIXTURES / f"ledger-v{version}", tmp_path / f"ledger-v{version}")))
    assert found(study) == ({Found.UNPROVEN: 1} if version == 1 else {}), "not a number equals itself"
    assert audit(study).late == 0
    code, out, _ = run("audit", Path(study.folder))
    assert code == 0
    assert out.rstrip().endswith("readable, as far as schema 1 can tell" if version == 1 else "everything readable")
    for path in sorted(Path(study.ledger_folder).iterdir()):
        shutil.copyfile(path, path.with_name(parts.name_of(9, len(parts.names(study.ledger_folder)))))
    assert Found.REPEATED not in found(study)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_killed_anywhere_any_number_of_times(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    study = StudyFolder(tmp_path / "made")
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
def test_a_compaction_interrupted_anywhere_loses_nothing(study: StudyFolder, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
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


def test_what_a_dead_driver_wrote_late_is_counted_and_no_fault(study: StudyFolder) -> None:
    dead = Ledger.open(study, {}, None)
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
    study = StudyFolder(tmp_path / "made")
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


def test_while_a_driver_works_only_what_stays_is_reported(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
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
