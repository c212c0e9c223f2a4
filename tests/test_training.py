"""The worker's side: a reused program and a continued trial are bit for bit what a fresh, uninterrupted one is.

Going on in another process, and every part of a training on its own, is in `tests/continuation/`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeper import catalog
from sweeper.datasets import Split
from sweeper.errors import KnobError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import METRICS
from sweeper.storage import place
from sweeper.study.space import TRAINING
from sweeper.study.spec import ResourcesSpec, TrainingSpec
from sweeper.training import checkpoint, devices
from sweeper.training.failures import failure
from sweeper.training.optimizer import build_optimizer
from sweeper.training.recipe import Recipe
from sweeper.training.trial import Assignment, Worker
from tests.workers import goes_on

pytestmark = pytest.mark.usefixtures("framework")

EPOCHS = 4


@pytest.fixture(scope="module")
def splits() -> tuple[Split, Split]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * 255 / 16).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    return Split(images[:150], labels[:150]), Split(images[150:220], labels[150:220])


@pytest.fixture
def make(splits: tuple[Split, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes workers that share a folder of checkpoints."""
    monkeypatch.setattr(devices, "configure", lambda training, resources: "cpu")

    def worker(**options: Any) -> Worker:
        return Worker(
            train=splits[0],
            validation=splits[1],
            num_classes=10,
            training=TrainingSpec(),
            resources=ResourcesSpec(),
            checkpoints=tmp_path / "checkpoints",
            **options,
        )

    return worker


def assignment(architecture: str, trial: str = "t", seed: int = 3, attempt: int = 1, known: int = 0, **knobs: Any) -> Assignment:
    tiny = catalog.load("architecture", architecture).tiny
    return Assignment(
        trial=trial,
        arm="arm",
        architecture=architecture,
        attempt=attempt,
        configuration={**tiny, "batch_size": 32, "learning_rate": 0.003, **knobs},
        seed=seed,
        max_epochs=EPOCHS,
        known_epochs=known,
    )


def train(worker: Worker, task: Assignment, epochs: int = EPOCHS) -> list[dict[str, Any]]:
    worker.start(task)
    rows: list[dict[str, Any]] = []
    while len(rows) < epochs:
        report = worker.step()
        assert "failure" not in report, report["failure"]["detail"]
        rows += report["rows"]
    goes_on(worker)
    return rows


def metrics(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["epoch"], row["learning_rate"], *(row[name] for name in METRICS)) for row in rows]


@pytest.mark.parametrize(
    "architecture",
    # Each with other layers that draw random numbers or keep something; `tests.continuation` trains every architecture twice.
    ["cnn", *(pytest.param(name, marks=pytest.mark.long) for name in ("googlenet", "efficientnet", "swin"))],
)
def test_a_reused_program_equals_a_fresh_one(architecture: str, make: Any) -> None:
    fresh = train(make(), assignment(architecture, "fresh", schedule="cosine"))
    worker = make()
    other = train(worker, assignment(architecture, "other", seed=9, learning_rate=0.01, schedule="constant"))
    reused = train(worker, assignment(architecture, "reused", schedule="cosine"))
    assert metrics(reused) == metrics(fresh)
    assert metrics(other) != metrics(fresh), "another seed trains differently"
    assert [row["is_program_reused"] for row in reused] == [True] * EPOCHS
    assert not fresh[0]["is_program_reused"]


@pytest.mark.long
def test_layers_made_before_change_no_training(make: Any) -> None:
    """TensorFlow orders the terms of a sum by names; behind a tensor that goes into four branches there are such sums."""
    import keras

    def trained(trial: str) -> list[tuple[Any, ...]]:
        task = assignment("googlenet", trial, blocks_per_stage="1-3-1", width_multiplier=0.25)
        return metrics(train(make(), task, epochs=2))

    first = trained("first")
    for _ in range(5):
        for kind in (keras.layers.ReLU, keras.layers.BatchNormalization, keras.layers.MaxPooling2D):
            kind()
        keras.layers.Conv2D(1, 1)
    assert trained("second") == first


EVERYTHING = {
    "flip": "horizontal", "shift": 0.1, "rotation_degrees": 10.0, "brightness": 0.1, "cutout": 0.3, "rand_augment": 0.1,
    "mix": "mixup", "class_weights": "balanced", "ema_momentum": 0.9, "label_smoothing": 0.1, "clip_norm": 1.0,
}  # fmt: skip
"""Every part of the recipe that is in the graph."""


