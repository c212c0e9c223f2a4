"""AlexNet."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from sweeper import catalog
from sweeper.errors import KnobError
from tests.architectures.kit import build, images, layer_shapes, weighted

pytestmark = pytest.mark.usefixtures("framework")

NARROW = {"variant": "one_tower", "width_multiplier": 0.1, "dense_units": "8"}


def test_alexnet_is_the_published_one_layer_by_layer() -> None:
    model = catalog.load("architecture", "alexnet")((224, 224, 3), 1000, variant="one_tower")
    assert weighted(model) == [
        ((55, 55, 64), 23_296, 70_276_800),
        ((27, 27, 192), 307_392, 223_948_800),
        ((13, 13, 384), 663_936, 112_140_288),
        ((13, 13, 256), 884_992, 149_520_384),
        ((13, 13, 256), 590_080, 99_680_256),
        ((4096,), 37_752_832, 37_748_736),
        ((4096,), 16_781_312, 16_777_216),
        ((1000,), 4_097_000, 4_096_000),
    ]
    assert [shape[1:] for shape in layer_shapes(model, keras.layers.MaxPooling2D)] == [(27, 27, 64), (13, 13, 192), (6, 6, 256)]
    assert not layer_shapes(model, keras.layers.AveragePooling2D)
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.5, 0.5]


@pytest.mark.parametrize(("side", "positions"), [(7, 1), (32, 1), (63, 1), (224, 6), (227, 6), (256, 7), (416, 6), (352, 10)])
def test_alexnet_keeps_maps_small_for_its_dense_layers(side: int, positions: int) -> None:
    model = build("alexnet", (side, side, 1), **NARROW)
    ((_, *flat),) = layer_shapes(model, keras.layers.Flatten)
    assert flat == [positions**2 * 24]
    assert np.isfinite(np.asarray(model(images((side, side, 1), 2)))).all()


def test_alexnet_says_how_large_images_must_be_for_its_large_stem() -> None:
    with pytest.raises(KnobError, match="'stem' is 'large' on an image of 6x99; allowed: 'large' from 7x7, 'small'"):
        build("alexnet", (6, 99, 1), **NARROW)
    for shape in ((1, 1, 1), (6, 99, 1), (2, 3, 1)):
        assert build("alexnet", shape, **NARROW, stem="small").output_shape == (None, 10)


def test_alexnet_has_biases_only_without_normalisation() -> None:
    for batch_norm in (True, False):
        model = build("alexnet", batch_norm=batch_norm, dense_units="16-8")
        layers = [layer for layer in model.layers if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense))]
        assert [layer.use_bias for layer in layers] == [not batch_norm] * 7 + [True]
        assert len(layer_shapes(model, keras.layers.BatchNormalization)) == 7 * batch_norm
