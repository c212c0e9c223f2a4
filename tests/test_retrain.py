"""A recorded trial trained again: identical it is said to be so, and whatever differs is found and explained."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeper.driver import launch, provenance
from sweeper.driver.retrain import Comparison, Failure, recorded, retrain
from sweeper.errors import NoDataError, SweeperError, UnknownNameError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind, Reason, Status
from sweeper.ledger.tables import tables
from sweeper.search.study import Search
from sweeper.study.spec import StudySpec
from sweeper.training import devices
from sweeper.training.trial import Assignment, Worker
from tests.conftest import Run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("framework")]

TINY = {
    "num_blocks": 1, "width": 4, "convolutions_per_block": 1, "dense_units": 8, "batch_size": 32, "attention": "none",
    "head": "flatten", "kernel_size": 3, "batch_norm": True, "dropout": 0.2, "dense_dropout": 0.1, "optimizer": "adam",
    "label_smoothing": 0.0, "mix": "mixup", "learning_rate": 0.01, "schedule": "cosine",
}  # fmt: skip

EPOCHS = 4


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The framework of this process is set up already, and its environment belongs to all tests."""
    monkeypatch.setattr(devices, "configure", lambda training, resources: "cpu")
    monkeypatch.setattr(devices, "environment", lambda training, resources, keras_home: {"KERAS_HOME": os.environ["KERAS_HOME"]})


def write_data(path: Path, num_train: int = 96) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, labels = np.round(digits.images * 255 / 16).astype(np.uint8), digits.target
    np.savez(
        path, x_train=images[:num_train], y_train=labels[:num_train], x_validation=images[100:160], y_validation=labels[100:160]
    )


def study(data: Path, **fixed: Any) -> StudySpec:
    """A study of tiny networks; not checked against the search space, so that faults can be provoked."""
    return StudySpec.model_validate(
        {
            "name": "tiny",
            "dataset": {"name": "arrays", "path": str(data)},
            "arms": {"cnn": {"architecture": "cnn", "space": "cnn", "fixed": {**TINY, **fixed}}},
            "budget": {"trials": 3, "max_epochs": EPOCHS},
            "search": {"sampler": "random"},
            "stopping": {"rule": "none"},
        }
    )


def worker_of(spec: StudySpec, checkpoints: Path) -> Worker:
    dataset = launch.load_dataset(spec)
    return Worker(
        train=dataset.train,
        validation=dataset.validation,
        num_classes=dataset.num_classes,
        training=spec.training,
        resources=spec.resources,
        checkpoints=checkpoints,
    )


def record(spec: StudySpec, folder: Path, attempts: tuple[int, ...] = (EPOCHS,), break_at: int | None = None) -> StudyFolder:
    """A study with one trial, driven as Ray's workers and the driver do it: so many epochs in each attempt, each by a new worker.

    Args:
        spec: The study.
        folder: The study's.
        attempts: Epochs of each attempt; before the next one a driver starts anew.
        break_at: Epoch in which training raises.
    """
    stored = StudyFolder(folder)
    stored.create(spec.to_yaml())
    constants = provenance.constants_of(spec, launch.load_dataset(spec))
    for count in attempts:
        with stored.drive({}, study_id=spec.study_id) as ledger:
            search = Search(spec).fold(stored.read())

            def tell(event: Event, search: Search = search, append: Callable[[Event], Event] = ledger.append) -> None:
                search.apply(event)
                append(event.replace(**constants))

            suggested = search.propose()
            assert suggested is not None
            tell(suggested)
            trial = search.trials["cnn-00000"]
            worker = worker_of(spec, folder / "checkpoints")
            worker.start(
                Assignment(
                    trial=trial.trial,
                    arm=trial.arm,
                    architecture="cnn",
                    attempt=trial.attempt,
                    configuration=trial.configuration,
                    seed=trial.seed,
                    max_epochs=trial.max_epochs,
                    known_epochs=trial.epoch,
                )
            )
            facts = {"trial": trial.trial, "arm": trial.arm, "architecture": "cnn", "number": trial.number, "seed": trial.seed}
            for _ in range(count):
                report = broken() if trial.epoch + 1 == break_at else worker.step()
                if "failure" in report:
                    ended = Event(kind=Kind.ATTEMPT_ENDED, attempt=trial.attempt, **facts, **report["failure"])
                    tell(search.judge(ended))
                    break
                for row in report["rows"]:
                    tell(search.judge(Event(kind=Kind.EPOCH, **facts, **row)))
    return stored


def broken() -> dict[str, Any]:
    return {"failure": {"reason": "exception", "detail": "Traceback ...\n  line 3\nValueError: broken"}}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
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


def tamper(stored: StudyFolder, change: Callable[[Event], Event]) -> None:
    """Write the ledger anew with some events changed."""
    events = [event for event in stored.read() if event.kind is not Kind.DRIVER_STARTED]
    stored.ledger_folder.remove_tree()
    with stored.drive() as ledger:
        for event in events:
            ledger.append(change(event))


def once_more(stored: StudyFolder, tmp_path: Path, trial: str = "cnn-00000", **options: Any) -> Comparison:
    spec = StudySpec.model_validate(study_of(stored))
    return retrain(recorded(stored.read(), trial), worker_of(spec, tmp_path / "again"), **options)


def study_of(stored: StudyFolder) -> dict[str, Any]:
    import yaml

    return dict(yaml.safe_load(stored.study_yaml()))


