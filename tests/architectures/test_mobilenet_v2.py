"""The MobileNetV2 networks."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from sweeper import catalog
from sweeper.errors import KnobError
from sweeper.training.measuring import measure
from tests.architectures.kit import build, images, layer_shapes

pytestmark = pytest.mark.usefixtures("framework")

MILLIONS = {"1.0": 3.47, "0.75": 2.61, "0.5": 1.95, "0.35": 1.66, "1.4": 6.06}
"""Parameters as the reference implementation lists them, without scales and shifts of normalisation."""


def published(variant: str, shape: tuple[int, int, int] = (224, 224, 3), **knobs: Any) -> keras.Model:
    return catalog.load("architecture", "mobilenet_v2")(shape, 1000, variant=variant, **knobs)


def layers(model: keras.Model, kind: Any) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


def test_has_the_stages_of_table_2() -> None:
    model = published("1.0")
    maps = [shape[1:] for shape in layer_shapes(model, keras.layers.DepthwiseConv2D)]
    # Sides behind the depthwise convolution of each block, and channels inside it: six times those that come in.
    assert maps == [
        (112, 112, 32),
        (56, 56, 96), (56, 56, 144),
        (28, 28, 144), (28, 28, 192), (28, 28, 192),
        (14, 14, 192), *[(14, 14, 384)] * 3,
        (14, 14, 384), *[(14, 14, 576)] * 2,
        (7, 7, 576), *[(7, 7, 960)] * 2,
        (7, 7, 960),
    ]  # fmt: skip
    assert len(layers(model, keras.layers.Add)) == 10, "a shortcut wherever the shape stays the same, and nowhere else"


def test_is_linear_where_it_is_narrow() -> None:
    model = published("1.0", (32, 32, 3))
    # Behind the stem, twice in each block (once in the first, which widens nothing), and behind the last convolution.
    activations = layers(model, keras.layers.Activation)
    assert len(activations) == 1 + 1 + 16 * 2 + 1
    assert {layer.activation for layer in activations} == {keras.activations.relu6}
    narrow = [layer for layer in layers(model, keras.layers.Conv2D) if layer.filters in (16, 24, 32, 64, 96, 160, 320)][1:]
    for layer in [layer for layer in narrow if layer.kernel_size == (1, 1) and layer.filters < layer.input.shape[-1]]:
        normalisation = layer.output._keras_history.operation
        following = [node.operation for node in normalisation._outbound_nodes]
        assert [type(operation).__name__ for operation in following] == ["BatchNormalization"]
        behind = {type(node.operation).__name__ for node in following[0]._outbound_nodes}
        assert "Activation" not in behind


@pytest.mark.long
@pytest.mark.parametrize("variant", MILLIONS)
@pytest.mark.usefixtures("shapes_alone")
def test_counts_as_the_reference_implementation_does(variant: str) -> None:
    model = published(variant, (32, 32, 3))
    scales = sum(measure.trainable_parameters(layer) for layer in layers(model, keras.layers.BatchNormalization))
    assert (measure.trainable_parameters(model) - scales) / 1e6 == pytest.approx(MILLIONS[variant], abs=0.0051)


def test_a_narrow_network_keeps_its_head_and_a_wide_one_widens_it() -> None:
    heads = {
        variant: layers(published(variant, (8, 8, 1), blocks_per_stage="1"), keras.layers.Conv2D)[-1].filters
        for variant in MILLIONS
    }
    assert heads == {"1.0": 1280, "0.75": 1280, "0.5": 1280, "0.35": 1280, "1.4": 1792}


def test_expansion_widens_all_blocks_but_the_first() -> None:
    model = build("mobilenet_v2", width_multiplier=1.0, blocks_per_stage="1-2", expansion=3)
    assert [shape[-1] for shape in layer_shapes(model, keras.layers.DepthwiseConv2D)] == [32, 16 * 3, 24 * 3]
    plain = build("mobilenet_v2", width_multiplier=1.0, blocks_per_stage="1-2", expansion=1)
    assert [shape[-1] for shape in layer_shapes(plain, keras.layers.DepthwiseConv2D)] == [32, 16, 24]


def test_the_stem_halves_large_images_only() -> None:
    sides = {
        stem: [shape[1] for shape in layer_shapes(build("mobilenet_v2", (32, 32, 3), stem=stem), keras.layers.DepthwiseConv2D)]
        for stem in ("small", "large")
    }
    assert sides == {"small": [32, 16, 16, 8], "large": [16, 8, 8, 4]}


def test_more_than_seven_stages_are_refused() -> None:
    with pytest.raises(KnobError, match="'blocks_per_stage' is '1-1-1-1-1-1-1-1', 8 stages; allowed: one to 7 numbers"):
        build("mobilenet_v2", blocks_per_stage="1-1-1-1-1-1-1-1")


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 3), (3, 2, 1)], ids=str)
def test_published_networks_take_images_of_any_size(shape: tuple[int, int, int]) -> None:
    model = catalog.load("architecture", "mobilenet_v2")(shape, 10, variant="0.35")
    assert np.isfinite(np.asarray(model(images(shape, 2)))).all()
