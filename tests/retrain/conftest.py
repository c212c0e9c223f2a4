"""A recorded study, a copy of its own for every test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sweeper.ledger.ledger import StudyFolder
from sweeper.training import devices
from tests.retrain.recording import EPOCHS, record, study, write_data


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The framework of this process is set up already, and its environment belongs to all tests."""
    monkeypatch.setattr(devices, "configure", lambda training, resources: "cpu")
    monkeypatch.setattr(devices, "environment", lambda training, resources, keras_home: {"KERAS_HOME": os.environ["KERAS_HOME"]})


@pytest.fixture(scope="session")
def kept(framework: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, and a results folder with a study whose trial took two attempts; to be copied."""
    folder = tmp_path_factory.mktemp("kept")
    write_data(folder / "data.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "configure", lambda training, resources: "cpu")
        record(study(folder / "data.npz"), folder / "results" / "tiny", attempts=(2, EPOCHS - 2))
    return folder


@pytest.fixture
def stored(kept: Path, tmp_path: Path) -> StudyFolder:
    """The recorded study, one's own copy, under ``results``."""
    shutil.copytree(kept / "results", tmp_path / "results")
    return StudyFolder(tmp_path / "results" / "tiny")
