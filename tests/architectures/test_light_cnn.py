"""The light networks of separable convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from sweeper import catalog
from sweeper.errors import KnobError
from sweeper.study.space import Choice, Configuration, Int, Space
from sweeper.training.measuring import measure
from tests.architectures.kit import build, corners, images, layer_shapes, points, random_points

pytestmark = pytest.mark.usefixtures("framework")


def layers(model: keras.Model, kind: Any) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.fixture(scope="module")
def mini_xception(framework: object) -> keras.Model:
    return catalog.load("architecture", "light_cnn")((64, 64, 1), 7, variant="mini_xception")


def test_mini_xception_is_the_published_network(mini_xception: keras.Model) -> None:
    assert measure.total_parameters(mini_xception) == 58_423
    assert layer_shapes(mini_xception, keras.layers.MaxPooling2D) == [
        (None, 30, 30, 16), (None, 15, 15, 32), (None, 8, 8, 64), (None, 4, 4, 128),
    ]  # fmt: skip
    # Two unpadded convolutions, a shortcut around each block, and scores at each position.
    plain = [layer for layer in layers(mini_xception, keras.layers.Conv2D) if not isinstance(layer, keras.layers.SeparableConv2D)]
    assert [(layer.filters, layer.kernel_size, layer.padding) for layer in plain[:2]] == [(8, (3, 3), "valid")] * 2
    assert sorted(layer.filters for layer in plain if layer.kernel_size == (1, 1)) == [16, 32, 64, 128]
    assert plain[-1].output.shape == (None, 4, 4, 7)
    # The stem's two, and one in each block between its two separable convolutions; none behind a sum.
    assert len(layers(mini_xception, keras.layers.ReLU)) == 2 + 4


def test_mini_xception_costs_what_its_layers_cost(mini_xception: keras.Model) -> None:
    macs = 62 * 62 * 9 * 8 + 60 * 60 * 9 * 8 * 8
    side, channels = 60, 8
    for width in (16, 32, 64, 128):
        macs += side * side * (9 * channels + channels * width) + side * side * (9 * width + width * width)
        side = (side + 1) // 2
        macs += side * side * channels * width
        channels = width
    macs += 4 * 4 * 9 * 128 * 7
    assert measure.count_macs(mini_xception) == macs


def largest(space: Space) -> Configuration:
    """The point with most parameters: numbers at their top, texts and booleans found by trying."""
    knobs: Configuration = {
        "widths": "32-64-128-256",
        "attention": "se",
        "squeeze_ratio": 4,
        "head": "convolution",
        "residual": True,
    }
    for name, knob in space.model.items():
        if name not in knobs and isinstance(knob, (Choice, Int)) and not isinstance(corners(knob)[0], (str, bool)):
            knobs[name] = max(corners(knob))
    return space.default(knobs)


def around(space: Space, point: Configuration) -> Iterator[Configuration]:
    """Each corner of each knob, beside this point."""
    for name, knob in space.model.items():
        for value in corners(knob):
            yield {**point, name: value}


@pytest.mark.long
@pytest.mark.parametrize("kind", ["corners", "random", "largest"])
@pytest.mark.usefixtures("shapes_alone")
def test_everything_in_the_space_is_below_a_million_parameters(kind: str) -> None:
    space: Space = catalog.load("space", "light_cnn")
    function = catalog.load("architecture", "light_cnn")

    def parameters(configuration: Configuration) -> int:
        knobs = {key: value for key, value in configuration.items() if key in space.model}
        return measure.trainable_parameters(function((96, 96, 3), 100, **knobs))

    most = parameters(largest(space))
    assert most < 1_000_000
    tried = {
        "corners": points(space),
        "random": random_points(space, 60),
        "largest": around(space, largest(space)),
    }
    for configuration in tried[kind]:
        assert parameters(configuration) <= most, f"{configuration} has more than what is taken for the largest"


def test_a_residual_connection_takes_the_last_rectifier_of_each_block() -> None:
    with_shortcut, without = build("light_cnn"), build("light_cnn", residual=False)
    assert len(layers(with_shortcut, keras.layers.Add)) == 2
    assert layers(without, keras.layers.Add) == []
    assert len(layers(without, keras.layers.ReLU)) - len(layers(with_shortcut, keras.layers.ReLU)) == 2
    # The two 1x1 convolutions 8-8 and 8-16, each with scale and shift.
    assert measure.trainable_parameters(with_shortcut) - measure.trainable_parameters(without) == 64 + 16 + 128 + 32


def test_widths_are_scaled_to_the_nearest_whole_number() -> None:
    model = build("light_cnn", widths="10-25", stem_width=7, width_multiplier=0.5)
    assert layers(model, keras.layers.Conv2D)[0].filters == 4
    assert [layer.filters for layer in layers(model, keras.layers.SeparableConv2D)] == [5, 5, 12, 12]
    assert [layer.filters for layer in layers(build("light_cnn", widths="10"), keras.layers.SeparableConv2D)] == [10, 10]


def test_attention_gates_each_block() -> None:
    units = [layer.units for layer in layers(build("light_cnn", widths="16-64", attention="se"), keras.layers.Dense)]
    assert units[:-1] == [4, 16, 8, 64]


@pytest.mark.parametrize(("stem", "side"), [("small", 15), ("large", 8), ("unpadded", 11)])
def test_stems(stem: str, side: int) -> None:
    model = build("light_cnn", (15, 15, 1), stem=stem)
    assert layer_shapes(model, keras.layers.SeparableConv2D)[0][1:3] == (side, side)


def test_an_unpadded_stem_says_which_images_it_takes() -> None:
    function = catalog.load("architecture", "light_cnn")
    with pytest.raises(KnobError, match="an image of 48x4 pixels; allowed: images of 5x5 or larger"):
        function((48, 4, 1), 7, variant="mini_xception")
    model = function((5, 5, 1), 7, variant="mini_xception")
    assert np.isfinite(np.asarray(model(images((5, 5, 1), 2)))).all()
    assert function((1, 1, 1), 7, variant="mini_xception", stem="small").output_shape == (None, 7)