@pytest.mark.long
@pytest.mark.parametrize(
    "recipe",
    [
        {"ema_momentum": 0.9, "flip": "horizontal", "mix": "cutmix", "schedule": "one_cycle"},
        {**EVERYTHING, "optimizer": "adamw", "schedule": "step"},
        # RandAugment, which takes longest to trace, is in the recipe above.
        {**EVERYTHING, "optimizer": "nadam", "mix": "cutmix", "warmup_epochs": 1, "rand_augment": 0.0},
    ],
    ids=lambda recipe: str(recipe.get("optimizer", "few")),
)
def test_a_recipe_begins_anew_on_a_reused_program_and_goes_on_in_another(recipe: dict[str, Any], make: Any) -> None:
    fresh = train(make(), assignment("cnn", "fresh", **recipe))
    worker = make()
    train(worker, assignment("cnn", "other", seed=9, **recipe), epochs=2)
    reused = train(worker, assignment("cnn", "reused", **recipe))
    assert metrics(reused) == metrics(fresh)
    assert reused[0]["is_program_reused"]
    first = train(worker, assignment("cnn", "cut", **recipe), epochs=2)
    rest = train(make(), assignment("cnn", "cut", attempt=2, known=2, **recipe), epochs=EPOCHS - 2)
    assert metrics(first + rest) == metrics(fresh)
    assert [row["attempt"] for row in first + rest] == [1, 1, 2, 2]


@pytest.mark.long
def test_a_wrapped_optimizer_keeps_all_of_its_state(make: Any) -> None:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        recipe = {"optimizer": "nadam", "ema_momentum": 0.5}
        fresh = train(make(), assignment("cnn", "fresh", **recipe), epochs=2)
        worker = make()
        train(worker, assignment("cnn", "other", seed=9, **recipe), epochs=1)
        assert metrics(train(worker, assignment("cnn", "reused", **recipe), epochs=2)) == metrics(fresh)
        first = train(worker, assignment("cnn", "cut", **recipe), epochs=1)
        rest = train(make(), assignment("cnn", "cut", attempt=2, known=1, **recipe), epochs=1)
        assert metrics(first + rest) == metrics(fresh)
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.long
def test_a_moving_average_is_validated_and_never_trained(make: Any) -> None:
    plain = train(make(), assignment("cnn"))
    averaged = train(make(), assignment("cnn", ema_momentum=0.9))
    same = ("train_loss", "train_accuracy", "learning_rate")
    assert [[row[name] for name in same] for row in averaged] == [[row[name] for name in same] for row in plain]
    assert all(one["val_loss"] != other["val_loss"] for one, other in zip(averaged, plain, strict=True))
    hardly = train(make(), assignment("cnn", ema_momentum=1e-6))
    assert [row["val_loss"] for row in hardly] == pytest.approx([row["val_loss"] for row in plain], rel=1e-3)


@pytest.mark.long
@pytest.mark.parametrize("change", [{"mix": "mixup"}, {"flip": "both", "cutout": 0.3}], ids=str)
def test_augmentation_changes_what_is_trained_on_and_nothing_else(change: dict[str, Any], make: Any) -> None:
    still = {"learning_rate": 1e-7, "batch_norm": False}  # the weights stay where they begin
    plain = train(make(), assignment("cnn", **still), epochs=1)[0]
    changed = train(make(), assignment("cnn", **still, **change), epochs=1)[0]
    assert changed["val_loss"] == pytest.approx(plain["val_loss"], abs=1e-4)
    assert changed["train_loss"] != pytest.approx(plain["train_loss"], abs=1e-3)
    assert changed["parameters"] == plain["parameters"]
    assert changed["macs"] == plain["macs"]


@pytest.mark.long
def test_trials_with_one_seed_see_the_same_augmentation_in_every_arm(make: Any) -> None:
    def states(arm: str, seed: int, **knobs: Any) -> tuple[list[Any], list[Any]]:
        worker = make()
        task = assignment("cnn", flip="horizontal", cutout=0.2, dropout=0.1, seed=seed, **knobs)
        worker.start(dataclasses.replace(task, arm=arm))
        layers = {layer.name: layer for layer in worker._program.model.layers}
        augmentation = [layers[name].generator.state for name in ("flip_horizontal", "cutout")]
        return checkpoint.snapshot(augmentation), checkpoint.snapshot(worker._program.model.trainable_variables)

    (one, weights), (other, other_weights) = states("one", 3), states("two", 3)
    assert [state.tolist() for state in one] == [state.tolist() for state in other]
    assert (weights[0] != other_weights[0]).any(), "weights are drawn for each arm on its own"
    assert [state.tolist() for state in states("one", 4)[0]] != [state.tolist() for state in one]


