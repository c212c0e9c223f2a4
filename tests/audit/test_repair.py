"""Repair, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweeper.audit.findings import Found
from sweeper.audit.repair import repair
from sweeper.audit.whole import audit
from sweeper.errors import LedgerError, StudyLockedError
from sweeper.ledger import parts, tables
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Status
from tests.audit.damage import part, spec, trained, trials_that_are
from tests.conftest import Run
from tests.driverless import curve, drive


@pytest.mark.parametrize("which", ["first", "suggestion", "middle", "end of a generation", "last"])
def test_what_is_lost_is_done_again(tmp_path: Path, which: str) -> None:
    study = StudyFolder(tmp_path / "made")
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


def test_nothing_that_is_moved_away_takes_the_place_of_another(study: StudyFolder) -> None:
    path = Path(study.ledger_folder) / "000003-000000002.parquet"
    for content in (b"one", b"two"):
        path.write_bytes(content)
        repair(study)
    assert sorted(one.name for one in (Path(study.folder) / "damaged").glob("00*")) == [path.name, f"{path.name}.2"]


def test_tables_that_hold_lost_rows_are_kept(study: StudyFolder) -> None:
    sorted(Path(study.ledger_folder).iterdir())[-1].unlink()
    before = (Path(study.folder) / "tables" / "epochs.parquet").read_bytes()
    repair(study)
    assert (Path(study.folder) / "damaged" / "epochs.parquet").read_bytes() == before


def test_no_repair_while_a_driver_works(study: StudyFolder) -> None:
    with study.drive(), pytest.raises(StudyLockedError):
        repair(study)
    assert repair(study)[1].faults == ()
    assert study.owner is None


def test_the_command_on_a_whole_study(study: StudyFolder, run: Run) -> None:
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
    study = StudyFolder(tmp_path / "made")
    drive(study, spec(), num_events=9)
    code, out, _ = run("audit", Path(study.folder), "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["interrupted"] == facts["suggested"] - facts["finished"] > 0
    code, out, _ = run("audit", Path(study.folder), "--repair")
    assert code == 0
    assert f"wrote {Path(study.folder) / 'tables' / 'epochs.parquet'}" in out
    assert "note" not in run("audit", Path(study.folder))[1]


def test_the_command_on_a_damaged_study(study: StudyFolder, run: Run) -> None:
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
    assert [line.split()[0] for line in facts["repaired"]] == ["moved", "removed", "noted"]
    assert not path.exists()
    assert not torn.exists()
    drive(study)
    code, out, _ = run("audit", Path(study.folder))
    assert code == 0
    assert "note, given_up: generation 3, commit 2: " in out
    assert out.endswith("nothing lost, but for what a repair noted as lost, nothing repeated, everything readable\n")


def test_the_command_mends_what_can_be_mended(study: StudyFolder, run: Run) -> None:
    trained(study, "cnn-00042", 1, 1)
    assert run("audit", Path(study.folder))[0] == 1
    code, out, _ = run("audit", Path(study.folder), "--repair")
    assert code == 0
    assert out.splitlines()[0].startswith("removed ")
    assert run("audit", Path(study.folder))[0] == 0


def test_what_the_command_refuses(study: StudyFolder, run: Run) -> None:
    assert run("audit", "absent")[0] == 2
    with study.drive():
        code, _, err = run("audit", Path(study.folder), "--repair")
        assert code == 2
        assert "is locked by" in err
        assert run("audit", Path(study.folder))[0] == 0
