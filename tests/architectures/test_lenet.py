"""LeNet."""

from __future__ import annotations

import math

import keras
import pytest

from sweeper import catalog
from sweeper.errors import KnobError
from tests.architectures.kit import build, layer_shapes, weighted

pytestmark = pytest.mark.usefixtures("framework")


def test_lenet_5_is_that_of_the_figure() -> None:
    model = catalog.load("architecture", "lenet")((32, 32, 1), 10, variant="5")
    assert [(shape, parameters) for shape, parameters, _ in weighted(model)] == [
        ((28, 28, 6), 156),
        # The paper has 1,516: most of its maps look at three or four of the six before them.
        ((10, 10, 16), 2_416),
        ((120,), 48_120),
        ((84,), 10_164),
        # 84 fixed numbers for each class in the paper; here they are learned, with a bias.
        ((10,), 850),
    ]
    assert [shape[1:] for shape in layer_shapes(model, keras.layers.AveragePooling2D)] == [(14, 14, 6), (5, 5, 16)]
    # The paper counts connections of C1 and C5 with those of the biases.
    connections = {shape: macs + math.prod(shape) for shape, _, macs in weighted(model)}
    assert (connections[28, 28, 6], connections[(120,)]) == (122_304, 48_120)


@pytest.mark.parametrize(("widths", "smallest"), [("6", 5), ("6-16", 14), ("4-4-4", 32)])
def test_lenet_without_padding_says_how_large_images_must_be(widths: str, smallest: int) -> None:
    assert build("lenet", (smallest, smallest + 3, 1), widths=widths, padding="valid").output_shape == (None, 10)
    with pytest.raises(KnobError, match=rf"'padding' is 'valid' .* allowed: 'valid' from {smallest}x{smallest}, 'same'"):
        build("lenet", (smallest + 3, smallest - 1, 1), widths=widths, padding="valid")


def test_lenet_takes_images_of_any_size_with_padding() -> None:
    for shape in ((1, 1, 1), (1, 9, 2), (3, 2, 1)):
        assert build("lenet", shape, widths="4-4-4").output_shape == (None, 10)
    with pytest.raises(KnobError, match="on an image of 1x1"):
        catalog.load("architecture", "lenet")((1, 1, 1), 10, variant="5")


def test_lenet_variant_gives_way_to_a_knob_beside_it() -> None:
    lenet = catalog.load("architecture", "lenet")
    same = lenet((8, 8, 1), 10, variant="5", padding="same", activation="relu", pooling="max")
    assert len(layer_shapes(same, keras.layers.MaxPooling2D)) == 2
    names = [layer.activation.__name__ for layer in same.layers if isinstance(layer, keras.layers.Activation)]
    assert names == ["relu"] * 4
