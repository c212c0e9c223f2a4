"""Weights through the whole product: check, launch, extension, retrain."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeper.driver import extending, inputs, launch, requests
from sweeper.driver import weights as transfer
from sweeper.driver.opened import open_study
from sweeper.errors import InputError, SweeperError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Status
from sweeper.storage import place
from sweeper.study.space import Space
from sweeper.study.spec import StudySpec, TrainingSpec
from sweeper.training import devices
from sweeper.training.weights import files
from sweeper.training.weights.applications import APPLICATIONS
from tests.conftest import Run
from tests.tiny_study import rows_of
from tests.weights import miniature as tiny

pytestmark = pytest.mark.usefixtures("framework")

Array = np.ndarray[Any, Any]


def study_of(data: Path, folder: Path | None, architecture: str = "resnet", **fixed: Any) -> StudySpec:
    return StudySpec.model_validate(
        {
            "name": "tiny",
            "dataset": {"name": "arrays", "path": str(data)},
            "arms": {"net": {"architecture": architecture, "space": f"{architecture}_published", "fixed": fixed}},
            "budget": {"trials": 1, "max_epochs": 1},
            "search": {"sampler": "random"},
            "stopping": {"rule": "none"},
            "training": {"weights_folder": str(folder)} if folder else {},
        }
    )


def write_study(path: Path, data: Path, arms: str, training: str = "") -> Path:
    path.write_text(
        f"name: tiny\ndataset: {{name: arrays, path: {data}}}\nbudget: {{trials: 2, max_epochs: 1}}\n"
        f"arms: {arms}\ntraining: {{{training}}}\n"
    )
    return path


ABSENT = (
    'a: {architecture: resnet, space: resnet_published, fixed: {variant: "50", stride_on: conv1x1, weights: imagenet}}',
    "b: {architecture: cnn, fixed: {weights: imagenet}}",
)


@pytest.mark.parametrize("command", ["launch", "check"])
def test_a_study_that_cannot_have_its_weights_is_refused_and_leaves_nothing(
    command: str, run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.in_this_process(monkeypatch)
    file = write_study(tmp_path / "study.yaml", data, f"{{{', '.join(ABSENT)}}}", "weights_folder: none")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run(command, file)
    assert code == 2
    assert out == ""
    assert "arms.b: there are no weights of ImageNet for cnn" in err
    assert "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5, are not available: there is no such file" in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["launch", "check"])
def test_a_folder_that_nothing_needs_is_a_fault(command: str, run: Run, data: Path, tmp_path: Path) -> None:
    file = write_study(tmp_path / "study.yaml", data, "{cnn: {}}", "weights_folder: weights")
    code, _, err = run(command, file)
    assert code == 2
    assert "training.weights_folder: no arm begins with weights. Leave it out" in err


@pytest.mark.long
def test_check_says_which_files_are_needed(run: Run, data: Path, tmp_path: Path) -> None:
    dense = "{architecture: densenet, space: densenet_published, fixed: {variant: '121', weights: imagenet}}"
    file = write_study(tmp_path / "study.yaml", data, f"{{plain: {{architecture: cnn}}, d: {dense}}}")
    code, out, _ = run("check", file)
    assert code == 0
    assert "weights are fetched by Keras at launch" in out
    code, out, _ = run("check", file, "--json")
    plain, large = json.loads(out)["arms"]
    assert large["weights"] == "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"
    assert "weights" not in plain
    assert large["parameters"] == 6_964_106  # of images with three channels


def test_a_driver_takes_no_new_arm_whose_weights_it_has_not_read(data: Path, tmp_path: Path) -> None:
    first = study_of(data, None, variant="18")
    arms = {**first.arms, "late": first.arms["net"].model_copy(update={"fixed": {"variant": "50", "weights": "imagenet"}})}
    budget = first.budget.model_copy(update={"trials": 2})
    files = StudyFolder(tmp_path / "tiny")
    files.create(first.to_yaml())
    study = open_study(files)

    class Session:
        search = study.search
        have_weights: frozenset[str] = frozenset()

        def record(self, event: Any) -> None:
            raise AssertionError(event)

    wanted = first.model_copy(update={"arms": arms, "budget": budget})
    with pytest.raises(InputError, match="weights for late were not read when this driver started"):
        extending.extend(Session(), study, wanted, repeats_decayed=False)  # type: ignore[arg-type]


@pytest.mark.long
def test_what_waits_in_the_folder_is_read_for_too_unless_it_cannot_be(
    data: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StudySpec, "space_of", lambda self, arm: Space(architecture="resnet"))
    monkeypatch.setattr(files, "_space", lambda arm: Space(architecture="resnet"))
    spec = study_of(data, folder, **tiny.FIXED).model_copy(update={"arms": {}})
    net = study_of(data, folder, **tiny.FIXED).arms["net"]
    dataset = inputs.load_dataset(spec)

    def weights() -> set[str]:
        waiting = [asked for _, asked, _ in requests.waiting(place(tmp_path))]
        return transfer.weights_asked_for(spec.model_copy(update={"arms": {"net": net}}), [spec], waiting, dataset)[1]

    assert weights() == {"net"}
    requests.post(tmp_path, spec.model_copy(update={"arms": {"more": net}}), repeats_decayed=False)
    assert weights() == {"net", "more"}
    wrong = net.model_copy(update={"fixed": {**net.fixed, "width": 8}})
    requests.post(tmp_path, spec.model_copy(update={"arms": {"wrong": wrong}}), repeats_decayed=False)
    assert weights() == {"net"}


@pytest.mark.long
def test_a_process_that_breaks_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text("{")
    with pytest.raises(SweeperError, match=r"(?s)the weights could not be read: the process that does it ended with 1.*JSON"):
        transfer.run(tmp_path, TrainingSpec())


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.usefixtures("ray_ready")
def test_a_study_with_weights_is_launched_and_trained_again(
    data: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = next(entry for entry in APPLICATIONS if entry.arguments == {"variant": "0.35"})
    weights = tmp_path / "weights"
    weights.mkdir()
    random.seed(0)
    entry.build_body(weights=None, input_shape=files.THEIR_SHAPE).save(weights / entry.file)
    fixed = {**entry.arguments, "weights": "imagenet", "trained": "head", "batch_size": 64, "learning_rate": 1e-4}
    spec = study_of(data, weights, entry.architecture, **fixed)
    outcome = launch.launch(spec, tmp_path / "results")
    trials, epochs = rows_of(outcome.folder)
    (trial,), (epoch,) = trials, epochs
    assert trial["status"] == Status.COMPLETED, trial["detail"]
    assert trial["parameters"] == 408_938  # of all layers, 10 classes
    recorded = json.loads(trial["versions"])["weights"]
    assert recorded.startswith(f"{entry.file} sha256:")
    assert json.loads(trial["configuration"])["trained"] == "head"
    assert np.isfinite(epoch["val_loss"])

    monkeypatch.setattr(devices, "configure", lambda training, resources: "cpu")
    monkeypatch.setattr(devices, "environment", lambda training, resources, keras_home: {"KERAS_HOME": keras_home})
    code, out, err = run("retrain", outcome.folder, "net-00000")
    assert code == 0, out + err
    assert "1 of 1 epoch is identical bit for bit" in out
    entry.build_body(weights=None, input_shape=files.THEIR_SHAPE).save(weights / entry.file)
    code, out, err = run("retrain", outcome.folder, "net-00000")
    assert code == 1
    assert f"the weights it began with have changed, so the trial will not come out the same: recorded {recorded}, now " in err
    assert f"weights: recorded {recorded}, now" in out