@pytest.mark.long
def test_rows_the_driver_never_saw_come_from_the_checkpoint(make: Any) -> None:
    first = train(make(), assignment("cnn"), epochs=3)
    worker = make()
    worker.start(assignment("cnn", attempt=2, known=1))
    told = worker.step()["rows"]
    assert metrics(told) == metrics(first[1:])
    assert [row["epoch"] for row in worker.step()["rows"]] == [4]


def test_a_damaged_checkpoint_is_passed_over(make: Any, tmp_path: Path) -> None:
    whole = train(make(), assignment("cnn"))
    torn = checkpoint.path_of(tmp_path / "checkpoints" / "t", 1, EPOCHS)
    torn.write_whole(torn.read_bytes()[:1000], may_replace=True)
    again = train(make(), assignment("cnn", attempt=2, known=EPOCHS - 1), epochs=1)
    assert metrics(again) == metrics(whole[-1:])


@pytest.mark.parametrize(
    "optimizer", ["nadam", *(pytest.param(name, marks=pytest.mark.long) for name in ("adam", "adamw", "sgd", "rmsprop"))]
)
def test_every_optimizer_starts_anew_on_a_reused_program(optimizer: str, make: Any) -> None:
    options = {"optimizer": optimizer, "weight_decay": 0.01, "clip_norm": 1.0, "label_smoothing": 0.1}
    worker = make()
    first = train(worker, assignment("cnn", "a", **options), epochs=2)
    second = train(worker, assignment("cnn", "b", **options), epochs=2)
    assert metrics(first) == metrics(second)


@pytest.mark.parametrize("optimizer", TRAINING["optimizer"].options)  # type: ignore[attr-defined]
def test_every_optimizer_works_with_the_recipes_defaults(optimizer: str) -> None:
    assert build_optimizer(Recipe.of({"optimizer": optimizer})) is not None


@pytest.mark.long
@pytest.mark.usefixtures("half_precision")  # as `devices.configure` sets it in a worker process
def test_every_program_of_a_worker_has_the_precision_of_the_study(make: Any) -> None:
    import keras

    worker = make()
    for units in (4, 5, 6):
        train(worker, assignment("cnn", f"units{units}", dense_units=units), epochs=1)
        assert isinstance(worker._program.optimizer.outer, keras.optimizers.LossScaleOptimizer)


