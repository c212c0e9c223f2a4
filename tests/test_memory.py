"""Memory of models, counted by hand."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from sweeper import catalog
from sweeper.training.measuring.measure import calls, inference_network
from sweeper.training.measuring.memory import memory_of

pytestmark = pytest.mark.usefixtures("framework")

VALUES = 4 * 4 * 2
"""Of the maps of the models here: 4x4 pixels, two channels."""


def test_a_chain_holds_two_maps_at_once() -> None:
    image = keras.Input((4, 4, 2))
    x = keras.layers.ReLU()(keras.layers.ReLU()(keras.layers.ReLU()(image)))
    found = memory_of(keras.Model(image, x))
    assert found == {"weights_mb": 0.0, "activation_mb": 3 * VALUES * 4 / 1e6, "peak_activation_mb": 2 * VALUES * 4 / 1e6}


@pytest.mark.parametrize("weigh", [keras.layers.Dense, lambda *units, **options: keras.layers.Conv2D(*units, 1, **options)])
def test_an_activation_counts_wherever_it_is_written(weigh: Any) -> None:
    image = keras.Input((4, 4, 2))
    inside = keras.Model(image, keras.layers.ReLU()(weigh(2, activation="gelu")(image)))
    behind = keras.Model(image, keras.layers.ReLU()(keras.layers.Activation("gelu")(weigh(2)(image))))
    assert memory_of(inside) == memory_of(behind)
    assert memory_of(inside)["activation_mb"] == 3 * VALUES * 4 / 1e6


def test_a_shortcut_is_held_until_it_is_added() -> None:
    image = keras.Input((4, 4, 2))
    branch = keras.layers.ReLU()(keras.layers.ReLU()(image))
    found = memory_of(keras.Model(image, keras.layers.Add()([image, branch])))
    assert found["activation_mb"] == 3 * VALUES * 4 / 1e6
    assert found["peak_activation_mb"] == 3 * VALUES * 4 / 1e6


def test_a_concatenation_holds_its_parts_and_the_whole() -> None:
    image = keras.Input((4, 4, 2))
    x = keras.layers.Concatenate()([image, keras.layers.ReLU()(image)])
    found = memory_of(keras.Model(image, keras.layers.GlobalAveragePooling2D()(x)))
    assert found["activation_mb"] == (VALUES + 2 * VALUES + 4) * 4 / 1e6
    assert found["peak_activation_mb"] == 4 * VALUES * 4 / 1e6


def test_a_shared_layer_gives_an_output_at_each_use_and_has_weights_once() -> None:
    image = keras.Input((4, 4, 2))
    layer = keras.layers.Conv2D(2, 1)
    found = memory_of(keras.Model(image, layer(layer(image))))
    assert found["weights_mb"] == (2 * 2 + 2) * 4 / 1e6
    assert found["activation_mb"] == 2 * VALUES * 4 / 1e6


def test_statistics_of_normalisation_are_weights() -> None:
    image = keras.Input((4, 4, 2))
    assert memory_of(keras.Model(image, keras.layers.BatchNormalization()(image)))["weights_mb"] == 4 * 2 * 4 / 1e6


def test_a_model_inside_counts_as_its_layers_do() -> None:
    inner_image = keras.Input((4, 4, 2))
    branch = keras.layers.ReLU()(keras.layers.ReLU()(inner_image))
    inner = keras.Model(inner_image, keras.layers.Add()([inner_image, branch]))
    chain = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2D(2, 1), keras.layers.ReLU()])
    image = keras.Input((4, 4, 2))
    found = memory_of(keras.Model(image, chain(inner(inner(image)))))
    assert found["weights_mb"] == (2 * 2 + 2) * 4 / 1e6
    assert found["activation_mb"] == (3 + 3 + 2) * VALUES * 4 / 1e6
    assert found["peak_activation_mb"] == 3 * VALUES * 4 / 1e6, "the input of an inner model, held beside its branch"


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_scores_of_attention_are_counted(dropout: float) -> None:
    tokens = keras.Input((10, 4))
    attention = keras.layers.MultiHeadAttention(num_heads=2, key_dim=2, dropout=dropout)
    graph = calls(keras.Model(tokens, attention(tokens, tokens)), is_open=True)
    sizes = [call.num_bytes for call in graph]
    assert sizes.count(2 * 10 * 10 * 4) >= 2, "scores and their softmax"
    assert sum(call.macs for call in graph) == 4 * 10 * 4 * 4 + 2 * 2 * 10 * 10 * 2


def test_attention_by_hand() -> None:
    tokens = keras.Input((10, 4))
    found = memory_of(keras.Model(tokens, keras.layers.MultiHeadAttention(num_heads=2, key_dim=2)(tokens, tokens)))
    token, scores = 10 * 4, 2 * 10 * 10
    # Queries, keys, values, scores, softmax, the weighted values, and these projected; at the softmax the values wait.
    assert found["activation_mb"] == (5 * token + 2 * scores) * 4 / 1e6
    assert found["peak_activation_mb"] == (token + 2 * scores) * 4 / 1e6


def test_windows_folded_into_the_batch_are_all_counted() -> None:
    image = keras.Input((4, 4, 2))
    windows = keras.ops.reshape(image, (-1, 4, 2))
    x = keras.ops.reshape(keras.layers.ReLU()(windows), (-1, 4, 4, 2))
    assert memory_of(keras.Model(image, x))["activation_mb"] == 3 * VALUES * 4 / 1e6


@pytest.mark.parametrize("name", catalog.names("architecture"))
def test_opened_calls_do_what_closed_ones_do(name: str) -> None:
    function = catalog.load("architecture", name)
    model = inference_network(function((8, 8, 1), 10, **function.tiny))
    closed, opened = calls(model), calls(model, is_open=True)
    assert sum(call.macs for call in opened) == sum(call.macs for call in closed)
    assert sum(call.num_bytes for call in opened) >= sum(call.num_bytes for call in closed)
    assert opened[-1].shape == closed[-1].shape == (10,)


@pytest.mark.usefixtures("half_precision")
def test_half_precision_reaches_into_opened_layers() -> None:
    tokens = keras.Input((10, 4))
    graph = calls(keras.Model(tokens, keras.layers.MultiHeadAttention(num_heads=2, key_dim=2)(tokens, tokens)), is_open=True)
    assert sum(call.num_bytes for call in graph) == (5 * 10 * 4 + 2 * 2 * 10 * 10) * 2


@pytest.mark.usefixtures("half_precision")
def test_half_precision_halves_activations_and_not_weights() -> None:
    image = keras.Input((4, 4, 2))
    found = memory_of(keras.Model(image, keras.layers.Conv2D(2, 1)(image)))
    assert found["activation_mb"] == VALUES * 2 / 1e6
    assert found["weights_mb"] == (2 * 2 + 2) * 4 / 1e6


def test_the_stem_decides_the_peak_of_resnet() -> None:
    model = catalog.load("architecture", "resnet")((64, 64, 3), 10, variant="18")
    found = memory_of(model)
    # What the stem's rectifier gives, 32x32 positions of 64 channels, and the same with the padding of the pooling behind it.
    assert found["peak_activation_mb"] == (32 * 32 + 34 * 34) * 64 * 4 / 1e6
    assert found["activation_mb"] > found["peak_activation_mb"]
