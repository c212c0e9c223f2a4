"""The EfficientNets."""

from __future__ import annotations

import keras
import pytest

from sweeper import catalog
from tests.architectures.kit import (
    build,
    layer_shapes,
)

pytestmark = pytest.mark.usefixtures("framework")


@pytest.mark.parametrize(
    ("coefficient", "channels"),
    [(1.0, [16, 24, 40, 80, 112, 192, 320]), (0.35, [8, 8, 16, 32, 40, 64, 112]), (0.1, [8, 8, 8, 8, 16, 24, 32])],
)
def test_efficientnet_scales_channels_in_steps_of_eight(coefficient: float, channels: list[int]) -> None:
    model = build("efficientnet", width_coefficient=coefficient, attention="none")
    narrow = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1)]
    # The first block widens nothing; each other block has a wide and a narrow convolution, and the head has one.
    assert [narrow[0], *narrow[2:-1:2]] == channels


def test_efficientnet_squeezes_by_the_channels_that_come_in() -> None:
    model = build("efficientnet", width_coefficient=1.0, squeeze_ratio=4)
    units = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert units[:-1:2] == [32 // 4, 16 // 4, 24 // 4, 40 // 4, 80 // 4, 112 // 4, 192 // 4]
    assert units[1:-1:2] == [32, *(6 * channels for channels in (16, 24, 40, 80, 112, 192))]


def test_efficientnet_rounds_blocks_up_and_drops_later_branches_more_often() -> None:
    model = build("efficientnet", depth_coefficient=1.1, stochastic_depth_rate=0.23)
    num_blocks = len(layer_shapes(model, keras.layers.DepthwiseConv2D))
    assert num_blocks == 2 + 3 + 3 + 4 + 4 + 5 + 2
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout) and layer.noise_shape]
    # The first block of a stage changes the shape, so it has no shortcut, and the first of all is never dropped.
    assert rates == pytest.approx([0.01 * block for block in range(num_blocks) if block not in (0, 2, 5, 8, 12, 16, 21)])


@pytest.mark.parametrize("variant", ["custom", "b0"])
def test_efficientnet_normalises_as_published_in_its_variants(variant: str) -> None:
    model = build("efficientnet", variant=variant)
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(layer.momentum, layer.epsilon) for layer in layers} == {(0.9 if variant == "custom" else 0.99, 1e-3)}


@pytest.mark.long
@pytest.mark.usefixtures("shapes_alone")
def test_efficientnet_phi_scales_width_and_depth_together() -> None:
    def sizes(**knobs: float) -> tuple[list[int], int]:
        model = build("efficientnet", attention="none", **knobs)
        filters = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
        return filters, len(layer_shapes(model, keras.layers.DepthwiseConv2D))

    coefficients = {"width_coefficient": 0.3, "depth_coefficient": 0.3}
    assert sizes(**coefficients, phi=0.0) == sizes(**coefficients)
    grown = sizes(**coefficients, phi=2.5)
    assert grown == sizes(width_coefficient=0.3 * 1.1**2.5, depth_coefficient=0.3 * 1.2**2.5)
    assert grown != sizes(**coefficients)


@pytest.mark.long
@pytest.mark.usefixtures("shapes_alone")
def test_efficientnet_phi_stands_on_top_of_a_variant() -> None:
    # B0 and one unit of phi: 1.1 times as wide and 1.2 times as deep, which are B2's coefficients.
    def weights(variant: str, **knobs: float) -> list[tuple[int, ...]]:
        model = catalog.load("architecture", "efficientnet")((32, 32, 3), 10, variant=variant, **knobs)
        return [tuple(weight.shape) for weight in model.weights]

    assert weights("b0", phi=1.0) == weights("b2")
