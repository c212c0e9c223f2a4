"""Studies to store things in, on both kinds of storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeper.ledger.ledger import StudyFolder
from sweeper.storage import Place, place


@pytest.fixture(params=["local", "s3"])
def results(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A results folder of each kind of storage."""
    return place(tmp_path) if request.param == "local" else request.getfixturevalue("bucket") / "results"


@pytest.fixture
def study(results: Place) -> StudyFolder:
    made = StudyFolder(results / "study")
    made.create("name: study\n")
    return made


@pytest.fixture
def local_study(tmp_path: Path) -> StudyFolder:
    """For what only happens on a file system."""
    made = StudyFolder(tmp_path / "study")
    made.create("name: study\n")
    return made
