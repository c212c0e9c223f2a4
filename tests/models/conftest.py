"""A recorded study for all tests of models, and a copy of its own for those that change it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sweeper.training import devices
from tests.models.recording import record, study


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The framework of this process is set up already, and its environment belongs to all tests."""
    monkeypatch.setattr(devices, "configure", lambda training, resources: "cpu")
    monkeypatch.setattr(devices, "environment", lambda training, resources, keras_home: {"KERAS_HOME": os.environ["KERAS_HOME"]})


@pytest.fixture(scope="session")
def recorded(framework: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with the study `small`."""
    folder = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "configure", lambda training, resources: "cpu")
        record(study(), folder / "results" / "small")
    return folder / "results"


@pytest.fixture
def own(recorded: Path, tmp_path: Path) -> Path:
    """The study, one's own copy, where commands look for it."""
    shutil.copytree(recorded, tmp_path / "results")
    return tmp_path / "results" / "small"
