"""The store of MLflow, read back by MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweeper.exports import mlflow as exported
from sweeper.exports.trials import Study

tracking = pytest.importorskip("mlflow.tracking", reason="MLflow is not installed; make test-exports has it")


@pytest.fixture(scope="module")
def client(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("mlflow")
    paths = [exported.write(study, str(folder)) for _ in range(2)]
    assert paths == 2 * [[str(folder / "mlflow.db")]]
    assert [file.name for file in folder.iterdir()] == ["mlflow.db"], "the second one replaced the first"
    return tracking.MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture(scope="module")
def runs(client: Any) -> dict[str, Any]:
    experiment = client.get_experiment_by_name("two")
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def test_a_run_per_trial(runs: dict[str, Any], study: Study) -> None:
    assert sorted(runs) == sorted(trial.name for trial in study.trials)
    assert {name: run.info.status for name, run in runs.items()} == {
        "cnn-00000": "FINISHED", "cnn-00001": "FINISHED", "cnn-00002": "FAILED", "cnn-00003": "FAILED", "cnn-00004": "RUNNING",
        "resnet_se-00000": "FINISHED", "cnn-00000-s1": "FINISHED",
    }  # fmt: skip
    done = runs["cnn-00000"]
    assert (done.info.start_time, done.info.end_time) == (1_700_000_008_500, 1_700_000_030_000)
    assert done.data.params["learning_rate"] == "0.001"
    assert done.data.tags["reason"] == "max_epochs"
    assert (runs["cnn-00001"].data.tags["status"], runs["cnn-00001"].data.tags["stage"]) == ("stopped", "search")


def test_metrics_by_epoch(client: Any, runs: dict[str, Any]) -> None:
    run = runs["cnn-00000"].info.run_id
    history = client.get_metric_history(run, "val_accuracy")
    assert [(one.step, one.value, one.timestamp) for one in history] == [
        (number, pytest.approx(0.5 + 0.1 * number), 1_700_000_000_000 + 10_000 * number) for number in (1, 2, 3)
    ]
    assert runs["cnn-00000"].data.metrics["parameters"] == 1234
    assert runs["cnn-00000"].data.metrics["train_s"] == 4.5
    assert "val_loss" not in runs["cnn-00003"].data.metrics


def test_a_repetition_is_nested_in_the_trial_it_repeats(runs: dict[str, Any]) -> None:
    again = runs["cnn-00000-s1"]
    assert again.data.tags["mlflow.parentRunId"] == runs["cnn-00000"].info.run_id
    assert (again.data.tags["seed"], again.data.tags["stage"]) == ("1", "confirm")
    assert again.data.metrics["test_accuracy"] == 0.77


def test_nothing_is_written_beside_it(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    exported.write(study, str(tmp_path / "out"))
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
