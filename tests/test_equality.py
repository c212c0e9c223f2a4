"""Our networks against those of Keras Applications: the same weights must give the same scores.

Equal counts of parameters leave much open: the order of layers, paddings, strides, the place of a shortcut. Here the weights of
the other implementation are copied layer by layer into ours and the logits compared, with biases, scales and all four arrays of
batch normalisation random, so that nothing is hidden by a one or a zero.
"""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest

from sweeper import catalog
from sweeper.training.built import shapes_alone
from sweeper.training.weights.applications import APPLICATIONS, Application, in_order

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("framework", "double_precision", "released")]

Array = np.ndarray[Any, Any]

SHAPES = {"even": (32, 32, 3), "odd": (39, 34, 3)}
"""With an odd side, paddings differ that are alike with even ones."""

VGG_SHAPES = {"even": (64, 64, 3), "odd": (75, 50, 3)}
"""Without normalisation, networks with random weights hardly tell smaller images apart."""

SMALL = ("efficientnet-b0", "densenet-121", "resnet-50", "mobilenet_v2-0.35", "convnext-tiny", "vgg-16")
"""The smallest of each family: even sides are for these alone."""

LARGE = ("efficientnet-b3", "densenet-169", "resnet-101", "mobilenet_v2-1.4", "vgg-19")
"""All others differ from these in numbers of layers and channels, which `tests.architectures.test_published` compares."""


def label(application: Application) -> str:
    return f"{application.architecture}-{application.arguments['variant']}"


CASES = [
    pytest.param(application, parity, id=f"{label(application)}-{parity}")
    for application in APPLICATIONS
    for parity in SHAPES
    if label(application) in SMALL or (parity == "odd" and label(application) in LARGE)
]


def randomize(model: keras.Model, images: Array, generator: np.random.Generator) -> None:
    """Other values for all that starts as ones, zeros or nearly so: biases, scales and batch normalisation.

    The statistics become those of `images`. With any others a deep network gives all images the same scores, or so large ones
    that rounding shows. Without normalisation kernels are enlarged instead: by what a rectifier takes away, which those of Keras
    Applications leave out, so that biases do not outweigh the images in the end.
    """
    kinds = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)
    is_normalised = any(isinstance(layer, kinds) for layer in model.layers)
    for layer in in_order(model):
        for weight in layer.trainable_weights:
            if len(weight.shape) == 1:
                # What starts as zeros is added; the rest scales, and a layer scale of 1e-6 would hide the branch in front of it.
                low, high = (0.7, 1.3) if np.any(np.asarray(weight)) else (-0.2, 0.2)
                weight.assign(generator.uniform(low, high, weight.shape).astype("float32"))
            elif not is_normalised:
                weight.assign(weight * 2**0.5)
    normalisations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in normalisations:
        layer.momentum = 0.0
    if normalisations:
        model(images, training=True)
    # Deep random networks may give logits in the thousands, whose single precision is coarser than what is tested.
    spread = float(np.asarray(model(images)).std())
    model.layers[-1].set_weights([weight / spread for weight in model.layers[-1].get_weights()])


@pytest.mark.parametrize(("application", "parity"), CASES)
def test_equal_weights_give_equal_logits(application: Application, parity: str) -> None:
    # In double precision, convolutions with a group for each channel take thirty times as long as depthwise ones.
    num_images = 2 if application.architecture == "convnext" else 8
    shape = (VGG_SHAPES if application.architecture == "vgg" else SHAPES)[parity]
    generator = np.random.default_rng(0)
    random.seed(0)  # Keras draws the seeds of initialisers from it
    theirs = application.build(shape, 10)
    # Images are cast to single precision, and so is their scale of pixels: powers of two keep both exact.
    images = np.round(generator.normal(size=(num_images, *shape)) * 256) / 256
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.Rescaling):
            layer.scale = 1 / 256
    pixels = images * 256 if application.takes_pixels else images
    randomize(theirs, pixels, generator)
    with shapes_alone():  # random values would take a sixth of the time, and are overwritten
        ours = catalog.load("architecture", application.architecture)(shape, 10, **application.arguments)
    for weight in ours.weights:
        weight._initialize(np.zeros(weight.shape, weight.dtype))
    application.copy(theirs, ours)
    expected, logits = np.asarray(theirs(pixels)), np.asarray(ours(images))
    assert expected.std(axis=0).mean() > 0.03, "the images are hardly told apart, so equal logits prove little"
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
