"""The command `retrain`: what it says of identical trials, of differences and what explains them, and of failures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event
from sweeper.training.trial import Worker
from tests.conftest import Run
from tests.retrain.recording import EPOCHS, broken, record, study, tamper, write_data

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("framework")]


def test_the_command_says_identical(stored: StudyFolder, run: Run) -> None:
    code, out, err = run("retrain", "tiny", "cnn-00000", "--epochs", 1)
    assert code == 0
    assert out.splitlines()[-1] == "1 of 1 epoch is identical bit for bit"
    assert err.startswith("epoch 1: val_accuracy recorded 0.")
    assert err.rstrip().endswith(": same")


def test_the_command_finds_and_explains_a_difference(stored: StudyFolder, run: Run) -> None:
    def changed(event: Event) -> Event:
        if event.epoch is None:
            return event
        versions = json.dumps({**json.loads(event.versions or ""), "keras": "3.0.0"})
        worker = "elsewhere:17"
        loss = (event.val_loss or 0) + (1e-6 if event.epoch == 2 else 0)
        return event.replace(versions=versions, worker=worker, val_loss=loss)

    tamper(stored, changed)
    code, out, err = run("retrain", "tiny", "cnn-00000", "--epochs", 3)
    assert code == 1
    assert out.splitlines()[-1] == "epoch 2 is the first that differs, of 3 epochs"
    assert "differs in val_loss" in err
    assert "val_loss 1e-06" in out
    assert "keras: recorded 3.0.0, now 3." in out
    assert "host: recorded elsewhere, now " in out
    assert "  precision" not in out, "what is as it was explains nothing"

    code, out, _ = run("retrain", "tiny", "cnn-00000", "--epochs", 3, "--json")
    assert code == 1
    facts = json.loads(out)
    assert facts["trial"] == "cnn-00000"
    assert facts["epochs"] == 3
    assert facts["identical"] is False
    assert facts["first_difference"] == {"epoch": 2, "columns": ["val_loss"]}
    assert facts["largest_difference"]["val_loss"] == pytest.approx(1e-6, rel=1e-3)
    assert facts["largest_difference"]["train_loss"] == 0
    assert [row["identical"] for row in facts["rows"]] == [True, False, True]
    then, now = facts["circumstances"]["recorded"], facts["circumstances"]["now"]
    assert then["keras"] == "3.0.0" != now["keras"]
    for same in ("device", "precision", "cpus_per_trial", "dataset train_images", "commit"):
        assert then.get(same) == now.get(same), same


@pytest.mark.parametrize(
    ("entry", "then", "words", "line"),
    [
        ("training loop", None, "by another loop, before epochs", "training loop: recorded nothing, now whole epochs"),
        ("seeds together", 8, "together with other seeds, as one program", "seeds together: recorded 8, now nothing"),
    ],
)
def test_what_was_trained_otherwise_is_close_and_no_fault(
    entry: str, then: int | None, words: str, line: str, stored: StudyFolder, run: Run
) -> None:
    def changed(event: Event) -> Event:
        versions = {**json.loads(event.versions or "{}"), entry: then}
        versions = {name: value for name, value in versions.items() if value is not None}
        return event.replace(versions=json.dumps(versions), val_loss=event.val_loss and event.val_loss + 0.01)

    tamper(stored, changed)
    code, out, _ = run("retrain", "tiny", "cnn-00000", "--epochs", 1)
    assert code == 0
    assert f"it was trained {words}" in out
    assert line in out
    assert "epoch 1 is the first that differs" in out


def test_the_command_on_changed_data_says_so_and_compares_anyway(
    kept: Path, stored: StudyFolder, tmp_path: Path, run: Run
) -> None:
    write_data(tmp_path / "less.npz", num_train=64)
    path = Path(stored.folder) / "study.yaml"
    path.write_text(path.read_text().replace(str(kept / "data.npz"), str(tmp_path / "less.npz")))
    code, out, err = run("retrain", "tiny", "cnn-00000", "--epochs", 1)
    assert code == 1
    assert "the data have changed, so the trial will not come out the same: dataset train_images: recorded 96, now 64" in err
    assert "epoch 1 is the first that differs" in out


@pytest.mark.parametrize(
    ("trial", "said"), [("cnn-0000", "Did you mean 'cnn-00000'?"), ("vit", "unknown trial 'vit'. Allowed: cnn-00000")]
)
def test_the_command_on_an_unknown_trial(trial: str, said: str, stored: StudyFolder, run: Run) -> None:
    code, out, err = run("retrain", "tiny", trial)
    assert (code, out) == (2, "")
    assert said in err


def test_the_command_without_the_data(kept: Path, stored: StudyFolder, run: Run) -> None:
    path = Path(stored.folder) / "study.yaml"
    path.write_text(path.read_text().replace("data.npz", "gone.npz"))
    code, _, err = run("retrain", "tiny", "cnn-00000")
    assert code == 2
    assert "there is no file" in err


def test_the_command_on_failures(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write_data(tmp_path / "data.npz")
    record(study(tmp_path / "data.npz"), tmp_path / "results" / "tiny", attempts=(3,), break_at=2)
    code, out, _ = run("retrain", "tiny", "cnn-00000")
    assert code == 1
    told = (
        "1 of 1 epoch is identical bit for bit; recorded to fail then (exception: ValueError: broken), but now it does not fail"
    )
    assert out.splitlines()[-1] == told
    step = Worker.step
    monkeypatch.setattr(Worker, "step", lambda worker: broken() if len(worker._rows) == 1 else step(worker))
    code, out, _ = run("retrain", "tiny", "cnn-00000")
    assert code == 1
    assert out.splitlines()[-1].endswith("; it fails in epoch 2 as recorded (exception: ValueError: broken)")
    assert "what is not as it was" not in out
    monkeypatch.setattr(Worker, "step", lambda worker: {"failure": {"reason": "out_of_memory", "detail": "MemoryError: big"}})
    code, out, _ = run("retrain", "tiny", "cnn-00000", "--json")
    assert code == 1
    facts = json.loads(out)
    assert facts["failure"] == {"recorded": "exception: ValueError: broken", "now": "out_of_memory: MemoryError: big"}
    assert (facts["identical"], facts["epochs"], facts["first_difference"]) == (False, 0, None)


def test_the_command_sets_up_a_process_as_a_worker_has_it(stored: StudyFolder, tmp_path: Path) -> None:
    """In an environment that is wrong for it, and in which importing Keras too early would leave a file behind."""
    home = tmp_path / "home"
    home.mkdir()
    wrong = {"HOME": str(home), "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "7", "TMPDIR": str(tmp_path)}
    gone = ("KERAS_HOME", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in gone}
    done = subprocess.run(
        [sys.executable, "-m", "sweeper", "retrain", str(stored.folder), "cnn-00000"],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment | wrong,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "4 of 4 epochs are identical bit for bit"
    assert not (home / ".keras").exists()
    assert len(done.stderr.splitlines()) == EPOCHS, "TensorFlow says nothing in between"
    assert not list(tmp_path.glob("sweeper-retrain-*")), "the temporary folder is removed"
