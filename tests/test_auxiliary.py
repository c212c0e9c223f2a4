"""Auxiliary heads, the whole way: they train the network, and nothing that is measured or told knows them but `describe`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from sweeper import catalog
from sweeper.cli import cli
from sweeper.datasets import Split
from sweeper.ledger.records import METRICS
from sweeper.study.spec import ResourcesSpec, TrainingSpec
from sweeper.training import checkpoint, devices, objective
from sweeper.training.measuring import measure
from sweeper.training.measuring.inference import measure_inference
from sweeper.training.trial import Assignment, Worker

pytestmark = pytest.mark.usefixtures("framework")

TINY = catalog.load("architecture", "googlenet").tiny
HEADS = {**TINY, "auxiliary_heads": True}


def build(**knobs: Any) -> keras.Model:
    return catalog.load("architecture", "googlenet")((8, 8, 1), 10, **{**HEADS, **knobs})


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * 255 / 16).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    monkeypatch.setattr(devices, "configure", lambda training, resources: "cpu")
    return Worker(
        train=Split(images[:64], labels[:64]),
        validation=Split(images[64:96], labels[64:96]),
        num_classes=10,
        training=TrainingSpec(),
        resources=ResourcesSpec(),
        checkpoints=tmp_path,
    )


def start(worker: Worker, trial: str, **knobs: Any) -> Any:
    """Prepare a trial of two epochs; gives the model that is trained."""
    configuration = {"batch_size": 32, "learning_rate": 0.01, "optimizer": "sgd", **HEADS, **knobs}
    worker.start(
        Assignment(
            trial=trial, arm="arm", architecture="googlenet", attempt=1, configuration=configuration, seed=3, max_epochs=2,
            known_epochs=0,
        )
    )  # fmt: skip
    return worker._program.model


def step(worker: Worker) -> dict[str, Any]:
    report = worker.step()
    assert "rows" in report, report
    (row,) = report["rows"]
    return dict(row)


def metrics(row: dict[str, Any]) -> list[float]:
    return [row[name] for name in METRICS]


def test_the_network_that_answers_is_the_model_without_its_heads() -> None:
    model, alone = build(), build(auxiliary_heads=False)
    network = measure.inference_network(model)
    assert (len(model.outputs), network.name, network.output_shape) == (2, "googlenet", (None, 10))
    images = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype("float32")
    np.testing.assert_array_equal(np.asarray(network(images)), np.asarray(model(images)[0]))
    assert measure.inference_network(alone) is alone
    assert [weight.shape for weight in network.weights] == [weight.shape for weight in alone.weights]
    assert measure.count_macs(network) == measure.count_macs(alone) < measure.count_macs(model)


@pytest.mark.long
def test_a_training_step_reaches_every_weight(worker: Worker) -> None:
    model = start(worker, "t", auxiliary_heads=True, blocks_per_stage="1-3-1")
    names = [weight.path for weight in model.trainable_variables]
    assert sum("logits" in name or "auxiliary_" in name for name in names) == 3 * 2
    before = checkpoint.snapshot(model.trainable_variables)
    row = step(worker)
    after = checkpoint.snapshot(model.trainable_variables)
    assert [name for name, old, new in zip(names, before, after, strict=True) if np.array_equal(old, new)] == []
    alone = build(auxiliary_heads=False, blocks_per_stage="1-3-1")
    assert row["parameters"] == measure.trainable_parameters(alone) < sum(map(np.size, after))
    assert row["macs"] == measure.count_macs(alone)


@pytest.mark.long
def test_heads_that_weigh_nothing_change_nothing(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the layers of the network start alike with and without heads, and no metric looks at these."""
    rows = {}
    for name, weight, has_heads in (("without", 0.3, False), ("none", 0.0, True), ("with", 0.3, True)):
        monkeypatch.setattr(objective, "AUXILIARY_WEIGHT", weight)
        worker._programs._programs.clear()
        start(worker, name, auxiliary_heads=has_heads)
        rows[name] = [metrics(step(worker)), metrics(step(worker))]
    np.testing.assert_allclose(rows["none"], rows["without"], rtol=1e-5)
    assert not np.allclose(rows["with"], rows["without"], rtol=1e-3)


@pytest.mark.long
def test_describe_tells_both_sizes_and_draws_the_network_without_heads(tmp_path: Path) -> None:
    command = ["describe", "googlenet", "--input-shape", "8,8,1", "--set", "auxiliary_heads=true"]
    command += [text for name, value in TINY.items() for text in ("--set", f"{name}={value}")]
    picture = tmp_path / "net.svg"
    facts = json.loads(CliRunner().invoke(cli, [*command, "--json", "--diagram", str(picture)], catch_exceptions=False).stdout)
    model, alone = build(), build(auxiliary_heads=False)
    added = measure.trainable_parameters(model) - measure.trainable_parameters(alone)
    assert facts["trainable_parameters"] == measure.trainable_parameters(alone)
    assert facts["auxiliary_parameters"] == added > 0
    assert facts["output_shape"] == [10]
    assert facts["macs"] == measure.count_macs(alone)
    assert facts["files"] == [str(picture)] and b"<svg" in picture.read_bytes()
    said = CliRunner().invoke(cli, command, catch_exceptions=False).stdout
    assert f"  and {added:,} in auxiliary heads" in said
    without = [text.replace("heads=true", "heads=false") for text in command]
    assert "in auxiliary heads" not in CliRunner().invoke(cli, without, catch_exceptions=False).stdout
    told = json.loads(CliRunner().invoke(cli, [*without, "--json"], catch_exceptions=False).stdout)
    assert told["auxiliary_parameters"] == 0
    assert {name: facts[name] for name in ("macs", "layers", "total_parameters")} == {
        name: told[name] for name in ("macs", "layers", "total_parameters")
    }


def test_inference_is_timed_without_heads() -> None:
    found = measure_inference("googlenet", HEADS, (8, 8, 1), 10, 2, 1)
    alone = build(auxiliary_heads=False)
    assert (found.parameters, found.macs) == (measure.trainable_parameters(alone), measure.count_macs(alone))
    assert found.weights_mb == pytest.approx(4 * measure.total_parameters(alone) / 1e6)