def test_a_disk_that_takes_no_checkpoint_is_no_failure_of_the_trial(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    worker = make()
    worker.start(assignment("cnn"))
    monkeypatch.setattr(np, "savez", full)
    assert "rows" in worker.step(), "the first checkpoint is written beside the second epoch"
    assert "cannot be written: the disk or your quota is full" in worker.step()["fault"]
    assert not list((tmp_path / "checkpoints" / "t").glob("attempt-1/.*")), "what is half written does not keep the disk full"


def test_a_checkpoint_that_cannot_be_removed_is_no_reason_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for epoch in (1, 2):
        checkpoint.write(tmp_path, checkpoint.Checkpoint(epoch=epoch, attempt=1, rows=(), model=[], optimizer=[]))

    def broken(*arguments: Any, **options: Any) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", broken)
        checkpoint.remove(tmp_path, keep_newest=True)
    assert len(checkpoint.stored(tmp_path)) == 2
    checkpoint.remove(tmp_path, keep_newest=True)
    assert [path.name for path in checkpoint.stored(tmp_path)] == ["epoch-00002.npz"]


@pytest.mark.long
def test_checkpoints_by_time_leave_out_all_but_the_last_epoch(make: Any, tmp_path: Path) -> None:
    rows = train(make(checkpoint_every_s=3600.0), assignment("cnn"), epochs=EPOCHS - 1)
    assert [row["checkpoint_s"] for row in rows] == [None] * (EPOCHS - 1)
    assert checkpoint.stored(place(tmp_path / "checkpoints" / "t")) == []
    whole = train(make(checkpoint_every_s=3600.0), assignment("cnn", attempt=2, known=EPOCHS - 1))
    assert [row["epoch"] for row in whole] == [*range(1, EPOCHS + 1)], "what no checkpoint holds is trained again"
    assert metrics(whole)[: EPOCHS - 1] == metrics(rows)
    assert [path.name for path in checkpoint.stored(place(tmp_path / "checkpoints" / "t"))] == [f"epoch-{EPOCHS:05d}.npz"]


@pytest.mark.long
def test_a_worker_whose_driver_lost_the_study_writes_nothing_more(make: Any, tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "study")
    study.create("{}")
    with study.drive() as ledger:
        worker = make(claim=ledger.claim)
        train(worker, assignment("cnn"), epochs=1)
    assert "another driver" in worker.step()["fault"], "its driver is gone"
    with study.drive() as ledger:
        assert "another driver" in worker.step()["fault"], "and another one is at work"
        train(make(claim=ledger.claim), assignment("cnn", attempt=2, known=1), epochs=1)
    found = [f"{path.parent.name}/{path.name}" for path in checkpoint.stored(place(tmp_path / "checkpoints" / "t"))]
    assert found == ["attempt-2/epoch-00002.npz", "attempt-1/epoch-00001.npz"]


@pytest.mark.long
def test_a_late_first_attempt_knows_no_checkpoints_and_leaves_its_successors_alone(make: Any, tmp_path: Path) -> None:
    """It was dispatched, its connection broke, the next attempt ran; then it came to run after all."""
    whole = train(make(), assignment("cnn"), epochs=2)
    train(make(), assignment("cnn", attempt=2, known=2), epochs=2)
    late = train(make(), assignment("cnn"), epochs=1)
    assert metrics(late) == metrics(whole[:1]), "it begins anew"
    found = checkpoint.newest(tmp_path / "checkpoints" / "t")
    assert found is not None
    assert (found.attempt, found.epoch) == (2, 4)


def test_a_row_says_where_the_seconds_went_and_what_ran(make: Any) -> None:
    rows = train(make(), assignment("cnn"), epochs=2)
    for row in rows:
        assert all(row[name] > 0 for name in ("train_s", "evaluate_s", "checkpoint_s", "peak_memory_mb"))
        assert row["wait_s"] >= 0
        assert row["parameters"] > 0
        assert row["macs"] > 0
        assert row["device"] == "cpu"
        assert "keras" in json.loads(row["versions"])
    assert rows[0]["build_s"] > 0
    assert rows[0]["import_s"] is not None
    assert rows[1]["build_s"] is None
    assert rows[1]["import_s"] is None


def test_divergence_is_a_row_with_nan(make: Any) -> None:
    worker = make()
    worker.start(assignment("cnn", optimizer="sgd", learning_rate=10.0, weight_decay=1.0))
    seen = []
    for _ in range(EPOCHS):
        report = worker.step()
        assert "rows" in report, report["failure"]["detail"]
        seen += report["rows"]
        if math.isnan(seen[-1]["val_accuracy"]):
            break
    assert math.isnan(seen[-1]["val_accuracy"])


def test_what_cannot_be_built_is_a_failure_not_an_exception(make: Any) -> None:
    worker = make()
    worker.start(assignment("vit", patch_size=3))
    report = worker.step()
    assert report["failure"]["reason"] == "infeasible"
    assert "3" in report["failure"]["detail"]
    assert train(worker, assignment("cnn", "after"), epochs=1), "the worker goes on"


class ResourceExhaustedError(Exception):
    """Named as TensorFlow's."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "out_of_memory"),
        (ResourceExhaustedError("OOM when allocating tensor"), "out_of_memory"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"), "out_of_memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "out_of_memory"),
        (ValueError("shapes differ"), "exception"),
        (KnobError("patch_size 3"), "infeasible"),
    ],
)
def test_failures_are_classed(error: Exception, reason: str) -> None:
    assert failure(error)["reason"] == reason


def test_an_error_while_training_is_a_failure_with_its_traceback(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = make()
    worker.start(assignment("cnn"))
    monkeypatch.setattr(worker._program.loop, "train", lambda *a, **k: (_ for _ in ()).throw(ValueError("broken")))
    report = worker.step()
    assert report["failure"]["reason"] == "exception"
    assert "ValueError: broken" in report["failure"]["detail"]
