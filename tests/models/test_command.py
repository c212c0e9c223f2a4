"""``sweeper model``: which model is written, that it gives what is recorded, how it is used without us, how it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from sweeper.driver.inputs import load_dataset
from sweeper.driver.opened import open_study
from sweeper.ledger import predictions
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event
from sweeper.models import exporting
from sweeper.storage import place
from tests.conftest import Run
from tests.models.recording import study
from tests.retrain.recording import tamper

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("framework")]


def snippet(card: Path) -> str:
    found = re.search(r"```python\n(.*?)```", card.read_text(), re.DOTALL)
    assert found
    return found.group(1)


def bare(folder: Path, code: str) -> str:
    """What Python prints that knows Keras and none of this package."""
    (folder / "script.py").write_text(
        "import os\nos.environ.update(KERAS_BACKEND='tensorflow', TF_CPP_MIN_LOG_LEVEL='3')\n" + code
    )
    done = subprocess.run([sys.executable, "-I", "script.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_model_of_a_confirmed_trial_gives_what_is_recorded_and_its_card_works(own: Path, tmp_path: Path, run: Run) -> None:
    code, out, err = run("model", "small", "vit", "--out", "vit.keras")
    assert code == 0, err
    opened = open_study(StudyFolder(own))
    confirmed = [trial for name, trial in opened.search.trials.items() if name.startswith("vit-00000-s")]
    trial = min(confirmed, key=lambda trial: trial.seed)
    assert f"vit.keras  {trial.trial}, keras" in out
    closing = out.splitlines()[-1]
    assert closing.startswith(f"validation accuracy {trial.scores[-1]:.4f}, as recorded; probabilities as kept, to ")
    dataset = load_dataset(study())
    test = dataset.read_test().images
    Image.fromarray(test[0, :, :, 0]).save(tmp_path / "photo.png")
    card = (tmp_path / "vit.keras.md").read_text()
    table, _ = predictions.read(place(own))
    assert table is not None
    frame = table.to_pandas()
    kept = frame[(frame["trial"] == trial.trial) & (frame["split"] == "test")].sort_values("row")
    np.save(tmp_path / "test.npy", test)
    more = (
        'x = np.load("test.npy"); np.save("said.npy", model.predict(x, verbose=0))\nimport sys\nprint("sweeper" in sys.modules)'
    )
    printed = bare(tmp_path, snippet(tmp_path / "vit.keras.md") + more).split()
    said = np.load(tmp_path / "said.npy")
    assert np.abs(said - np.stack(kept["probabilities"].to_list())).max() < 1e-5
    assert (printed[0], printed[-1]) == (dataset.class_names[said[0].argmax()], "False")
    row = next(event for event in reversed(opened.events) if event.trial == trial.trial and event.test_accuracy is not None)
    assert f"| test accuracy | {row.test_accuracy:.4f} | 0." in card
    assert "2 seeds |" in card
    for words in ("CC BY 4.0", "sweeper retrain small vit-00000-s", "pooling class_token", "classes: 0, 1, 2", "as recorded"):
        assert words in card, words


def test_best_json_and_never_over_a_file_without_being_asked(own: Path, tmp_path: Path, run: Run) -> None:
    code, out, err = run("model", "small", "best", "--out", "best.keras", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["files"] == ["best.keras", "best.keras.json", "best.keras.md"]
    assert facts["as_recorded"] is True
    assert facts["class_names"] == list("0123456789")
    assert facts["largest_difference_to_predictions"] < 1e-5
    recommended = json.loads(run("recommend", "small", "--json")[1])["choice"]["trial"]
    assert facts["trial"].startswith(f"{recommended}-s")
    before = (tmp_path / "best.keras").read_bytes()
    code, _, err = run("model", "small", "cnn-00000", "--out", "best.keras")
    assert (code, "best.keras exists" in err, "--force" in err) == (2, True, True)
    assert (tmp_path / "best.keras").read_bytes() == before
    code, out, _ = run("model", "small", "cnn-00000", "--out", "best.keras", "--force")
    assert (code, "cnn-00000, keras" in out) == (0, True)
    assert out.splitlines()[-1].endswith(", as recorded")
    assert (tmp_path / "best.keras").read_bytes() != before
    card = (tmp_path / "best.keras.md").read_text()
    assert "`sweeper confirm small`" in card
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.keras", "best.keras.json", "best.keras.md", "results"]


def test_weights_that_were_not_kept_are_trained_again_and_kept(own: Path, run: Run) -> None:
    place(own / "checkpoints" / "cnn-00000").remove_tree()
    code, _, err = run("model", "small", "cnn-00000", "--out", "cnn.keras")
    assert code == 2
    assert "Train it again and keep them: sweeper retrain small cnn-00000 --keep" in err
    code, out, _ = run("retrain", "small", "cnn-00000", "--keep")
    assert code == 0
    assert "its weights are in results/small/kept/cnn-00000" in out
    code, out, err = run("model", "small", "cnn-00000", "--out", "cnn.keras")
    assert code == 0, err
    assert out.splitlines()[-1].endswith(", as recorded")
    code, out, _ = run("audit", "small")
    assert code == 0, out
    code, _, err = run("retrain", "small", "cnn-00000", "--keep", "--epochs", 1)
    assert (code, "leave out --epochs" in err) == (2, True)


def test_what_is_not_identical_is_not_kept(own: Path, run: Run) -> None:
    tamper(StudyFolder(own), lambda event: event.replace(val_loss=event.val_loss and event.val_loss + 1e-3))
    code, out, _ = run("retrain", "small", "cnn-00000", "--keep")
    assert code == 1
    assert "its weights are not kept: they are not those of the record" in out
    assert not (own / "kept").exists()


def test_a_model_that_is_not_what_is_recorded_is_no_file(own: Path, tmp_path: Path, run: Run) -> None:
    def changed(event: Event) -> Event:
        if event.val_accuracy is None:
            return event
        versions = json.dumps({**json.loads(event.versions or "{}"), "keras": "3.0.0"})
        return event.replace(val_accuracy=event.val_accuracy / 2, versions=versions)

    tamper(StudyFolder(own), changed)
    code, _, err = run("model", "small", "cnn", "--out", "cnn.keras")
    assert code == 1
    assert "Nothing was written. What is not as it was:" in err
    assert "keras: recorded 3.0.0, now 3." in err
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_predict_computes_in_the_precision_of_the_study(own: Path, tmp_path: Path, run: Run) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save(tmp_path / "photo.png")

    def said() -> list[float]:
        code, out, err = run("predict", "small", "photo.png", "--model", "cnn", "--json")
        assert code == 0, err
        return list(json.loads(out)["images"][0]["models"]["cnn"].values())

    full = said()
    file = own / "study.yaml"
    file.write_text(file.read_text().replace("precision: float32", "precision: mixed_bfloat16"))
    half = said()
    assert half != full
    assert half == pytest.approx(full, abs=0.05)
    assert keras.config.dtype_policy().name == "float32", "as it was"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vitt", "--out", "m.keras"], "unknown model 'vitt'. Did you mean 'vit'?"),
        (["cnn", "--out", "m.pb"], "the name says no format; let it end in .keras (keras), .onnx (onnx), .tflite (litert)"),
        (["cnn", "--out", "m.keras", "--format", "litert"], "ends in .tflite"),
        (["cnn", "--out", "m.keras", "--format", "tflite"], "'tflite' is not one of"),
        (["cnn", "--out", "gone/m.keras"], "gone is no folder"),
        (["cnn", "--out", "results", "--format", "savedmodel", "--force"], "results is not a SavedModel"),
        (["cnn"], "Missing option '--out'"),
    ],
)
def test_wrong_arguments_are_one_error(arguments: list[str], message: str, own: Path, run: Run) -> None:
    code, _, err = run("model", "small", *arguments)
    assert code == 2
    assert message in err


def test_onnx_names_what_is_missing(own: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(exporting.PACKAGES, "onnx", ("tensorflow", "no_such_package"))
    code, _, err = run("model", "small", "cnn", "--out", "m.onnx")
    assert code == 2
    assert "format onnx needs what is not installed here: no_such_package. Install it (pip install no_such_package)" in err


@pytest.mark.long
@pytest.mark.parametrize(("kind", "arm"), [("litert", "vit"), ("savedmodel", "cnn")])
def test_other_formats_give_the_same_numbers(kind: str, arm: str, own: Path, tmp_path: Path, run: Run) -> None:
    name = f"{arm}{exporting.FORMATS[kind]}"
    code, out, err = run("model", "small", f"{arm}-00000", "--out", name, "--format", kind)
    assert code == 0, err
    assert f"; as {kind} the same, to " in out.splitlines()[-1]
    Image.fromarray(load_dataset(study()).validation.images[0, :, :, 0]).resize((20, 31)).save(tmp_path / "photo.png")
    printed = bare(tmp_path, snippet(tmp_path / f"{name}.md"))
    assert run("model", "small", f"{arm}-00000", "--out", "same.keras")[0] == 0
    image = np.asarray(Image.open(tmp_path / "photo.png").convert("L"))[None, ..., None]
    said = keras.models.load_model(tmp_path / "same.keras").predict(image, verbose=0)[0]
    assert printed.split()[0] == str(said.argmax())
    assert float(printed.split()[1]) == pytest.approx(float(said.max()), abs=1e-5)
