"""Three networks against those of Keras Applications: the same weights must give the same scores.

Equal counts of parameters leave much open: the order of layers, paddings, strides, the place of a shortcut. Here the weights of
the other implementation are copied layer by layer into ours and the logits compared, with biases and all four arrays of batch
normalisation random, so that nothing is hidden by a one or a zero. What the two write differently is carried over by algebra:
biases in front of a normalisation, and its epsilon.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

from sweeper import catalog

pytestmark = pytest.mark.usefixtures("framework", "double_precision")

Array = np.ndarray[Any, Any]

EVEN, ODD = (64, 64, 3), (75, 50, 3)
"""With an odd side, paddings differ that are alike with even ones."""


@pytest.fixture
def double_precision() -> Iterator[None]:
    """Rounding, which fifty layers of random weights enlarge a thousandfold, is kept far below what is tested."""
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(previous)


def with_weights(model: keras.Model) -> list[keras.layers.Layer]:
    """Layers to copy, in the order data go through them.

    Keras Applications gives pixels to EfficientNet, whose first layers scale them; their weights are statistics, not parameters.
    """
    return [layer for layer in model.layers if layer.weights and not isinstance(layer, keras.layers.Normalization)]


def by_name(layer: keras.layers.Layer) -> list[tuple[int, str]]:
    """Sorts names by the numbers in them, which follow the order in which layers were made."""
    return [(int(digits or 0), text) for text, digits in re.findall(r"(\D+)(\d*)", layer.name)]


def randomize(model: keras.Model, images: Array, generator: np.random.Generator) -> None:
    """Other values for all that starts as ones or zeros: biases and batch normalisation.

    The statistics become those of `images`. With any others a deep network gives all images the same scores, or so large ones
    that rounding shows.
    """
    for layer in with_weights(model):
        for weight in layer.trainable_weights:
            if len(weight.shape) == 1:
                low, high = (0.7, 1.3) if weight.name == "gamma" else (-0.2, 0.2)
                weight.assign(generator.uniform(low, high, weight.shape).astype("float32"))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)


def kernels_and_biases(layer: keras.layers.Layer) -> tuple[Array, Array | None]:
    arrays = layer.get_weights()
    return arrays[0], arrays[1] if len(arrays) == 2 else None


def copy(theirs: list[keras.layers.Layer], ours: list[keras.layers.Layer]) -> None:
    """Copy the weights of one list of layers to another, each to the one at its place.

    Our convolutions have no biases. A bias b in front of a normalisation with moving mean m acts as a moving mean of m - b. The
    moving variance takes up the difference of the epsilons.
    """
    assert len(theirs) == len(ours)
    bias: Array | None = None
    for source, target in zip(theirs, ours, strict=True):
        if isinstance(source, keras.layers.BatchNormalization):
            assert isinstance(target, keras.layers.BatchNormalization)
            gamma, beta, mean, variance = source.get_weights()
            mean = mean if bias is None else mean - bias
            target.set_weights([gamma, beta, mean, variance + (source.epsilon - target.epsilon)])
            bias = None
            continue
        assert bias is None, "a bias that no normalisation follows"
        kernel, bias = kernels_and_biases(source)
        if isinstance(target, keras.layers.Dense):
            # Gates are 1x1 convolutions there and dense layers here.
            target.set_weights([kernel.reshape(target.kernel.shape), bias])
            bias = None
        else:
            assert type(target) is type(source)
            assert (target.kernel_size, target.strides) == (source.kernel_size, source.strides)
            target.set_weights([kernel])


def in_order(model: keras.Model) -> list[keras.layers.Layer]:
    return with_weights(model)


def in_order_made(model: keras.Model) -> list[keras.layers.Layer]:
    """Convolutions each with the normalisation behind it, then the head: for networks whose shortcuts have weights too.

    Where two paths run beside each other, a model lists its layers by depth, in which the implementations differ.
    """
    layers = sorted(with_weights(model), key=by_name)
    kinds = (keras.layers.Conv2D, keras.layers.BatchNormalization, keras.layers.Dense)
    convolutions, normalisations, head = ([layer for layer in layers if isinstance(layer, kind)] for kind in kinds)
    return [*(layer for pair in zip(convolutions, normalisations, strict=True) for layer in pair), *head]


@pytest.mark.slow
@pytest.mark.parametrize("shape", [EVEN, ODD], ids=["even", "odd"])
@pytest.mark.parametrize(
    ("name", "knobs", "application", "order"),
    [
        ("resnet", {"variant": "50", "stride_on": "conv1x1"}, keras.applications.ResNet50, in_order_made),
        ("densenet", {"variant": "121"}, keras.applications.DenseNet121, in_order),
        ("efficientnet", {"variant": "b0"}, keras.applications.EfficientNetB0, in_order),
    ],
    ids=["resnet-50", "densenet-121", "efficientnet-b0"],
)
def test_equal_weights_give_equal_logits(
    name: str,
    knobs: dict[str, Any],
    application: Callable[..., keras.Model],
    order: Callable[[keras.Model], list[keras.layers.Layer]],
    shape: tuple[int, int, int],
) -> None:
    generator = np.random.default_rng(0)
    images = generator.normal(size=(16, *shape)).astype("float32")
    # Their EfficientNet takes pixels, and divides them by 255 itself.
    pixels = images * 255.0 if name == "efficientnet" else images
    theirs = application(weights=None, input_shape=shape, classes=10, classifier_activation=None)
    randomize(theirs, pixels, generator)
    ours = catalog.load("architecture", name)(shape, 10, **knobs)
    copy(order(theirs), order(ours))
    expected, logits = np.asarray(theirs(pixels)), np.asarray(ours(images))
    assert expected.std(axis=0).min() > 0.1, "the images are hardly told apart, so equal logits prove little"
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
