"""``sweeper export`` for other tools: what is said, and where a library is missing."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import pytest

from sweeper.study.spec import StudySpec
from tests.cli.kit import make_study
from tests.conftest import Run


@pytest.fixture(scope="module")
def results(spec: StudySpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    make_study(folder / "two", spec)
    return folder


@pytest.mark.long
def test_optuna_needs_nothing_that_is_not_there(run: Run, results: Path) -> None:
    code, out, err = run("export", "two", "--results", results, "--to", "optuna", "--json")
    path = results / "two" / "export" / "optuna.db"
    assert (code, json.loads(out)) == (0, [str(path)])
    assert err == f"open it with: optuna-dashboard sqlite:///{path}\n"
    assert sqlite3.connect(path).execute("select count(*) from trials").fetchone() == (24,), "twelve, and by arm again"


@pytest.mark.parametrize(("tool", "module", "package"), [
    ("tensorboard", "tensorboard", "tensorboard"),
    ("mlflow", "mlflow", "mlflow-skinny"),
    ("wandb", "wandb", "wandb"),
])  # fmt: skip
def test_a_library_that_is_missing(
    tool: str, module: str, package: str, run: Run, results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    code, out, err = run("export", "two", "--results", results, "--to", tool, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err == (
        f"error: --to {tool} needs the package {package}, which is not installed. Get it with: pip install 'sweeper[{tool}]'\n"
    )
    assert list((tmp_path / "out").iterdir()) == []


def test_a_bucket_is_no_place_for_other_libraries(run: Run, results: Path) -> None:
    code, _, err = run("export", "two", "--results", results, "--to", "optuna", "--out", "s3://bucket/x")
    assert code == 2
    assert "error: optuna is written to a local folder, and s3://bucket/x is none. Name one with --out" in err
