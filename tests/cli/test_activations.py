"""``sweeper activations``: which model is asked, which figures there are, how it refuses; the numbers are in test_activations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sweeper.cli import activations
from tests.cli.test_ablation import make
from tests.cli.test_confirm import confirmed
from tests.conftest import Run

NAMES = tuple("0123456789")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A confirmed study whose vit has attention and whose cnn has gates; the trials whose models were asked."""
    confirmed(tmp_path / "results" / "made")
    Image.new("L", (9, 5)).save(tmp_path / "photo.png")
    trials: list[str] = []

    def seen(opened: Any, trial: Any, image: Path, typed: str) -> Any:
        from sweeper.training.activations import Activations, AttentionMap, FeatureMap, Gate

        trials.append(trial.trial)
        is_vit = trial.arm == "vit"
        attention = (AttentionMap(stage="encoder", by="class token", values=np.ones((2, 2, 1), np.float32)),)
        gates = (Gate(stage="stage 1", weights=np.array([0.05, 0.5, 0.95], np.float32)),)
        found = Activations(
            probabilities=np.eye(10, dtype=np.float32)[3],
            feature_maps=(FeatureMap(stage="stage 1", values=np.arange(12, dtype=np.float32).reshape(2, 2, 3)),),
            attention=attention if is_vit else (),
            gates=() if is_vit else gates,
        )
        return NAMES, np.zeros((8, 8, 1), np.uint8), found

    monkeypatch.setattr(activations, "_seen", seen)
    return trials


def test_a_figure_for_each_thing_the_network_has(run: Run, asked: list[str], tmp_path: Path) -> None:
    code, out, err = run("activations", "made", "photo.png")
    assert code == 0
    assert asked == ["vit-00001-s1001"], "the best one"
    first, *files = out.splitlines()
    assert first == "vit-00001-s1001 (vit): 3 100 %, 9 0 %, 8 0 %"
    kinds = ("feature_maps", "attention")
    expected = [f"{kind}_vit-00001-s1001_photo.{end}" for kind in kinds for end in ("png", "svg")]
    assert [Path(file).name for file in files] == expected
    assert all((tmp_path / "results" / "made" / "figures" / name).stat().st_size > 1000 for name in expected)
    assert err == "not drawn: gates: the network has none\n"


def test_the_numbers_as_json(run: Run, asked: list[str]) -> None:
    code, out, _ = run("activations", "made", "photo.png", "--model", "cnn", "--out", "pictures", "--json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["trial"], facts["arm"], facts["probabilities"]["3"]) == ("cnn-00002-s1001", "cnn", 1)
    assert [row["channel"] for row in facts["feature_maps"]] == [2, 1, 0], "the strongest first"
    assert facts["feature_maps"][0]["strength"] == (2 + 5 + 8 + 11) / 4
    assert (facts["feature_maps"][0]["low"], facts["feature_maps"][0]["high"]) == (0, 11)
    assert [row["weight"] for row in facts["gates"]] == pytest.approx([0.05, 0.5, 0.95])
    assert facts["attention"] == []
    assert facts["files"][-1] == "pictures/gates_cnn-00002-s1001_photo.svg"


def test_describe_leads_there(run: Run, asked: list[str]) -> None:
    code, out, _ = run("describe", "made", "--activations", "photo.png")
    assert code == 0
    assert out.startswith("vit-00001-s1001 (vit): 3 100 %")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photo.png", "--model", "vitt"], "unknown model 'vitt'. Did you mean 'vit'?"),
        ([], "Missing argument 'IMAGE'"),
    ],
)
def test_wrong_arguments_are_one_error(arguments: list[str], message: str, run: Run, asked: list[str]) -> None:
    code, _, err = run("activations", "made", *arguments)
    assert code == 2
    assert message in err


def test_a_network_that_shows_nothing(run: Run, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "_figures", lambda *_: {})
    code, _, err = run("activations", "made", "photo.png")
    assert code == 2
    assert "vit-00001-s1001 has no feature map, no attention and no gate to show" in err


def test_what_is_missing_is_named(run: Run, tmp_path: Path) -> None:
    confirmed(tmp_path / "results" / "made")
    (tmp_path / "note.png").write_text("no image")
    code, _, err = run("activations", "made", tmp_path / "note.png")
    assert code == 2
    assert "note.png: its content is not an image" in err
    Image.new("L", (9, 5)).save(tmp_path / "photo.png")
    code, _, err = run("activations", "made", tmp_path / "photo.png")
    assert code == 2
    assert "the weights of vit-00001-s1001 were not kept" in err
    assert "sweeper retrain made vit-00001-s1001 --keep" in err


def test_of_a_study_that_is_not_confirmed_the_best_trial_is_meant(run: Run, tmp_path: Path) -> None:
    make(tmp_path / "results" / "made")
    Image.new("L", (9, 5)).save(tmp_path / "photo.png")
    best = json.loads(run("recommend", "made", "--json")[1])["choice"]["trial"]
    code, _, err = run("activations", "made", tmp_path / "photo.png")
    assert code == 2
    assert f"the weights of {best} were not kept" in err
