"""What a network makes of an image, against direct computations from its weights; and the pictures of it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from architectures._blocks import SequencePooling
from sweeper import catalog
from sweeper.datasets import Split
from sweeper.training.activations import Activations, activations
from sweeper.training.measuring.blocks import layers
from sweeper.training.predicting import probabilities
from sweeper.training.program import build
from sweeper.training.task import Task

pytestmark = pytest.mark.usefixtures("framework")

Array = np.ndarray[Any, Any]

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
IMAGE = IMAGES[0]
TASK = Task.of(Split(IMAGES, np.arange(20) % 10), 10)


def made(architecture: str, **knobs: Any) -> tuple[Any, Any]:
    """A model as it is trained, with weights that are no longer those of its start, and the network in it."""
    configuration = {**catalog.load("architecture", architecture).tiny, "batch_size": 32, "learning_rate": 0.003, **knobs}
    model, network = build(architecture, configuration, TASK, init_seed=0, augmentation_seed=0)
    draw = np.random.default_rng(1)
    for weight in network.trainable_weights:
        weight.assign(np.asarray(weight) + draw.normal(scale=0.3, size=weight.shape))
    return model, network


def before(network: Any, layer: Any) -> Any:
    """What a layer gives for the image, which is standardised as for training."""
    mean, deviation = np.float32(TASK.mean[0]), np.float32(TASK.deviation[0])
    scaled = (IMAGE[None] / np.float32(255) - mean) / deviation
    return np.asarray(keras.Model(network.input, layer.output)(scaled, training=False))


def softmax(scores: Array) -> Array:
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True))


def scores_by_hand(network: Any) -> Array:
    """The attention of the only layer of attention: (heads, queries, keys)."""
    ((place, attention),) = [
        (place, layer) for place, layer in enumerate(network.layers) if isinstance(layer, keras.layers.MultiHeadAttention)
    ]
    tokens = before(network, network.layers[place - 1])[0]
    query, query_bias, key, key_bias = attention.get_weights()[:4]
    queries, keys = np.einsum("tw,whs->hts", tokens, query), np.einsum("tw,whs->hts", tokens, key)
    queries, keys = queries + query_bias[:, None], keys + key_bias[:, None]
    return softmax(queries @ keys.transpose(0, 2, 1) / np.sqrt(query.shape[-1]))


@pytest.mark.parametrize(
    ("architecture", "knobs"), [("cnn", {}), ("resnet", {}), ("googlenet", {"auxiliary_heads": True}), ("convnext", {})]
)
def test_feature_maps_are_what_the_last_layer_of_each_block_gives(architecture: str, knobs: dict[str, Any]) -> None:
    """Augmentation, which the model has in front, changes nothing: it is for training only."""
    model, network = made(architecture, flip="horizontal", rotation_degrees=30.0, brightness=0.5, **knobs)
    found = activations(model, IMAGE)
    np.testing.assert_allclose(found.probabilities, probabilities(model, IMAGE[None], 10)[0], rtol=1e-5, atol=1e-6)
    inner = network if len(network.outputs) == 1 else keras.Model(network.input, network.outputs[0])
    last = [own[-1] for own in layers(inner)]
    expected = [values[0] for values in (before(network, layer) for layer in last) if values.ndim == 4]
    assert len(found.feature_maps) == len(expected) > 0
    for one, values in zip(found.feature_maps, expected, strict=True):
        # A sum of large terms is as exact as float32 holds the largest of them.
        np.testing.assert_allclose(one.values, values, rtol=1e-4, atol=1e-6 * np.abs(values).max())
    assert (found.attention, found.gates) == ((), ())


def test_attention_of_the_class_token() -> None:
    model, network = made("vit", pooling="class_token")
    (shown,) = activations(model, IMAGE).attention
    scores = scores_by_hand(network)
    assert (shown.stage, shown.by, shown.values.shape) == ("encoder", "class token", (2, 2, 2))
    np.testing.assert_allclose(shown.values.transpose(2, 0, 1).reshape(2, 4), 5 * scores[:, 0, 1:], rtol=1e-4)
    np.testing.assert_allclose(shown.values.sum(axis=(0, 1)) / 5 + scores[:, 0, 0], 1, rtol=1e-5)


def test_attention_of_all_tokens() -> None:
    model, network = made("vit", pooling="mean")
    (shown,) = activations(model, IMAGE).attention
    assert shown.by == "all tokens"
    np.testing.assert_allclose(shown.values.transpose(2, 0, 1).reshape(2, 4), scores_by_hand(network).sum(axis=1), rtol=1e-4)
    np.testing.assert_allclose(shown.values.mean(axis=(0, 1)), 1, rtol=1e-5)


def test_tokens_stand_in_the_places_of_their_patches() -> None:
    model, network = made("vit", pooling="class_token")
    maps = {one.stage: one.values for one in activations(model, IMAGE).feature_maps}
    last = [layer for layer in network.layers if isinstance(layer, keras.layers.LayerNormalization)][-1]
    np.testing.assert_allclose(maps["encoder"].reshape(4, -1), before(network, last)[0, 1:], rtol=1e-4, atol=1e-5)


def test_the_weights_of_pooling_are_attention_too() -> None:
    model, network = made("hybrid", pooling="sequence")
    *_, pooled = activations(model, IMAGE).attention
    (place,) = [place for place, layer in enumerate(network.layers) if isinstance(layer, SequencePooling)]
    tokens = before(network, network.layers[place - 1])[0]
    weights = softmax((tokens @ network.layers[place].get_weights()[0])[:, 0])
    assert pooled.by == "pooling"
    np.testing.assert_allclose(pooled.values.ravel(), weights * len(tokens), rtol=1e-4)


def test_attention_in_windows() -> None:
    model, _ = made("swin", depths="2-1", num_heads="2-2", patch_size=1, window_size=4)
    found = activations(model, IMAGE)
    assert [(one.stage, one.values.shape) for one in found.attention] == [
        ("stage 1", (8, 8, 2)),
        ("stage 1", (8, 8, 2)),
        ("stage 2", (4, 4, 2)),
    ]
    for one in found.attention:
        np.testing.assert_allclose(one.values.mean(axis=(0, 1)), 1, rtol=1e-4)
        assert one.values.std() > 0.01


@pytest.mark.parametrize(("architecture", "knobs"), [("cnn_se", {}), ("resnet", {"attention": "se"}), ("efficientnet", {})])
def test_gates_of_squeeze_and_excitation(architecture: str, knobs: dict[str, Any]) -> None:
    model, network = made(architecture, **knobs)
    found = activations(model, IMAGE).gates
    sigmoids = [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.Dense) and layer.activation is keras.activations.sigmoid
    ]
    assert len(found) == len(sigmoids) > 0
    for gate, layer in zip(found, sigmoids, strict=True):
        np.testing.assert_allclose(gate.weights, before(network, layer)[0, 0, 0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("attention", "has_gates"), [("eca", True), ("cbam", True), ("bam", False), ("none", False)])
def test_other_gates_over_channels(attention: str, has_gates: bool) -> None:
    model, _ = made("resnet", attention=attention)
    assert bool(activations(model, IMAGE).gates) == has_gates


@pytest.mark.parametrize("architecture", catalog.names("architecture"))
def test_every_architecture_shows_something(architecture: str) -> None:
    found = activations(made(architecture)[0], IMAGE)
    assert isinstance(found, Activations)
    assert found.feature_maps
    assert bool(found.attention) == (architecture in ("vit", "swin", "hybrid"))
    assert all(np.isfinite(one.values).all() for one in (*found.feature_maps, *found.attention))


def test_a_network_of_dense_layers_has_no_map() -> None:
    image, targets = keras.Input((8, 8, 1), dtype="uint8"), keras.Input((10,))
    network_input = keras.Input((8, 8, 1))
    network = keras.Model(network_input, keras.layers.Dense(10)(keras.layers.Flatten()(network_input)))
    scores = network(keras.layers.Rescaling(1 / 255)(image))
    found = activations(keras.Model([image, targets], ops.concatenate([scores, targets], axis=-1)), IMAGE)
    assert (found.feature_maps, found.attention, found.gates) == ((), (), ())
    assert found.probabilities.sum() == pytest.approx(1)
