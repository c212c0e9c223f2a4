"""The residual networks."""

from __future__ import annotations

import keras
import pytest

from sweeper import catalog
from sweeper.errors import KnobError
from sweeper.training import measure
from tests.architectures.kit import (
    build,
    layer_shapes,
)

pytestmark = pytest.mark.usefixtures("framework")


def test_resnet_variant_gives_way_to_a_knob_beside_it() -> None:
    resnet = catalog.load("architecture", "resnet")
    plain = measure.trainable_parameters(resnet((32, 32, 3), 10, variant="18"))
    same = measure.trainable_parameters(resnet((32, 32, 3), 10, variant="18", width=64, block="basic"))
    narrow = measure.trainable_parameters(resnet((32, 32, 3), 10, variant="18", width=16))
    assert plain == same
    assert narrow == measure.trainable_parameters(resnet((32, 32, 3), 10, blocks_per_stage="2-2-2-2", width=16, stem="large"))


def test_resnet_halves_once_per_stage_and_stays_at_one_pixel() -> None:
    model = build("resnet", (6, 8, 1), blocks_per_stage="1-1-1-1-1", width=2)
    assert [shape[1:] for shape in layer_shapes(model, keras.layers.Add)] == [
        (6, 8, 2), (3, 4, 4), (2, 2, 8), (1, 1, 16), (1, 1, 32)
    ]  # fmt: skip


@pytest.mark.parametrize(("stride_on", "kernel_size"), [("conv3x3", (3, 3)), ("conv1x1", (1, 1))])
def test_resnet_bottleneck_strides_where_it_is_told(stride_on: str, kernel_size: tuple[int, int]) -> None:
    model = build("resnet", (16, 16, 3), block="bottleneck", blocks_per_stage="1-2-1", stride_on=stride_on)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert not any(layer.use_bias for layer in convolutions)
    # Shortcuts give four times the channels of the other convolutions with a stride.
    striding = [layer for layer in convolutions if layer.strides == (2, 2)]
    assert sorted(layer.filters for layer in striding) == [16, 32, 64, 128]
    assert {layer.kernel_size for layer in striding if layer.filters in (64, 128)} == {(1, 1)}
    assert {layer.kernel_size for layer in striding if layer.filters in (16, 32)} == {kernel_size}


@pytest.mark.parametrize("text", ["2-0", "2-", "-2", "2,2", "2 2", "two", "02"])
def test_resnet_refuses_stages_it_cannot_read(text: str) -> None:
    with pytest.raises(KnobError, match="blocks_per_stage"):
        build("resnet", blocks_per_stage=text)


def test_squeeze_excitation_keeps_at_least_four_units() -> None:
    model = build("resnet", width=32, attention="se", squeeze_ratio=1000)
    units = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert units == [4, 32, 4, 64, 10]
