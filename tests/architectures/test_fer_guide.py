"""The six networks of a well-known guide to facial expressions, layer by layer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from sweeper import catalog
from sweeper.errors import KnobError
from sweeper.training.measuring import measure
from sweeper.training.weights.applications import APPLICATIONS
from tests.architectures.kit import images
from tests.test_equality import randomize

pytestmark = pytest.mark.usefixtures("framework")

IMAGE, NUM_CLASSES = (48, 48, 1), 7

SUMMARIES = {
    "cnn": [
        ("Conv2D", (46, 46, 32), 320),
        ("ReLU", (46, 46, 32), 0),
        ("MaxPooling2D", (23, 23, 32), 0),
        ("Conv2D", (21, 21, 64), 18_496),
        ("ReLU", (21, 21, 64), 0),
        ("MaxPooling2D", (10, 10, 64), 0),
        ("Conv2D", (8, 8, 128), 73_856),
        ("ReLU", (8, 8, 128), 0),
        ("Flatten", (8192,), 0),
        ("Dense", (128,), 1_048_704),
        ("ReLU", (128,), 0),
        ("Dense", (7,), 903),
    ],
    "cnn_se": [
        ("Conv2D", (48, 48, 32), 320),
        ("ReLU", (48, 48, 32), 0),
        ("GlobalAveragePooling2D", (1, 1, 32), 0),
        ("Dense", (1, 1, 4), 132),
        ("Dense", (1, 1, 32), 160),
        ("Multiply", (48, 48, 32), 0),
        ("MaxPooling2D", (24, 24, 32), 0),
        ("Conv2D", (24, 24, 64), 18_496),
        ("ReLU", (24, 24, 64), 0),
        ("GlobalAveragePooling2D", (1, 1, 64), 0),
        ("Dense", (1, 1, 8), 520),
        ("Dense", (1, 1, 64), 576),
        ("Multiply", (24, 24, 64), 0),
        ("GlobalAveragePooling2D", (64,), 0),
        ("Dense", (7,), 455),
    ],
    "resnet": [
        ("Conv2D", (48, 48, 32), 320),
        ("Activation", (48, 48, 32), 0),
        # 32 filters: the shortcut is the input
        ("Conv2D", (48, 48, 32), 9_248),
        ("BatchNormalization", (48, 48, 32), 128),
        ("Activation", (48, 48, 32), 0),
        ("Conv2D", (48, 48, 32), 9_248),
        ("BatchNormalization", (48, 48, 32), 128),
        ("Add", (48, 48, 32), 0),
        ("Activation", (48, 48, 32), 0),
        # 64 filters with stride 2; the 1x1 convolution of the shortcut stands beside the second convolution
        ("Conv2D", (24, 24, 64), 18_496),
        ("BatchNormalization", (24, 24, 64), 256),
        ("Activation", (24, 24, 64), 0),
        ("Conv2D", (24, 24, 64), 2_112),
        ("Conv2D", (24, 24, 64), 36_928),
        ("BatchNormalization", (24, 24, 64), 256),
        ("BatchNormalization", (24, 24, 64), 256),
        ("Add", (24, 24, 64), 0),
        ("Activation", (24, 24, 64), 0),
        # 128 filters, likewise
        ("Conv2D", (12, 12, 128), 73_856),
        ("BatchNormalization", (12, 12, 128), 512),
        ("Activation", (12, 12, 128), 0),
        ("Conv2D", (12, 12, 128), 8_320),
        ("Conv2D", (12, 12, 128), 147_584),
        ("BatchNormalization", (12, 12, 128), 512),
        ("BatchNormalization", (12, 12, 128), 512),
        ("Add", (12, 12, 128), 0),
        ("Activation", (12, 12, 128), 0),
        ("GlobalAveragePooling2D", (128,), 0),
        ("Dense", (7,), 903),
    ],
    "vit": [
        ("Conv2D", (48, 48, 3), 6),
        ("Conv2D", (8, 8, 64), 6_976),
        ("Reshape", (64, 64), 0),
        ("LearnedPositions", (64, 64), 4_096),
        *[
            ("MultiHeadAttention", (64, 64), 66_368),  # four heads of 64
            ("Add", (64, 64), 0),
            ("LayerNormalization", (64, 64), 128),
            ("Dense", (64, 128), 8_320),
            ("Dense", (64, 64), 8_256),
            ("Add", (64, 64), 0),
            ("LayerNormalization", (64, 64), 128),
        ]
        * 2,
        ("GlobalAveragePooling1D", (64,), 0),
        ("Dense", (7,), 455),
    ],
}
"""Kind, output and parameters, statistics of normalisation included. Dropout is left out: its rate is 0."""


def network(name: str, shape: tuple[int, int, int] = IMAGE, **knobs: Any) -> keras.Model:
    return catalog.load("architecture", name)(shape, NUM_CLASSES, variant="fer_guide", **knobs)


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_network_is_the_guides_layer_by_layer(name: str) -> None:
    model = network(name)
    layers = [layer for layer in model.layers if not isinstance(layer, (keras.layers.InputLayer, keras.layers.Dropout))]
    found = [(type(layer).__name__, layer.output.shape[1:], layer.count_params()) for layer in layers]
    assert found == SUMMARIES[name]
    assert all(layer.rate == 0 for layer in model.layers if isinstance(layer, keras.layers.Dropout))
    configs = {layer.name: layer.get_config() for layer in layers}
    kernels = [config["kernel_initializer"] for config in configs.values() if "kernel_initializer" in config]
    assert {kernel["class_name"] for kernel in kernels} == {"GlorotUniform"}
    assert all(config.get("use_bias", True) for config in configs.values())
    norms = [config for config in configs.values() if "epsilon" in config]
    assert {config["epsilon"] for config in norms} <= {1e-3}
    assert {config.get("momentum", 0.99) for config in norms} <= {0.99}


def test_positions_are_trained_or_stay_as_drawn() -> None:
    learned, drawn = network("vit"), network("vit", positions="random")
    assert measure.trainable_parameters(learned) - measure.trainable_parameters(drawn) == 64 * 64
    assert measure.total_parameters(learned) == measure.total_parameters(drawn)
    again = keras.models.clone_model(drawn)
    assert measure.trainable_parameters(again) == measure.trainable_parameters(drawn), "saving keeps it"
    attention = [layer.get_config() for layer in drawn.layers if isinstance(layer, keras.layers.MultiHeadAttention)]
    assert [(config["num_heads"], config["key_dim"]) for config in attention] == [(4, 64)] * 2
    activations = [layer.activation.__name__ for layer in drawn.layers if isinstance(layer, keras.layers.Dense)]
    assert activations == ["relu", "linear"] * 2 + ["linear"]


@pytest.mark.long
@pytest.mark.parametrize(("name", "theirs"), [("densenet", "DenseNet121"), ("efficientnet", "EfficientNetB0")])
def test_a_large_network_is_that_of_keras_applications(name: str, theirs: str) -> None:
    """The same weights give the same features, and the layers have the same options."""
    entry = next(entry for entry in APPLICATIONS if entry.name == theirs)
    body, model = entry.build_body(weights=None, input_shape=IMAGE), network(name)
    pairs = list(zip(entry.order(body), entry.order(model), strict=False))  # the head comes last
    for before, after in ((source.get_config(), target.get_config()) for source, target in pairs):
        for option in ("momentum", "epsilon", "use_bias"):
            assert before.get(option) == after.get(option), before["name"]
        for option in ("kernel_initializer", "depthwise_initializer"):
            if option in before and option in after:
                assert before[option]["class_name"] == after[option]["class_name"], before["name"]
    seen = images(IMAGE, 4) ** 2
    randomize(body, seen, np.random.default_rng(0))
    for source, target in pairs:
        shapes = [weight.shape for weight in target.weights]
        target.set_weights([array.reshape(shape) for array, shape in zip(source.get_weights(), shapes, strict=True)])
    features = keras.layers.GlobalAveragePooling2D()(body.output)
    head = next(layer for layer in model.layers if layer.name == "logits")
    ours = np.asarray(keras.Model(model.input, head.input)(seen))
    np.testing.assert_allclose(ours, np.asarray(keras.Model(body.input, features)(seen)), rtol=1e-3, atol=1e-3)
    assert ours.std() > 0.1


@pytest.mark.parametrize("side", [17, 18])
def test_an_image_that_the_convolutions_use_up_is_refused(side: int) -> None:
    if side == 18:
        assert network("cnn", (18, 18, 3)).output_shape == (None, 7)
        return
    with pytest.raises(KnobError, match=r"'padding' is 'valid', and of an image of 17x17 pixels 2x2 are left before block 3"):
        network("cnn", (17, 17, 3))
