"""What is trained of a network that begins with weights, and what stays."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from sweeper import catalog
from sweeper.datasets import Split
from sweeper.ledger.records import METRICS
from sweeper.study.spec import ResourcesSpec, TrainingSpec
from sweeper.training import devices
from sweeper.training.checkpoint import snapshot
from sweeper.training.loop.base import Images
from sweeper.training.measuring import measure
from sweeper.training.program import Programs
from sweeper.training.trial import Assignment, Worker
from sweeper.training.weights.pretrained import Pretrained, weights_in_order
from tests.weights import miniature as tiny
from tests.weights.miniature import GREY, SHAPE, loaded, pixels, task_of
from tests.workers import goes_on

pytestmark = pytest.mark.usefixtures("framework")

Array = np.ndarray[Any, Any]

EPOCHS = 4


@pytest.fixture(scope="module")
def splits() -> tuple[Split, Split]:
    draw = np.random.default_rng(0)
    labels = np.arange(48) % 3
    images = (draw.integers(0, 120, (48, *GREY)) + 60 * labels[:, None, None, None]).clip(0, 255).astype("uint8")
    return Split(images[:32], labels[:32]), Split(images[32:], labels[32:])


def worker_of(splits: tuple[Split, Split], folder: Path, given: Pretrained, patch: pytest.MonkeyPatch) -> Worker:
    patch.setattr(devices, "configure", lambda training, resources: "cpu")
    return Worker(
        train=splits[0],
        validation=splits[1],
        num_classes=3,
        training=TrainingSpec(),
        resources=ResourcesSpec(),
        checkpoints=folder / "checkpoints",  # type: ignore[arg-type]
        pretrained={given.file: given},
    )


def assignment(trial: str = "t", attempt: int = 1, known: int = 0, **knobs: Any) -> Assignment:
    return Assignment(
        trial=trial, arm="arm", architecture="resnet", attempt=attempt, configuration={**tiny.FIXED, **knobs}, seed=3,
        max_epochs=EPOCHS, known_epochs=known,
    )  # fmt: skip


def trained(worker: Worker, task: Assignment, epochs: int = EPOCHS) -> list[dict[str, Any]]:
    worker.start(task)
    rows: list[dict[str, Any]] = []
    for _ in range(epochs):
        report = worker.step()
        assert "rows" in report, report
        rows += report["rows"]
    goes_on(worker)
    return rows


def images() -> tuple[Images, Images]:
    return tuple(Images(pixels(GREY, count), np.arange(count) % 3) for count in (24, 8))  # type: ignore[return-value]


def metrics(rows: list[dict[str, Any]]) -> list[list[Any]]:
    return [[row["epoch"], *(row[name] for name in METRICS)] for row in rows]


@pytest.mark.parametrize(
    ("what", "deepest"),
    [
        ("head", 0),
        *(pytest.param(*case, marks=pytest.mark.long) for case in (("all", 4), ("last-1", 1), ("last-2", 2), ("last-4", 4))),
    ],
)
def test_exactly_what_is_to_be_trained_changes(what: str, deepest: int, folder: Path) -> None:
    given = loaded(folder, GREY)
    programs = Programs(task_of(GREY), *images(), {given.file: given})
    configuration = {**tiny.FIXED, "trained": what}
    program, _ = programs.prepare("resnet", configuration, init_seed=1, augmentation_seed=2)
    network = next(layer for layer in program.model.layers if isinstance(layer, keras.Model))
    before = snapshot(weights_in_order(network))
    for array, weight in zip(given.arrays, before, strict=True):
        assert array is None or array.tobytes() == weight.tobytes()
    program.train(np.arange(24), learning_rate=0.001)
    changed = [
        first.tobytes() != second.tobytes() for first, second in zip(before, snapshot(weights_in_order(network)), strict=True)
    ]
    assert changed == [stage <= deepest for stage in given.stages]
    # What a table compares arms by is the size of the network, whatever is trained of it.
    fresh = catalog.load("architecture", "resnet")(SHAPE, 3, **tiny.KNOBS)
    assert program.parameters == measure.trainable_parameters(fresh)
    assert (measure.trainable_parameters(network) == program.parameters) == (what == "all" or deepest == 4)


@pytest.mark.long
def test_the_head_begins_at_random_and_follows_the_seed(folder: Path) -> None:
    given = loaded(folder, GREY)
    programs = Programs(task_of(GREY), *images(), {given.file: given})
    heads = []
    for seed in (1, 2, 1):
        program, is_reused = programs.prepare("resnet", {**tiny.FIXED, "trained": "head"}, init_seed=seed, augmentation_seed=2)
        network = next(layer for layer in program.model.layers if isinstance(layer, keras.Model))
        heads.append(np.asarray(network.weights[-2]).tobytes())
    assert is_reused
    assert heads[0] != heads[1]
    assert heads[0] == heads[2]


@pytest.mark.long
@pytest.mark.parametrize("what", ["all", "head", "last-2"])
def test_going_on_and_a_reused_program_are_bit_for_bit_the_same(
    what: str, folder: Path, splits: tuple[Split, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = loaded(folder, GREY)
    knobs = {"trained": what, "dropout": 0.2, "ema_momentum": 0.5}
    first = worker_of(splits, tmp_path / "a", given, monkeypatch)
    whole = trained(first, assignment(**knobs))
    assert whole[-1]["val_loss"] != whole[0]["val_loss"]
    reused = trained(first, assignment("again", **knobs))
    assert reused[0]["is_program_reused"]
    assert metrics(reused) == metrics(whole)
    trained(worker_of(splits, tmp_path / "b", given, monkeypatch), assignment(**knobs), epochs=2)
    rest = trained(worker_of(splits, tmp_path / "b", given, monkeypatch), assignment(attempt=2, known=2, **knobs), epochs=2)
    assert metrics(rest) == metrics(whole[2:])


@pytest.mark.long
@pytest.mark.usefixtures("half_precision")
def test_in_half_precision_weights_are_whole_and_frozen_ones_stay(
    folder: Path, splits: tuple[Split, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = loaded(folder, GREY)
    worker = worker_of(splits, tmp_path / "a", given, monkeypatch)
    whole = trained(worker, assignment(trained="last-1"))
    assert whole[-1]["val_loss"] != whole[0]["val_loss"]
    network = next(layer for layer in worker._program.model.layers if isinstance(layer, keras.Model))
    assert network.compute_dtype == "float16"
    for array, weight, stage in zip(given.arrays, snapshot(weights_in_order(network)), given.stages, strict=True):
        assert stage <= 1 or (array is not None and array.tobytes() == weight.tobytes())
    trained(worker_of(splits, tmp_path / "b", given, monkeypatch), assignment(trained="last-1"), epochs=2)
    again = worker_of(splits, tmp_path / "b", given, monkeypatch)
    assert metrics(trained(again, assignment(attempt=2, known=2, trained="last-1"), epochs=2)) == metrics(whole[2:])


@pytest.mark.long
def test_a_row_says_which_file_its_trial_began_with(
    folder: Path, splits: tuple[Split, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = loaded(folder, GREY)
    worker = worker_of(splits, tmp_path, given, monkeypatch)
    (row,) = trained(worker, assignment(trained="head"), epochs=1)
    assert json.loads(row["versions"])["weights"] == given.label
    (row,) = trained(worker, assignment("plain", weights="none"), epochs=1)
    assert "weights" not in json.loads(row["versions"])


def test_weights_that_no_driver_read_fail_the_trial(
    splits: tuple[Split, Split], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = worker_of(splits, tmp_path, dataclasses.replace(loaded(folder, GREY), file="other"), monkeypatch)
    worker.start(assignment())
    assert "there are no weights for this resnet" in worker.step()["failure"]["detail"]
