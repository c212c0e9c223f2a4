"""The plain networks."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest

from sweeper import catalog
from sweeper.training.measuring import measure
from tests.architectures.kit import (
    build,
    images,
    layer_shapes,
)

pytestmark = pytest.mark.usefixtures("framework")


def test_cnn_default_has_about_a_million_parameters() -> None:
    model = catalog.load("architecture", "cnn")((48, 48, 1), 7)
    assert 800_000 < measure.trainable_parameters(model) < 1_100_000


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("cnn", {"num_blocks": 1, "convolutions_per_block": 1, "width": 16, "dense_units": 64}),
        ("vgg", {"convolutions_per_stage": "1", "width": 16, "head": "dense", "dense_units": "64"}),
    ],
)
def test_the_hidden_layer_survives_its_first_steps(name: str, knobs: dict[str, Any]) -> None:
    random.seed(0)
    model = build(name, (32, 32, 1), 7, **knobs)
    model.compile(keras.optimizers.Adam(1e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = images((32, 32, 1), 640)
    model.fit(x, np.random.default_rng(1).integers(0, 7, 640), batch_size=32, epochs=2, verbose=0, shuffle=False)
    hidden = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dense)).output
    rectified = next(layer for layer in reversed(model.layers) if isinstance(layer, keras.layers.Dropout)).input
    assert rectified.shape == hidden.shape
    is_active = keras.Model(model.input, rectified).predict(x, verbose=0) > 0
    assert (is_active.mean(axis=0) > 0.01).mean() > 0.9, "units that are shut for every image learn nothing any more"


def test_cnn_se_default_has_about_a_quarter_of_a_million_parameters() -> None:
    function = catalog.load("architecture", "cnn_se")
    model = function((48, 48, 1), 7)
    assert 240_000 < measure.trainable_parameters(model) < 260_000
    gates = sum(2 * channels * (channels // 8) + channels + channels // 8 for channels in (32, 64, 128, 128))
    ablation = function((48, 48, 1), 7, attention="none")
    assert measure.trainable_parameters(model) - measure.trainable_parameters(ablation) == gates


def test_cnn_se_and_cnn_have_the_same_blocks() -> None:
    plain = build("cnn", width=8, num_blocks=2, attention="se", head="average")
    assert measure.trainable_parameters(build("cnn_se", widths="8-16")) == measure.trainable_parameters(plain)


def test_cnn_stops_pooling_at_one_pixel() -> None:
    model = build("cnn", (5, 9, 1), num_blocks=5)
    assert [shape[1:3] for shape in layer_shapes(model, keras.layers.MaxPooling2D)] == [(2, 4), (1, 2)]
