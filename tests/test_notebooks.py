"""Notebooks: stripped, and each of them runs on a study from its first cell to its last."""

from __future__ import annotations

import ast
import json
import linecache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from sweeper.ledger import predictions
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.tables import write_tables
from sweeper.storage import place
from tests.cli.test_confirm import confirmed

TRAINING = "04_own_network"
"""Runs a study of its own; the others read one."""

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def cells(path: Path, kind: str) -> list[str]:
    """The text of a notebook's cells of a kind."""
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def run_all(path: Path, study: Path) -> dict[str, Any]:
    """Run a notebook's code as a kernel does, cell by cell; the names it leaves, and the values its cells show."""
    shown: list[Any] = []
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, text in enumerate(cells(path, "code")):
        *first, last = ast.parse(text).body
        name = f"{path.name}, cell {number}"
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)  # where a kernel keeps the source of cells
        if isinstance(last, ast.Expr):
            exec(compile(ast.Module(first, []), name, "exec"), names)
            shown.append(eval(compile(ast.Expression(last.value), name, "eval"), names))
        else:
            exec(compile(ast.Module([*first, last], []), name, "exec"), names)
    return names | {"shown": shown}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of two arms, made without Ray, confirmed on three seeds, with predictions."""
    folder = tmp_path / "results" / "made"
    confirmed(folder)
    write_tables(folder, StudyFolder(folder).read())
    stream = np.random.default_rng(0)
    for trial in ("cnn-00002-s1001", "vit-00001-s1001"):
        probabilities = stream.dirichlet(np.ones(10), 40).astype(np.float32)
        parts = [("test", np.arange(40), np.arange(40) % 10, probabilities)]
        predictions.write(place(folder) / "predictions", trial, parts, tuple("0123456789"))
    monkeypatch.setenv("SWEEPER_STUDY", str(folder))
    monkeypatch.setattr(mpl, "rcParams", mpl.rcParams.copy())
    mpl.use("agg")
    return folder


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stripped_and_explains_itself(path: Path) -> None:
    raw = json.loads(path.read_text())
    assert raw["nbformat"] == 4
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in raw["cells"])
    assert cells(path, "markdown")[0].startswith("# ")
    assert "sweeper.training" not in path.read_text(), "a notebook reads results and trains nothing"


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem != TRAINING], ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(path: Path, study: Path) -> None:
    import matplotlib.pyplot as plt

    names = run_all(path, study)
    try:
        assert len(plt.get_fignums()) >= 1
        if path.stem == "01_explore":
            assert names["shown"][1].loc["cnn", "max"] == pytest.approx(
                names["search"].query("arm == 'cnn'")["val_accuracy"].max()
            )
        if path.stem == "02_pareto":
            best = names["best"]
            assert best["parameters"].is_monotonic_increasing and best["val_accuracy"].is_monotonic_increasing
        if path.stem == "03_seeds":
            assert list(names["wide"].columns) == ["vit-00001", "cnn-00002"]
            assert names["rows"][0]["points"] == pytest.approx(10.0)
    finally:
        plt.close("all")


@pytest.mark.ray
@pytest.mark.long
@pytest.mark.usefixtures("ray_ready", "one_at_a_time")
def test_an_own_network_goes_from_a_cell_to_a_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWEEPER_RESULTS", "results")
    monkeypatch.setattr(mpl, "rcParams", mpl.rcParams.copy())
    (path,) = (path for path in NOTEBOOKS if path.stem == TRAINING)
    assert len(cells(path, "code")) == 10
    names = run_all(path, tmp_path)
    out, err = capsys.readouterr()
    assert "interrupted, everything is saved; call it again to go on" in err
    trials = names["results"].trials
    assert trials["stage"].value_counts().to_dict() == {"confirm": 9, "search": 6}
    assert (trials["status"] == "completed").all()
    assert len(names["results"].seeds) == 3
    assert names["exported"].is_exact
    assert names["probabilities"].sum() == pytest.approx(1.0, abs=0.01)
    assert f"it says {names['probabilities'].argmax()} with probability" in out
