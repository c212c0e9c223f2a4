"""The ConvNeXts."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from architectures._blocks import LayerScale
from sweeper import catalog
from sweeper.errors import KnobError
from sweeper.training.measuring import measure
from tests.architectures.kit import build, images, layer_shapes

pytestmark = pytest.mark.usefixtures("framework")


def layers(model: keras.Model, kind: Any) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.fixture(scope="module")
def published_tiny(framework: object) -> keras.Model:
    return catalog.load("architecture", "convnext")((224, 224, 3), 1000, variant="tiny")


@pytest.mark.usefixtures("shapes_alone")
def test_tiny_has_the_stages_of_the_paper(published_tiny: keras.Model) -> None:
    maps = [shape[1:] for shape in layer_shapes(published_tiny, keras.layers.DepthwiseConv2D)]
    assert maps == [(56, 56, 96)] * 3 + [(28, 28, 192)] * 3 + [(14, 14, 384)] * 9 + [(7, 7, 768)] * 3
    assert {layer.kernel_size for layer in layers(published_tiny, keras.layers.DepthwiseConv2D)} == {(7, 7)}
    hidden = [layer.units for layer in layers(published_tiny, keras.layers.Dense)]
    assert hidden[:-1:2] == [4 * channels for *_, channels in maps]
    # The stem's, one in each block, one before each of three halvings, and the last.
    assert len(layers(published_tiny, keras.layers.LayerNormalization)) == 1 + 18 + 3 + 1
    assert {layer.epsilon for layer in layers(published_tiny, keras.layers.LayerNormalization)} == {1e-6}


def test_tiny_begins_as_its_shortcuts(published_tiny: keras.Model) -> None:
    scales = layers(published_tiny, LayerScale)
    assert len(scales) == 18
    for layer in scales:
        np.testing.assert_array_equal(np.asarray(layer.gamma), np.float32(1e-6))


def test_tiny_drops_later_branches_more_often(published_tiny: keras.Model) -> None:
    rates = [layer.rate for layer in layers(published_tiny, keras.layers.Dropout)]
    assert rates == pytest.approx([0.1 * block / 17 for block in range(1, 18)])


def test_without_a_variant_there_is_no_layer_scale() -> None:
    plain, scaled = build("convnext"), build("convnext", layer_scale=0.5)
    assert layers(plain, LayerScale) == []
    added = measure.trainable_parameters(scaled) - measure.trainable_parameters(plain)
    assert added == 8 + 16 + 16, "one factor for each channel of each block"


def test_layer_scale_is_a_factor_for_each_channel() -> None:
    layer = LayerScale(0.25)
    values = images((3, 2, 5), 2)
    np.testing.assert_array_equal(np.asarray(layer(values)), values * np.float32(0.25))
    layer.gamma.assign([0.0, 1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(np.asarray(layer(values)), values * np.arange(5, dtype="float32"))
    assert LayerScale.from_config(layer.get_config()).initial == 0.25


def test_a_model_with_layer_scale_survives_json() -> None:
    model = build("convnext", layer_scale=1e-6, stochastic_depth_rate=0.2)
    text = model.to_json()
    copy = keras.models.model_from_json(text)
    assert copy.to_json() == text
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(np.asarray(copy(images((8, 8, 1)))), np.asarray(model(images((8, 8, 1)))))


@pytest.mark.parametrize(
    ("stem", "sides"), [("small", [(19, 9), (9, 4)]), ("patch2", [(9, 4), (4, 2)]), ("patch4", [(4, 2), (2, 1)])]
)
def test_patches_leave_out_what_fills_none(stem: str, sides: list[tuple[int, int]]) -> None:
    model = build("convnext", (19, 9, 1), depths="1-1", widths="8-8", stem=stem)
    assert [shape[1:3] for shape in layer_shapes(model, keras.layers.DepthwiseConv2D)] == sides


@pytest.mark.long
@pytest.mark.parametrize("stem", ["small", "patch2", "patch4"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 3), (3, 2, 1), (5, 1, 3)], ids=str)
def test_takes_images_of_any_size_with_the_same_parameters(shape: tuple[int, int, int], stem: str) -> None:
    knobs = {"depths": "1-1-1-1", "widths": "8-8-8-8", "stem": stem}
    model = build("convnext", shape, **knobs)
    assert np.isfinite(np.asarray(model(images(shape, 2)))).all()
    large = build("convnext", (64, 64, shape[2]), **knobs)
    assert [tuple(weight.shape) for weight in model.weights] == [tuple(weight.shape) for weight in large.weights]


def test_a_short_side_is_filled_up_with_zeros() -> None:
    """What a 3x3 image gives is what it gives inside a 4x4 image of zeros."""
    small = build("convnext", (3, 3, 1), depths="1", widths="8", stem="patch4")
    large = build("convnext", (4, 4, 1), depths="1", widths="8", stem="patch4")
    large.set_weights(small.get_weights())
    values = images((3, 3, 1), 4)
    padded = np.pad(values, ((0, 0), (0, 1), (0, 1), (0, 0)))
    np.testing.assert_allclose(np.asarray(small(values)), np.asarray(large(padded)), rtol=1e-5, atol=1e-6)


def test_depths_and_widths_must_be_of_as_many_stages() -> None:
    with pytest.raises(KnobError, match="'depths' is '1-1-1' and 'widths' is '8-16', 3 stages and 2"):
        build("convnext", widths="8-16")


@pytest.mark.parametrize("kernel_size", [1, 4, 13])
def test_windows_are_odd(kernel_size: int) -> None:
    with pytest.raises(KnobError, match=f"'kernel_size' is {kernel_size}; allowed: .* 3 to 11"):
        build("convnext", kernel_size=kernel_size)
