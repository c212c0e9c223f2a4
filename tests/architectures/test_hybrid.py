"""The transformers behind convolutions."""

from __future__ import annotations

import random
import warnings

import keras
import numpy as np
import pytest

from architectures._blocks import SequencePooling
from sweeper import catalog
from sweeper.errors import KnobError
from sweeper.training.measuring import measure
from tests.architectures.kit import (
    build,
    images,
    layer_shapes,
)

pytestmark = pytest.mark.usefixtures("framework")


def test_hybrid_default_is_small() -> None:
    assert measure.trainable_parameters(catalog.load("architecture", "hybrid")((32, 32, 3), 10)) == 119_650


@pytest.mark.parametrize("pooling", ["sequence", "mean", "class_token"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 1), (2, 2, 3), (5, 3, 1)], ids=str)
def test_hybrid_takes_images_of_any_size(shape: tuple[int, int, int], pooling: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = build("hybrid", shape, stem_depth=4, pooling=pooling)
        assert np.isfinite(np.asarray(model(images(shape)))).all()


def test_the_stem_halves_the_map_while_there_is_more_than_attention_needs() -> None:
    model = build("hybrid", (9, 3, 1), stem_depth=5, stem_width=2, width=8)
    assert [shape[1:] for shape in layer_shapes(model, keras.layers.Conv2D)] == [
        (5, 2, 2), (3, 1, 4), (2, 1, 8), (2, 1, 16), (2, 1, 32), (2, 1, 8)
    ]  # fmt: skip


def test_the_stem_gives_one_token_for_each_place() -> None:
    model = build("hybrid", (48, 32, 1), stem_depth=3, pooling="class_token", width=16)
    assert layer_shapes(model, keras.layers.Reshape) == [(None, 6 * 4, 16)]
    assert layer_shapes(model, keras.layers.MultiHeadAttention) == [(None, 6 * 4 + 1, 16)]


def test_pooling_costs_a_score_a_token_or_nothing() -> None:
    sequence, mean, token = (
        measure.trainable_parameters(build("hybrid", pooling=pooling, positions="none"))
        for pooling in ("sequence", "mean", "class_token")
    )
    assert sequence - mean == 16
    assert token - mean == 16


def test_sequence_pooling_is_a_mean_with_weights() -> None:
    random.seed(0)
    layer = SequencePooling()
    tokens = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")
    layer.build(tokens.shape)
    (kernel,) = layer.get_weights()
    weights = np.exp(tokens @ kernel)
    weights /= weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(layer(tokens)), (weights * tokens).sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(np.asarray(layer.attention_map(keras.ops.convert_to_tensor(tokens))), 5 * weights, atol=1e-5)


def test_hybrid_refuses_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(KnobError, match="'num_heads' is 3, which does not divide a 'width' of 16"):
        build("hybrid", num_heads=3)
