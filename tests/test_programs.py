"""Programs: what trials share, what they are given, and that neither chunks nor joined variables change a bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from sweeper import catalog
from sweeper.datasets import Split
from sweeper.ledger.records import METRICS
from sweeper.study.spec import ResourcesSpec, TrainingSpec
from sweeper.training import devices, optimizer
from sweeper.training.checkpoint import snapshot
from sweeper.training.loop import base, on_tensorflow
from sweeper.training.optimizer import JoinedOptimizer, build_optimizer
from sweeper.training.program import build, seed_network
from sweeper.training.recipe import Recipe
from sweeper.training.statistics import channel_statistics
from sweeper.training.task import Task
from sweeper.training.trial import Assignment, Worker
from sweeper.training.values import Values

pytestmark = pytest.mark.usefixtures("framework")

VALUES: dict[str, tuple[float, float]] = {
    "dropout": (0.1, 0.4), "dense_dropout": (0.2, 0.5), "label_smoothing": (0.1, 0.2), "weight_decay": (0.01, 0.3),
    "momentum": (0.9, 0.5), "clip_norm": (0.5, 0.1), "shift": (0.1, 0.2), "rotation_degrees": (5.0, 20.0),
    "brightness": (0.1, 0.3), "cutout": (0.3, 0.5), "mix_alpha": (0.2, 0.9), "ema_momentum": (0.5, 0.9),
}  # fmt: skip
"""Everything that a program is given, in two versions."""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes workers, each without any program yet."""
    monkeypatch.setattr(devices, "configure", lambda training, resources: "cpu")
    draw = np.random.default_rng(0)
    labels = np.arange(90) % 3
    images = (draw.integers(0, 150, (90, 8, 8, 1)) + 40 * labels[:, None, None, None]).astype(np.uint8)

    def new(count: int = 70) -> Worker:
        return Worker(
            train=Split(images[:count], labels[:count]),
            validation=Split(images[70:], labels[70:]),
            num_classes=3,
            training=TrainingSpec(),
            resources=ResourcesSpec(),
            checkpoints=tmp_path / "checkpoints",
        )

    return new


def train(worker: Worker, trial: str, epochs: int = 1, **knobs: Any) -> list[list[float]]:
    """Metrics of the epochs of a trial."""
    configuration = {
        "num_blocks": 1, "width": 4, "head": "flatten", "dense_units": 8, "batch_size": 16, "learning_rate": 0.01,
        **knobs,
    }  # fmt: skip
    worker.start(
        Assignment(
            trial=trial, arm="arm", architecture="cnn", attempt=1, configuration=configuration, seed=3, max_epochs=9,
            known_epochs=0,
        )
    )  # fmt: skip
    found = []
    for _ in range(epochs):
        report = worker.step()
        assert "rows" in report, report
        found.append([report["rows"][0][name] for name in METRICS])
    return found


@pytest.mark.long
def test_a_program_given_other_values_is_one_that_was_made_with_them(worker: Any) -> None:
    first, second = ({name: pair[version] for name, pair in VALUES.items()} for version in (0, 1))
    always = {"optimizer": "sgd", "mix": "mixup"}
    mine = worker()
    begun = train(mine, "first", **always, **first)
    assert not mine._is_reused
    changed = train(mine, "second", epochs=2, **always, **second)
    assert mine._is_reused
    assert changed == train(worker(), "fresh", epochs=2, **always, **second)
    for name in VALUES:
        assert train(mine, name, **always, **{**first, name: second[name]}) != begun, f"{name} reaches the program"
        assert mine._is_reused
    assert train(mine, "again", **always, **first) == begun


@pytest.mark.parametrize("name", [name for name in catalog.names("architecture") if catalog.load("architecture", name).rates])
def test_rates_shape_nothing(name: str) -> None:
    """Otherwise trials that differ in them could not share a program."""
    build = catalog.load("architecture", name)

    def made(rate: float) -> keras.Model:
        seed_network(1)
        return build((16, 16, 3), 3, **{**build.tiny, **dict.fromkeys(build.rates, rate)})

    def structure(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: structure(part) for key, part in value.items() if key not in ("rate", "seed")}
        return [structure(part) for part in value] if isinstance(value, list) else value

    few, many = made(0.1), made(0.3)
    assert structure(few.get_config()) == structure(many.get_config())
    plain, recipe = build_optimizer(Recipe.of({})), Recipe.of({})
    vectors = [Values(model, plain, recipe, 3).vector for model in (few, many)]
    assert vectors[0].shape == vectors[1].shape
    assert (vectors[1][3:] >= vectors[0][3:]).all() and (vectors[1][3:] > vectors[0][3:]).any()


