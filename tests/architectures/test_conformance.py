"""What every model must do: runs over all files in ``architectures/``, so a new family is tested by being there."""

from __future__ import annotations

import functools
import random
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from sweeper.training.objective import Smoothing, minimised
from sweeper.training.recipe import Recipe
from tests.architectures.kit import (
    NAMES,
    SHAPES,
    build,
    images,
    outputs,
    variations,
)

pytestmark = pytest.mark.usefixtures("framework")


SHAPE = (12, 12, 1)


@functools.cache
def drawn(name: str, seed: int = 1, **knobs: Any) -> keras.Model:
    """A smallest network, built once for all tests that leave its weights as they are."""
    random.seed(seed)
    return build(name, SHAPE, **knobs)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_gives_one_float32_logit_per_class(name: str, shape: tuple[int, int, int]) -> None:
    model = build(name, shape, num_classes=5)
    assert model.input_shape == (None, *shape)
    for logits in map(np.asarray, outputs(model, images(shape, number=3))):
        assert logits.shape == (3, 5)
        assert logits.dtype == np.float32
        assert np.isfinite(logits).all()
        assert not np.allclose(logits.sum(axis=1), 1.0), "the outputs look like probabilities; the head must give logits"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("half_precision")
def test_logits_are_float32_under_half_precision(name: str) -> None:
    model = build(name)
    assert any(layer.compute_dtype == "float16" for layer in model.layers), "the dtype policy is not followed"
    for logits in outputs(model, images((8, 8, 1))):
        assert keras.backend.standardize_dtype(logits.dtype) == "float32"
        assert np.isfinite(np.asarray(logits)).all()


@pytest.mark.parametrize("name", NAMES)
def test_is_uncompiled_and_functional(name: str) -> None:
    model = drawn(name)
    assert isinstance(model, keras.Function), "build it with keras.Model(inputs, outputs)"
    assert not model.compiled
    assert model.name == name


@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_depend_on_the_others_of_its_batch(name: str) -> None:
    model = drawn(name)
    batch = images(SHAPE, number=4)
    for together, alone in zip(outputs(model, batch), outputs(model, batch[:1]), strict=True):
        np.testing.assert_allclose(np.asarray(together)[:1], np.asarray(alone), atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_every_weight_gets_a_gradient(name: str) -> None:
    import tensorflow as tf

    def dead_weights(model: keras.Model) -> dict[int, str]:
        targets = np.eye(10, dtype=np.float32)[np.arange(16) % 10]
        with tf.GradientTape() as tape:
            logits, *auxiliary = outputs(model, images(SHAPE), training=True)
            packed = keras.ops.concatenate([logits, targets, *auxiliary], axis=-1)
            loss = keras.ops.mean(minimised(packed, (1,) * 10, Smoothing.of(Recipe.of({}), 10), is_balanced=False))
        gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
        return {
            position: weight.path
            for position, (weight, gradient) in enumerate(zip(model.trainable_weights, gradients, strict=True))
            # The bias of attention's keys shifts all scores of a query alike, which softmax ignores.
            if gradient is None or not (np.any(gradient) or weight.path.endswith("key/bias"))
        }

    for knobs in variations(name):
        dead = dead_weights(drawn(name, **knobs))
        if dead:
            # Rectifiers of a very small network can all be shut by chance, but not with every seed.
            others = [dead_weights(drawn(name, seed, **knobs)) for seed in (2, 3)]
            dead = {position: path for position, path in dead.items() if all(position in other for other in others)}
        assert not dead, f"with {knobs}: no gradient reaches {list(dead.values())}"


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name == "cnn" else pytest.mark.long) for name in NAMES])
def test_learns_a_few_digits_by_heart(name: str) -> None:
    import tensorflow as tf

    digits = load_digits()
    pixels = ((digits.images[:40, :, :, None] - 4.9) / 6.0).astype("float32")
    labels = digits.target[:40]
    random.seed(3)
    model = build(name)
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)  # `Model.compile` has it, which takes twice as long to trace
    def train() -> None:
        with tf.GradientTape() as tape:
            logits = outputs(model, pixels, training=True)
            losses = [keras.losses.sparse_categorical_crossentropy(labels, own, from_logits=True) for own in logits]
            loss = tf.add_n([tf.reduce_mean(own) for own in losses])
        optimizer.apply(tape.gradient(loss, [weight.value for weight in model.trainable_weights]))

    accuracy = 0.0
    for step in range(1, 81):
        train()
        if step % 10 == 0:
            accuracy = float(np.mean(np.asarray(outputs(model, pixels)[0]).argmax(axis=1) == labels))
        if accuracy > 0.95:
            break
    assert accuracy > 0.95


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_pythons_seed_decides_the_weights(name: str) -> None:
    def variables(seed: int) -> list[np.ndarray[Any, Any]]:
        random.seed(seed)
        return [np.asarray(variable) for variable in build(name).variables]

    first, again, other = variables(1), variables(1), variables(2)
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    for one, two in zip(first, other, strict=True):
        is_random = one.ndim >= 2 and np.ptp(one) > 0
        assert not is_random or not np.array_equal(one, two), f"a weight of shape {one.shape} ignores the seed"


@pytest.mark.parametrize("name", NAMES)
def test_no_two_weights_start_alike(name: str) -> None:
    random_weights = [np.asarray(weight) for weight in drawn(name).trainable_weights if np.ptp(np.asarray(weight)) > 0]
    for position, one in enumerate(random_weights):
        for two in random_weights[:position]:
            assert not np.array_equal(one, two), f"two weights of shape {one.shape} share one initialiser's values"


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_survives_its_configuration(name: str) -> None:
    batch = images(SHAPE, number=2)
    for knobs in variations(name):
        model = drawn(name, **knobs)
        twin = type(model).from_config(model.get_config())
        twin.set_weights(model.get_weights())
        for one, other in zip(outputs(twin, batch), outputs(model, batch), strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("name", NAMES)
def test_survives_json(name: str) -> None:
    model = drawn(name)
    assert keras.models.model_from_json(model.to_json()).to_json() == model.to_json()
