"""The VGG networks."""

from __future__ import annotations

import keras
import pytest

from sweeper import catalog
from tests.architectures.kit import build, layer_shapes, weighted

pytestmark = pytest.mark.usefixtures("framework")

COLUMNS = {
    "11": ([1, 1, 2, 2, 2], 133),
    "13": ([2, 2, 2, 2, 2], 133),
    "16": ([2, 2, 3, 3, 3], 138),
    "19": ([2, 2, 4, 4, 4], 144),
}
"""Columns A, B, D and E of table 1 as convolutions of each stage, and of table 2: millions of parameters."""


@pytest.mark.long
@pytest.mark.parametrize("variant", COLUMNS)
@pytest.mark.usefixtures("shapes_alone")
def test_vgg_is_that_of_the_tables(variant: str) -> None:
    *convolutions, first, second, last = weighted(catalog.load("architecture", "vgg")((224, 224, 3), 1000, variant=variant))
    repeats, millions = COLUMNS[variant]
    stages = zip(repeats, (224, 112, 56, 28, 14), (64, 128, 256, 512, 512), strict=True)
    assert [shape for shape, _, _ in convolutions] == [
        (side, side, filters) for number, side, filters in stages for _ in range(number)
    ]
    assert len(convolutions) + 3 == int(variant)
    assert [macs for _, _, macs in (first, second, last)] == [7 * 7 * 512 * 4096, 4096 * 4096, 4096 * 1000]
    assert round(sum(number for _, number, _ in (*convolutions, first, second, last)) / 1e6) == millions


def test_vgg_doubles_its_filters_up_to_eight_times() -> None:
    model = build("vgg", (8, 8, 1), convolutions_per_stage="1-2-1-1-1-1", width=3)
    assert [shape[-1] for shape in layer_shapes(model, keras.layers.Conv2D)] == [3, 6, 6, 12, 24, 24, 24]


def test_vgg_stops_pooling_at_one_pixel() -> None:
    model = build("vgg", (5, 9, 1), convolutions_per_stage="1-1-1-1-1")
    assert [shape[1:3] for shape in layer_shapes(model, keras.layers.MaxPooling2D)] == [(2, 4), (1, 2), (1, 1)]
    for shape in ((1, 1, 1), (1, 7, 1)):
        model = catalog.load("architecture", "vgg")(shape, 10, variant="19", width=1, dense_units="4")
        assert layer_shapes(model, keras.layers.Flatten) == [(None, 8)]


@pytest.mark.parametrize(
    ("batch_norm", "keep_biases", "has_biases"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_vgg_has_biases_where_they_act_or_are_asked_for(batch_norm: bool, keep_biases: bool, has_biases: bool) -> None:
    model = build("vgg", batch_norm=batch_norm, keep_biases=keep_biases)
    assert {layer.use_bias for layer in model.layers if isinstance(layer, keras.layers.Conv2D)} == {has_biases}
    assert len(layer_shapes(model, keras.layers.BatchNormalization)) == 2 * batch_norm


def test_vgg_heads() -> None:
    dense = build("vgg", (8, 8, 1), head="dense", dense_units="12-6", dropout=0.3)
    assert [shape[1:] for shape in layer_shapes(dense, keras.layers.Dense)] == [(12,), (6,), (10,)]
    assert [layer.rate for layer in dense.layers if isinstance(layer, keras.layers.Dropout)] == [0.3, 0.3]
    average = build("vgg", (8, 8, 1), head="average", dropout=0.3)
    assert layer_shapes(average, keras.layers.GlobalAveragePooling2D) == [(None, 16)]
    assert [layer.rate for layer in average.layers if isinstance(layer, keras.layers.Dropout)] == [0.3]