@pytest.mark.long
@pytest.mark.parametrize("largest", [2**16, 5], ids=["all", "some"])
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd", "nadam", "rmsprop"])
def test_joined_variables_are_updated_bit_for_bit_as_separate_ones(
    kind: str, precision: str, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimizer, "LARGEST_JOINED", largest)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        recipe = Recipe.of({"optimizer": kind, "weight_decay": 0.01, "ema_momentum": 0.9})
        shapes = [(3,), (3, 4), (4,), (), (2, 2), (5,)]
        draw = np.random.default_rng(0)
        mine, theirs = ([keras.Variable(np.full(shape, 0.5, "float32")) for shape in shapes] for _ in range(2))
        joined, separate = JoinedOptimizer(recipe, mine), build_optimizer(recipe)
        separate.build(theirs)
        if precision == "mixed_float16":
            separate = keras.optimizers.LossScaleOptimizer(separate)
            separate.build(theirs)
        assert len(joined.variables) == (1 if largest > 5 else 2)
        for _ in range(3):
            gradients = [draw.normal(size=shape).astype("float32") for shape in shapes]
            joined.take_small()
            joined.outer.apply(joined.joined(gradients), joined.variables)
            joined.give_small()
            separate.apply(gradients, theirs)
        assert [array.tobytes() for array in snapshot(mine)] == [array.tobytes() for array in snapshot(theirs)]
        state = joined.snapshot()
        assert [array.tobytes() for array in state] == [array.tobytes() for array in snapshot(separate.variables)]
        other = JoinedOptimizer(recipe, mine)
        other.assign(state)
        assert [array.tobytes() for array in other.snapshot()] == [array.tobytes() for array in state]
        joined.put_average()
        separate.finalize_variable_values(theirs)
        assert [array.tobytes() for array in snapshot(mine)] == [array.tobytes() for array in snapshot(theirs)]
        with pytest.raises(ValueError, match=r"shorter|longer"):
            other.assign(state[:-1])
    finally:
        keras.config.set_dtype_policy(before)


def test_gradients_are_clipped_together() -> None:
    joined = JoinedOptimizer(Recipe.of({}), [keras.Variable(np.zeros(4, "float32"))])
    gradients = [np.full((2, 2), 3.0, "float32"), None, np.full(5, 4.0, "float32")]
    norm = np.sqrt(4 * 9 + 5 * 16)
    for limit, factor in ((1.0, 1 / norm), (2 * norm, 1.0)):
        clipped = joined.clipped(gradients, limit)
        assert clipped[1] is None
        for number in (0, 2):
            np.testing.assert_allclose(clipped[number], np.asarray(gradients[number]) * factor, rtol=1e-6)
    assert joined.clipped(gradients, None) is gradients


@pytest.mark.long
def test_neither_chunks_nor_streaming_nor_storing_change_a_bit(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    knobs = {"dropout": 0.2, "flip": "horizontal", "dense_dropout": 0.0}
    whole = train(worker(), "whole", epochs=2, **knobs)
    monkeypatch.setattr(base, "CHUNK_S", 0.0)
    assert train(worker(), "chunks", epochs=2, **knobs) == whole
    monkeypatch.setattr(base, "LARGEST_RESIDENT", 3 * 16 * 64)  # three batches at a time, of four
    assert train(worker(), "streamed", epochs=2, **knobs) == whole
    monkeypatch.setattr(on_tensorflow, "_has_gpu", lambda: True)
    assert train(worker(), "halves", epochs=2, **knobs) == whole, "as they are kept on a GPU"


def test_training_takes_whole_batches_and_validation_is_exact(worker: Any) -> None:
    mine = worker()
    ((_, _, val_loss, val_accuracy),) = train(mine, "t", dropout=0.0, dense_dropout=0.0)
    loop = mine._program.loop
    assert loop._whole(np.arange(70)).shape == (4, 16), "six of seventy images have to wait for another epoch"
    network = mine._program.model
    split = loop._validation
    packed = np.asarray(network.predict([split.images, np.eye(3)[split.labels]], verbose=0), np.float64)[:, :3]
    logs = packed - np.log(np.exp(packed).sum(axis=1, keepdims=True))
    assert val_loss == pytest.approx(-logs[np.arange(20), split.labels].mean(), rel=1e-5)
    assert val_accuracy == (packed.argmax(axis=1) == split.labels).mean()


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_images_are_standardised_or_left_from_0_to_1(dtype: str) -> None:
    raw = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 2)).astype("uint8")
    images = raw if dtype == "uint8" else (raw / 255).astype("float32")
    mean, deviation = channel_statistics(images)
    task = Task(input_shape=(8, 8, 2), num_classes=2, image_dtype=dtype, mean=mean, deviation=deviation, class_counts=(25, 25))
    for scaling, wanted in (("unit", raw / 255), ("standardise", (raw / 255 - mean) / deviation)):
        configuration = {"num_blocks": 1, "width": 4, "head": "average", "scaling": scaling}
        model, _ = build("cnn", configuration, task, init_seed=0, augmentation_seed=0)
        seen = keras.Model(model.inputs[0], model.get_layer("standardise").output)(images)
        np.testing.assert_allclose(np.asarray(seen), wanted, atol=1e-5)


def test_a_data_set_smaller_than_a_batch_is_one_batch(worker: Any) -> None:
    mine = worker(count=10)
    assert np.isfinite(train(mine, "t", batch_size=64)).all()
    assert mine._program.loop._whole(np.arange(10)).shape == (1, 10)
