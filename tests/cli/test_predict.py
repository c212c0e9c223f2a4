"""``sweeper predict``: which models answer, what is printed, how it refuses; that a model is made again is in test_final."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sweeper.cli import predict
from sweeper.ledger import predictions
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.tables import tables
from sweeper.storage import place
from tests.cli.test_ablation import make
from tests.cli.test_confirm import confirmed
from tests.conftest import Run

NAMES = tuple("0123456789")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A confirmed study, whose models are as sure of one class each as they ever are."""
    folder = tmp_path / "results" / "made"
    confirmed(folder)
    for label, trial in ((3, "cnn-00002-s1001"), (4, "vit-00001-s1001")):
        probabilities = np.full((2, 10), 0.4 / 9, np.float32)
        probabilities[:, label] = 0.6 if label == 3 else 0.5
        predictions.write(place(folder) / "predictions", trial, [("test", np.arange(2), np.array([3, 4]), probabilities)], NAMES)

    def predicted(opened: Any, trials: Any, files: Any, typed: str) -> Any:
        sure = {trial.trial: np.eye(10)[[3 if trial.arm == "cnn" else 4]] for trial in trials}
        return NAMES, sure

    monkeypatch.setattr(predict, "_predicted", predicted)
    return folder


def test_all_arms_answer_side_by_side_and_together(run: Run, results: Path) -> None:
    code, out, _ = run("predict", "made", "photo.png", "--json")
    facts = json.loads(out)
    assert code == 0
    models = facts["images"][0]["models"]
    assert list(models) == ["vit", "cnn", "ensemble"], "best first"
    assert models["cnn"]["3"] == 1
    assert models["ensemble"]["3"] == models["ensemble"]["4"] == 0.5
    assert facts["test_accuracy"]["ensemble"] == 0.5
    assert facts["test_accuracy_of"]["cnn"]["weights"] == ["cnn-00002-s1001"]
    code, out, _ = run("predict", "made", "photo.png", "--model", "best", "--top", 1)
    assert "4 100 %" in out
    assert "vit predicts with the weights of vit-00001-s1001" in out
    assert "ensemble" not in out
    code, out, _ = run("predict", "made", "photo.png", "--model", "vit-00001-s1001", "--model", "vit-00001-s1002")
    assert "vit-00001-s1002" in out
    code, out, _ = run("predict", "made", "photo.png", "--model", "cnn-00000")
    assert "not tested" in out, "a trial of the search"


def test_the_accuracy_beside_a_model_is_that_of_all_its_seeds(run: Run, results: Path) -> None:
    _, out, _ = run("predict", "made", "photo.png", "--json")
    rows = {row.trial: row.test_accuracy for row in tables(StudyFolder(results).read())[0].to_pandas().itertuples()}
    own = [value for trial, value in rows.items() if trial.startswith("cnn-00002-s")]
    told = json.loads(out)["test_accuracy_of"]["cnn"]
    assert len(own) == told["seeds"] == 3
    assert (told["low"], told["high"]) == (min(own), max(own))
    assert told["mean"] == pytest.approx(sum(own) / 3)
    assert told["low"] < told["high"]
    shown = f"{100 * told['mean']:.1f} % ({100 * told['low']:.1f} to {100 * told['high']:.1f} over 3 seeds)"
    assert shown in run("predict", "made", "photo.png")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photo.png", "--model", "vitt"], "unknown model 'vitt'. Did you mean 'vit'?"),
        ([], "Missing argument 'IMAGE...'"),
    ],
)
def test_wrong_arguments_are_one_error(arguments: list[str], message: str, run: Run, results: Path) -> None:
    code, _, err = run("predict", "made", *arguments)
    assert code == 2
    assert message in err


def test_a_study_that_is_not_confirmed_has_no_model(run: Run, tmp_path: Path) -> None:
    make(tmp_path / "results" / "made")
    code, _, err = run("predict", "made", "photo.png")
    assert code == 2
    assert "has no confirmed model; confirm it first: sweeper confirm made" in err


def test_an_image_that_is_none_is_named(run: Run, tmp_path: Path) -> None:
    confirmed(tmp_path / "results" / "made")
    (tmp_path / "note.png").write_text("no image")
    Image.new("L", (9, 5)).save(tmp_path / "grey.png")
    code, _, err = run("predict", "made", tmp_path / "note.png", tmp_path / "grey.png", tmp_path / "gone.png")
    assert code == 2
    assert "2 images cannot be read" in err
    assert "note.png: its content is not an image" in err
    assert "gone.png" in err
