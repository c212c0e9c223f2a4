"""A study whose extension was lost, or is handed to another driver: what the commands say of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sweeper.cli import _running as launching
from sweeper.cli import cli, status
from sweeper.driver.extending import extended
from sweeper.driver.opened import open_study
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Reason
from sweeper.search import details, repetition
from sweeper.search.study import Search
from sweeper.study.spec import parse
from tests.driverless import drive, driven

SPEC = parse(
    """
name: a
dataset: {name: digits, size: 8}
arms: {cnn: {}}
budget: {trials: 2, max_epochs: 2}
search: {sampler: random}
"""
)


@pytest.fixture
def kept(tmp_path: Path) -> StudyFolder:
    """A finished study."""
    store = StudyFolder(tmp_path / "a")
    drive(store, SPEC)
    return store


def test_facts_are_printed_by_who_hands_over_too(kept: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "hand_over", lambda *arguments: True)
    result = CliRunner().invoke(cli, ["resume", str(kept.folder), "--trials", "3", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["study"] == "a"
    assert result.stderr == "extending study 'a': trials 2 -> 3\n"


def test_status_of_a_study_that_lost_its_extension_counts_what_its_search_does(kept: StudyFolder) -> None:
    with driven(kept) as clock:
        assert clock.ledger is not None
        longer = Search(extended(open_study(kept).first, trials=3)).fold(clock.log)
        proposed = longer.propose()
        assert proposed is not None
        clock.record(proposed)
        clock.end(proposed.trial or "", Reason.EXCEPTION)
        planned = repetition.plan(clock.search, ["defaults"], 1)
        clock.record(details.planned_event([dataclasses.replace(one, arm="lost", trial="lost-00000-s1") for one in planned]))
        assert clock.search.is_finished
        clock.ledger.commit()
    facts = status.status_of(open_study(kept))
    assert facts["arms"]["cnn"]["pending"] == facts["trials"]["pending"] == 0
    assert facts["is_finished"]
