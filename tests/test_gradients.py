"""Gradients by depth: measured exactly, and drawn with and without skip connections."""

from __future__ import annotations

import json
import random
from pathlib import Path

import keras
import numpy as np
import pytest

from sweeper import catalog
from sweeper.plots._gradient_flow import frame
from sweeper.training.gradients import NUM_IMAGES, gradient_flow
from tests.conftest import Run

pytestmark = pytest.mark.usefixtures("framework")


def test_gradients_are_those_of_the_framework() -> None:
    import tensorflow as tf

    def build() -> keras.Model:
        random.seed(0)
        function = catalog.load("architecture", "resnet")
        return function((8, 8, 1), 4, **function.tiny)

    found = gradient_flow(build())
    model = build()
    generator = np.random.default_rng(0)
    images = generator.normal(size=(NUM_IMAGES, 8, 8, 1)).astype("float32")
    labels = generator.integers(0, 4, NUM_IMAGES)
    kernels = [weight for layer in model.layers for weight in layer.trainable_variables if len(weight.shape) >= 2]
    with tf.GradientTape() as tape:
        logits = model(images, training=True)
        loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
    gradients = tape.gradient(loss, [weight.value for weight in kernels])
    expected = [float(np.sqrt(np.mean(np.square(gradient)))) for gradient in gradients]
    assert [row["gradient"] for row in found] == pytest.approx(expected, rel=1e-3)
    assert [row["depth"] for row in found] == list(range(1, len(expected) + 1))


def test_the_frame_names_networks_and_layers() -> None:
    table = frame(
        {"with": [{"layer": "a", "depth": 1, "gradient": 0.5}], "without": [{"layer": "a", "depth": 1, "gradient": 0.1}]}
    )
    assert table.to_dict("list") == {
        "network": ["with", "without"], "layer": ["a", "a"], "depth": [1, 1], "gradient": [0.5, 0.1]
    }  # fmt: skip


def test_skip_connections_keep_gradients_of_like_size(run: Run, tmp_path: Path) -> None:
    knobs = ["--set", "blocks_per_stage=8-8", "--set", "width=8", "--input-shape", "8,8,1"]
    code, out, _ = run("describe", "resnet", *knobs, "--gradient-flow", "flow.png", "--json")
    assert code == 0
    assert (tmp_path / "flow.png").stat().st_size > 10_000
    flows = json.loads(out)["gradient_flow"]
    first, last = ({name: flow[place]["gradient"] for name, flow in flows.items()} for place in (0, -1))
    ratios = {name: first[name] / last[name] for name in flows}
    assert ratios["without"] > 5 * ratios["with skip connections"], "with normalisation plain networks explode backwards"


def test_a_family_without_the_knob_has_one_network(run: Run) -> None:
    code, out, _ = run("describe", "vit", "--input-shape", "8,8,1", "--gradient-flow", "flow.svg", "--json")
    assert code == 0
    assert list(json.loads(out)["gradient_flow"]) == ["as asked for"]
