"""The miniature network in the place of Keras Applications, and a file of weights for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeper.training.weights.applications import Application
from tests.weights import miniature as tiny


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Application:
    tiny.in_this_process(monkeypatch)
    return tiny.install(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path, entry: Application) -> Path:
    """A folder with the file of the miniature network."""
    tiny.write(tmp_path / "weights", entry)
    return tmp_path / "weights"
