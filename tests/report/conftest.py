"""A results folder for all tests of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeper.study.spec import parse
from tests.cli.kit import STUDY, make_study


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a finished study, `made`, that nothing confirmed."""
    results = tmp_path_factory.mktemp("results")
    make_study(results / "made", parse(STUDY))
    return results
