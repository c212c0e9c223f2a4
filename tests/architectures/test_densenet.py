"""The densely connected networks."""

from __future__ import annotations

import keras
import pytest

from sweeper.errors import KnobError
from tests.architectures.kit import (
    build,
    layer_shapes,
)

pytestmark = pytest.mark.usefixtures("framework")


def test_densenet_layers_add_and_transitions_compress() -> None:
    model = build("densenet", (9, 6, 1), blocks_per_stage="2-1-1-1", growth_rate=4, stem_width=10, compression=0.5)
    assert [shape[1:] for shape in layer_shapes(model, keras.layers.Concatenate)] == [
        (9, 6, 14), (9, 6, 18), (4, 3, 13), (2, 1, 10), (1, 1, 9)
    ]  # fmt: skip


def test_densenet_bottleneck_is_four_times_the_growth_rate() -> None:
    with_bottleneck = build("densenet", blocks_per_stage="1", growth_rate=4, stem_width=10, bottleneck=True)
    without = build("densenet", blocks_per_stage="1", growth_rate=4, stem_width=10, bottleneck=False)
    filters = [
        [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
        for model in (with_bottleneck, without)
    ]
    assert filters == [[10, 16, 4], [10, 4]]


def test_densenet_drops_after_every_convolution_but_the_first() -> None:
    model = build("densenet", blocks_per_stage="2-1", dropout=0.2)
    convolutions = len(layer_shapes(model, keras.layers.Conv2D))
    assert len(layer_shapes(model, keras.layers.Dropout)) == convolutions - 1 == 7


def test_densenet_compression_ends_at_one() -> None:
    assert build("densenet", compression=1).output_shape == (None, 10)
    with pytest.raises(KnobError, match=r"'compression' is 1.01; allowed: a number, from 0.1 to 1\."):
        build("densenet", compression=1.01)
