"""A stored study is read once and folded once, again only if a driver has written meanwhile; what commands say of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sweeper.cli import _running as launching
from sweeper.cli import cli, status
from sweeper.driver import launch
from sweeper.driver.extending import extended
from sweeper.driver.opened import OpenedStudy, looked_again, open_study
from sweeper.errors import UnknownNameError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Reason
from sweeper.search import details, repetition
from sweeper.search.study import Search
from sweeper.study.spec import StudySpec, parse
from tests import driverless
from tests.conftest import Run
from tests.driverless import LedgerClock, drive, driven

STUDY = """
name: a
dataset: {name: digits, size: 8}
arms: {cnn: {}}
budget: {trials: 3, max_epochs: 2}
search: {sampler: random}
"""


@pytest.fixture
def files(tmp_path: Path) -> StudyFolder:
    """A finished study."""
    made = StudyFolder(tmp_path / "results" / "a")
    drive(made, parse(STUDY))
    return made


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often a ledger was read whole, and how often one was folded."""
    counted = {"reads": 0, "folds": 0}
    read, fold = StudyFolder.read, Search.fold

    def counting_read(self: StudyFolder) -> Any:
        counted["reads"] += 1
        return read(self)

    def counting_fold(self: Search, events: Any) -> Search:
        counted["folds"] += 1
        return fold(self, events)

    monkeypatch.setattr(StudyFolder, "read", counting_read)
    monkeypatch.setattr(Search, "fold", counting_fold)
    return counted


@pytest.mark.parametrize("command", [["plot", "a", "accuracy_per_arm"], ["pareto", "a"], ["recommend", "a"], ["report", "a"]])
def test_what_needs_results_alone_folds_nothing_and_reads_no_ledger_where_the_tables_are_current(
    command: list[str], files: StudyFolder, counts: dict[str, int], run: Run
) -> None:
    is_report = command[0] in ("recommend", "report")
    code, _, err = run(*command)
    assert code == 0, err
    assert counts == {"reads": 1, "folds": int(is_report)}  # no tables yet, and a report says how many trials are to come
    open_study(files).write_tables()
    counts.update(reads=0, folds=0)
    code, _, err = run(*command)
    assert code == 0, err
    assert counts == {"reads": 0, "folds": 0}


@pytest.mark.parametrize("command", [["status", "a"], ["launch", "a.yaml"], ["resume", "a"]])
def test_a_command_reads_and_folds_a_finished_study_once(
    command: list[str], files: StudyFolder, counts: dict[str, int], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text(STUDY)
    code, _, err = run(*command)
    assert code == 0, err
    assert counts == {"reads": 1, "folds": 1}


def test_what_was_opened_is_driven_as_it_is_unless_another_driver_wrote(files: StudyFolder, counts: dict[str, int]) -> None:
    opened = open_study(files)
    with files.drive() as ledger:
        same = launch._under_lock(files, opened, ledger)
        assert same is opened
        assert same.events[-1] == ledger.started
    assert counts == {"reads": 1, "folds": 1}
    with files.drive() as ledger:
        again = launch._under_lock(files, opened, ledger)
        assert again is not opened
        assert again.events[-1] == ledger.started
    assert counts == {"reads": 2, "folds": 2}


def test_what_is_tidied_is_what_another_driver_left(files: StudyFolder, counts: dict[str, int]) -> None:
    opened = open_study(files)
    with files.drive():
        pass
    outcome = launch.launch(opened.first, files.folder.parent, opened=opened)
    assert outcome.was_finished
    assert len(outcome.study.events) == len(opened.events) + 1
    assert counts == {"reads": 2, "folds": 2}


def test_what_is_looked_at_again_is_read_on(tmp_path: Path, counts: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a driver does between two looks: it commits, merges parts, is killed, comes back."""
    files, looks, reads = StudyFolder(tmp_path / "a"), [], []

    class Watched(LedgerClock):
        def record(self, event: Event) -> None:
            super().record(event)
            before = counts["reads"]
            looks.append(looked_again(looks[-1]) if looks else open_study(files))
            reads.append(counts["reads"] - before)
            seen, whole = looks[-1], open_study(files)
            assert (seen.parts, seen.events, seen.search.trials) == (whole.parts, whole.events, whole.search.trials)

    monkeypatch.setattr(driverless, "LedgerClock", Watched)
    drive(files, parse(STUDY.replace("max_epochs: 2", "max_epochs: 5")), num_events=6, commit_every=1)
    num_first = len(reads)
    assert sum(reads) == 1
    drive(files, commit_every=1, compact_every=4)
    assert reads[num_first] == 1, "a new generation may hide what was read"
    assert 1 < sum(reads[num_first:]) < len(reads[num_first:]) / 2, "else only where parts were merged"


def test_a_study_is_opened_where_its_spaces_are_not_but_not_launched(files: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: StudySpec, arm: str) -> Any:
        raise UnknownNameError("space", arm, [])

    whole, more = parse(STUDY), parse(STUDY.replace("trials: 3", "trials: 4"))
    monkeypatch.setattr(StudySpec, "space_of", gone)
    opened: OpenedStudy = open_study(files)
    assert opened.search.is_finished
    assert launch.launch(whole, files.folder.parent).was_finished
    with pytest.raises(UnknownNameError):
        launch.launch(more, files.folder.parent)


def test_facts_are_printed_by_who_hands_over_too(files: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "hand_over", lambda *arguments: True)
    result = CliRunner().invoke(cli, ["resume", str(files.folder), "--trials", "4", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["study"] == "a"
    assert result.stderr == "extending study 'a': trials 3 -> 4\n"


def test_status_of_a_study_that_lost_its_extension_counts_what_its_search_does(files: StudyFolder) -> None:
    with driven(files) as clock:
        assert clock.ledger is not None
        longer = Search(extended(open_study(files).first, trials=4)).fold(clock.log)
        proposed = longer.propose()
        assert proposed is not None
        clock.record(proposed)
        clock.end(proposed.trial or "", Reason.EXCEPTION)
        planned = repetition.plan(clock.search, ["defaults"], 1)
        clock.record(details.planned_event([dataclasses.replace(one, arm="lost", trial="lost-00000-s1") for one in planned]))
        assert clock.search.is_finished
        clock.ledger.commit()
    facts = status.status_of(open_study(files))
    assert facts["arms"]["cnn"]["pending"] == facts["trials"]["pending"] == 0
    assert facts["is_finished"]
