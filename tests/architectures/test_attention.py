"""The attention modules, each against its formula computed with numpy from random weights."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest

from architectures._blocks import ATTENTION_KINDS, apply_attention
from architectures._blocks.attention import neighbourhood
from sweeper.training.measuring import measure
from tests.architectures.kit import images

pytestmark = pytest.mark.usefixtures("framework")

Array = np.ndarray[Any, Any]

SHAPE = (9, 11, 16)
"""Larger than the reach of a dilated kernel, and not square."""

GATES = tuple(kind for kind in ATTENTION_KINDS if kind != "none")


def module(kind: str, shape: tuple[int, int, int] = SHAPE, **options: Any) -> tuple[keras.Model, list[Array]]:
    """A model of one module, and its weights (those that train first), which are random, biases and scales too."""
    x = keras.Input(shape)
    model = keras.Model(x, apply_attention(x, kind, **options))
    generator = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(generator.normal(0.0, 0.5, weight.shape))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            mean, variance = layer.non_trainable_weights
            mean.assign(generator.normal(0.0, 0.5, mean.shape))
            variance.assign(generator.uniform(0.5, 2.0, variance.shape))
    return model, [np.asarray(weight, "float64") for weight in model.trainable_weights]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


def convolve(x: Array, kernel: Array, dilation: int = 1) -> Array:
    """The convolution of maps (images, height, width, channels) that keeps their size."""
    reach = dilation * (kernel.shape[0] // 2)
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    height, width = x.shape[1:3]
    out = np.zeros((*x.shape[:3], kernel.shape[3]))
    for row, column in itertools.product(range(kernel.shape[0]), range(kernel.shape[1])):
        top, left = row * dilation, column * dilation
        out += padded[:, top : top + height, left : left + width] @ kernel[row, column]
    return out


def check(model: keras.Model, x: Array, expected: Array) -> None:
    given = np.asarray(model(x))
    assert np.abs(given - x).mean() > 0.1, "the module changes hardly anything, so this shows nothing"
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)


def test_squeeze_excitation_is_a_perceptron_over_averages() -> None:
    model, (first, first_bias, second, second_bias) = module("se", ratio=4)
    x = images(SHAPE, 3)
    gate = sigmoid(relu(x.mean(axis=(1, 2)) @ first + first_bias) @ second + second_bias)
    check(model, x, x * gate[:, None, None])


@pytest.mark.parametrize("channels", [1, 2, 16, 64])
def test_efficient_attention_slides_one_kernel_over_averages(channels: int) -> None:
    model, (kernel,) = module("eca", (5, 4, channels))
    weights = kernel.ravel()
    reach = weights.size // 2
    x = images((5, 4, channels), 3)
    padded = np.pad(x.mean(axis=(1, 2)), ((0, 0), (reach, reach)))
    scores = np.stack([padded[:, place : place + weights.size] @ weights for place in range(channels)], axis=1)
    check(model, x, x * sigmoid(scores)[:, None, None])


@pytest.mark.parametrize(("channels", "size"), [(1, 1), (2, 1), (8, 3), (16, 3), (64, 3), (128, 5), (512, 5), (2048, 7)])
def test_efficient_attention_looks_further_with_more_channels(channels: int, size: int) -> None:
    assert neighbourhood(channels) == size
    model, _ = module("eca", (2, 2, channels))
    assert measure.trainable_parameters(model) == size


def test_cbam_weighs_channels_and_then_positions_by_averages_and_maxima() -> None:
    model, (first, first_bias, second, second_bias, kernel) = module("cbam", ratio=4)
    x = images(SHAPE, 3)
    scores = sum(relu(pooled @ first + first_bias) @ second + second_bias for pooled in (x.mean(axis=(1, 2)), x.max(axis=(1, 2))))
    weighted = x * sigmoid(scores)[:, None, None]
    pooled = np.stack([weighted.mean(axis=3), weighted.max(axis=3)], axis=3)
    assert kernel.shape == (7, 7, 2, 1)
    check(model, x, weighted * sigmoid(convolve(pooled, kernel)))


@pytest.mark.parametrize("batch_norm", [True, False])
def test_bam_adds_a_score_of_the_channel_and_one_of_the_position(batch_norm: bool) -> None:
    model, _ = module("bam", ratio=4, batch_norm=batch_norm)
    x = images(SHAPE, 3)

    def weights(kind: Any) -> list[list[Array]]:
        return [[np.asarray(weight, "float64") for weight in layer.weights] for layer in model.layers if isinstance(layer, kind)]

    dense = sorted(weights(keras.layers.Dense), key=lambda layer: layer[0].shape != (16, 4))
    convolutions = weights(keras.layers.Conv2D)
    assert [layer[0].shape for layer in convolutions] == [(1, 1, 16, 4), (3, 3, 4, 4), (3, 3, 4, 4), (1, 1, 4, 1)]
    channels = relu(x.mean(axis=(1, 2)) @ dense[0][0] + dense[0][1]) @ dense[1][0]
    positions = x
    for (kernel, bias), dilation in zip(convolutions[:3], (1, 4, 4), strict=True):
        positions = relu(convolve(positions, kernel, dilation) + bias)
    positions = convolve(positions, convolutions[3][0])
    if batch_norm:
        scales = {layer[0].size: layer for layer in weights(keras.layers.BatchNormalization)}

        def normalize(scores: Array) -> Array:
            gamma, beta, mean, variance = scales[scores.shape[-1]]
            return gamma * (scores - mean) / np.sqrt(variance + 1e-5) + beta

        channels, positions = normalize(channels), normalize(positions)
    else:
        channels, positions = channels + dense[1][1], positions + convolutions[3][1]
    check(model, x, x + x * sigmoid(channels[:, None, None] + positions))


@pytest.mark.parametrize(("channels", "ratio"), [(16, 16), (64, 8)])
def test_parameters_are_those_of_the_formulas(channels: int, ratio: int) -> None:
    units = max(4, channels // ratio)
    perceptron = 2 * channels * units + units + channels
    # Batch normalisation has two numbers in place of each last bias.
    positions = (channels * units + units) + 2 * (9 * units * units + units) + units + 2
    expected = {"se": perceptron, "cbam": perceptron + 7 * 7 * 2, "bam": perceptron + channels + positions}
    for kind, number in expected.items():
        model, _ = module(kind, (4, 4, channels), ratio=ratio)
        assert measure.trainable_parameters(model) == number, kind


@pytest.mark.parametrize("kind", GATES)
def test_a_gate_lies_between_nothing_and_everything(kind: str) -> None:
    model, _ = module(kind, ratio=4)
    x = np.abs(images(SHAPE, 4)) + 0.1
    gates = np.asarray(model(x)) / x - (1.0 if kind == "bam" else 0.0)
    assert 0.0 <= gates.min() < gates.max() <= 1.001
    assert gates.std() > 0.01
    over_positions = gates.std(axis=(1, 2)).max()
    assert over_positions < 1e-5 if kind in ("se", "eca") else over_positions > 0.01


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5)], ids=str)
def test_modules_take_maps_of_any_size_and_keep_it(kind: str, shape: tuple[int, int, int]) -> None:
    model, _ = module(kind, shape)
    assert model.output_shape == (None, *shape)
    assert np.isfinite(np.asarray(model(images(shape)))).all()


def test_no_attention_is_no_layer() -> None:
    x = keras.Input(SHAPE)
    assert apply_attention(x, "none") is x
