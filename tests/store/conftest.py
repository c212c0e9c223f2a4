"""Studies to store things in, on both kinds of storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeper.storage import Place, place
from sweeper.store import StudyStore


@pytest.fixture(params=["local", "s3"])
def results(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A results folder of each kind of storage."""
    return place(tmp_path) if request.param == "local" else request.getfixturevalue("bucket") / "results"


@pytest.fixture
def study(results: Place) -> StudyStore:
    made = StudyStore(results / "study")
    made.create("name: study\n")
    return made


@pytest.fixture
def local_study(tmp_path: Path) -> StudyStore:
    """For what only happens on a file system."""
    made = StudyStore(tmp_path / "study")
    made.create("name: study\n")
    return made