def files(folder: Path) -> Mapping[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------------------ what is compared


def test_a_trial_of_two_attempts_is_identical_to_one_uninterrupted_training(stored: StudyFolder, tmp_path: Path) -> None:
    before = files(Path(stored.folder))
    seen: list[int] = []
    comparison = once_more(stored, tmp_path, watch=lambda epoch: seen.append(epoch.epoch))
    assert [epoch.attempt for epoch in comparison.epochs] == [1, 1, 2, 2]
    assert seen == [1, 2, 3, 4]
    assert comparison.is_identical
    assert set(comparison.largest_difference.values()) == {0.0}
    assert files(Path(stored.folder)) == before, "nothing of the study is written"


@pytest.mark.parametrize("column", ["val_loss", "train_loss", "train_accuracy", "val_accuracy", "learning_rate"])
def test_the_smallest_difference_is_found(column: str, stored: StudyFolder, tmp_path: Path) -> None:
    def changed(event: Event) -> Event:
        value = getattr(event, column)
        return event.replace(**{column: math.nextafter(value, 10)}) if event.epoch == 2 else event

    tamper(stored, changed)
    comparison = once_more(stored, tmp_path, most_epochs=2)
    assert not comparison.is_identical
    first = comparison.first_difference
    assert first is not None
    assert (first.epoch, first.differing) == (2, (column,))
    assert 0 < comparison.largest_difference[column] < 1e-15


def test_another_seed_differs_in_the_first_epoch(stored: StudyFolder, tmp_path: Path) -> None:
    tamper(stored, lambda event: event.replace(seed=1) if event.kind is Kind.SUGGESTED else event)
    first = once_more(stored, tmp_path, most_epochs=1).first_difference
    assert first is not None
    assert first.epoch == 1


def test_the_row_the_search_acted_on_is_the_one_compared(stored: StudyFolder, tmp_path: Path) -> None:
    again = next(event for event in stored.read() if event.epoch == 1)
    with stored.drive() as ledger:
        ledger.append(again.replace(attempt=3, val_loss=9.0, device="another", time=None))
    record = recorded(stored.read(), "cnn-00000")
    _, epochs = tables(stored.read())
    assert [event.val_loss for event in record.epochs.values()] == epochs["val_loss"].to_pylist()
    assert record.circumstances["device"] == "cpu"


def test_a_trial_that_was_lengthened_is_trained_as_it_was_last_asked_for(stored: StudyFolder) -> None:
    suggested = next(event for event in stored.read() if event.kind is Kind.SUGGESTED)
    longer = suggested.replace(attempt=3, max_epochs=2 * EPOCHS)
    assert recorded([*stored.read(), longer], "cnn-00000").assignment.max_epochs == 2 * EPOCHS


def test_nan_equals_nan_and_nothing_else(tmp_path: Path) -> None:
    write_data(tmp_path / "data.npz")
    spec = study(tmp_path / "data.npz", optimizer="sgd", learning_rate=1e30, mix="none")
    stored = record(spec, tmp_path / "tiny", attempts=(1,))
    assert Search(spec).fold(stored.read()).trials["cnn-00000"].reason is Reason.NAN
    assert once_more(stored, tmp_path).is_identical
    tamper(stored, lambda event: event.replace(val_loss=1.0) if event.epoch == 1 else event)
    comparison = once_more(stored, tmp_path)
    assert not comparison.is_identical
    assert comparison.largest_difference["val_loss"] == math.inf


# ------------------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("happens_again", [True, False])
def test_a_failure_happens_again_or_not(happens_again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_data(tmp_path / "data.npz")
    stored = record(study(tmp_path / "data.npz"), tmp_path / "tiny", attempts=(3,), break_at=2)
    if happens_again:
        step = Worker.step
        monkeypatch.setattr(Worker, "step", lambda worker: broken() if len(worker._rows) == 1 else step(worker))
    comparison = once_more(stored, tmp_path)
    assert [epoch.differing for epoch in comparison.epochs] == [()]
    expected = Failure(reason=Reason.EXCEPTION, words="ValueError: broken")
    assert comparison.expected_failure == expected
    assert comparison.failure == (expected if happens_again else None)
    assert not comparison.is_identical


def test_a_trial_that_never_trained_fails_again_as_recorded(tmp_path: Path) -> None:
    write_data(tmp_path / "data.npz")
    stored = record(study(tmp_path / "data.npz", kernel_size=-1), tmp_path / "tiny", attempts=(1,))
    comparison = once_more(stored, tmp_path)
    assert comparison.epochs == ()
    assert comparison.failure == comparison.expected_failure
    assert comparison.failure is not None
    assert comparison.failure.reason is Reason.INFEASIBLE
    assert "kernel_size" in comparison.failure.words


def test_a_full_disk_is_no_difference(stored: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "step", lambda worker: {"fault": "no space left"})
    with pytest.raises(SweeperError, match="no space left"):
        once_more(stored, tmp_path)


# ---------------------------------------------------------------------------------------------------------- wrong input


def test_an_unknown_trial(stored: StudyFolder) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'cnn-00000'"):
        recorded(stored.read(), "cnn-0000")


def test_a_trial_without_an_epoch(stored: StudyFolder) -> None:
    events = [event for event in stored.read() if event.kind is not Kind.EPOCH]
    with pytest.raises(NoDataError, match="no epoch of trial cnn-00000"):
        recorded(events, "cnn-00000")
    lost = Event(kind=Kind.ATTEMPT_ENDED, trial="cnn-00000", attempt=2, status=Status.FAILED, reason=Reason.NODE_LOST)
    with pytest.raises(NoDataError, match="no epoch of trial cnn-00000"):
        recorded([*events, lost], "cnn-00000")


def test_a_trial_whose_suggestion_is_lost(stored: StudyFolder) -> None:
    with pytest.raises(NoDataError, match="configuration of trial cnn-00000 is lost"):
        recorded([event for event in stored.read() if event.kind is not Kind.SUGGESTED], "cnn-00000")


# ------------------------------------------------------------------------------------------------------ the command line


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
