"""A finished study, fresh for every test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sweeper.ledger import tables
from sweeper.ledger.ledger import StudyFolder
from tests.audit.damage import spec
from tests.driverless import drive


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of three generations; the second one merged what was there before it."""
    study = StudyFolder(tmp_path_factory.mktemp("results") / "made")
    drive(study, spec(), num_events=14)
    drive(study, num_events=14, compact_every=12)
    drive(study, commit_every=4)
    tables.write_tables(study.folder, study.read())
    return Path(study.folder)


@pytest.fixture
def study(made: Path, tmp_path: Path) -> StudyFolder:
    return StudyFolder(Path(shutil.copytree(made, tmp_path / "made")))
