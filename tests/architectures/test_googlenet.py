"""GoogLeNet; that its auxiliary heads train it and are counted nowhere is in `tests/test_auxiliary.py`."""

from __future__ import annotations

import dataclasses
import math

import keras
import pytest

from sweeper import catalog
from sweeper.errors import KnobError
from sweeper.training.measuring import measure
from tests.architectures.kit import build, layer_shapes

pytestmark = pytest.mark.usefixtures("framework")


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of table 1: the shape it gives, thousands of weights (of 1,024) and millions of operations; what it should be.

    Biases count in neither. `weights` and `operations` are what the layers of the row come to where the paper has other
    figures; zero where they agree to within one.
    """

    shape: tuple[int, ...]
    stated_weights: float
    stated_operations: int
    weights: int = 0
    operations: int = 0


TABLE = {
    # 2.7 K and 34 M are those of a separable convolution, eight maps of each colour and then 64 of these 24, as the later
    # networks of the same authors begin with; the row and the figure show a plain one, which all implementations have.
    "convolution 1": Row((112, 112, 64), 2.7, 34, 9, 118),
    "convolution 2": Row((56, 56, 192), 112, 360),
    "inception 3a": Row((28, 28, 256), 159, 128),
    "inception 3b": Row((28, 28, 480), 380, 304),
    # From here on most weights do not follow from the row's filters, though operations do, to within a million; no source says
    # why.
    "inception 4a": Row((14, 14, 512), 364, 73, 367, 74),
    "inception 4b": Row((14, 14, 512), 437, 88),
    "inception 4c": Row((14, 14, 512), 463, 100, 498),
    "inception 4d": Row((14, 14, 528), 580, 119, 590),
    "inception 4e": Row((14, 14, 832), 840, 170, 847),
    # Here both figures belong to the same other block: 1072 K weights at 49 positions are 54 M operations.
    "inception 5a": Row((7, 7, 832), 1072, 54, 1018, 51),
    "inception 5b": Row((7, 7, 1024), 1388, 71, 1409),
    "linear": Row((1000,), 1000, 1),
}


def test_googlenet_is_that_of_the_table() -> None:
    model = catalog.load("architecture", "googlenet")((224, 224, 3), 1000, variant="v1")
    rows: list[tuple[tuple[int, ...], float, float]] = []
    weights = operations = 0
    for call in measure.calls(model):
        layer = call.operation
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            weights += math.prod(layer.kernel.shape)
            operations += call.macs
        is_end = isinstance(layer, (keras.layers.Concatenate, keras.layers.Dense)) or call.shape in (
            TABLE["convolution 1"].shape,
            TABLE["convolution 2"].shape,
        )
        if is_end and operations:
            rows.append((call.shape, weights / 1024, operations / 1e6))
            weights = operations = 0
    assert len(rows) == len(TABLE)
    for (name, row), (shape, thousands, millions) in zip(TABLE.items(), rows, strict=True):
        assert shape == row.shape, name
        assert thousands == pytest.approx(row.weights or row.stated_weights, abs=1), name
        assert millions == pytest.approx(row.operations or row.stated_operations, abs=0.6), name
    # The separable convolution that stands for the first row.
    first = 7 * 7 * 3 * 8 + 3 * 8 * 64
    assert (round(first / 1000, 1), round(first * 112 * 112 / 1e6)) == (2.7, 34)
    halving = [layer for layer in model.layers if isinstance(layer, keras.layers.MaxPooling2D) and layer.strides == (2, 2)]
    assert [layer.output.shape[1:] for layer in halving] == [(56, 56, 64), (28, 28, 192), (14, 14, 480), (7, 7, 832)]
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.4]


def test_auxiliary_heads_are_those_of_the_paper() -> None:
    """Section 5: 4x4 positions of 4a (512 maps) and 4d (528), 128 filters, 1024 units, 70 % of them dropped."""
    knobs = {"variant": "v1", "auxiliary_heads": True, "batch_norm": True, "wide_kernel": 3}
    model = catalog.load("architecture", "googlenet")((224, 224, 3), 1000, **knobs)
    assert [tensor.shape for tensor in model.outputs] == [(None, 1000)] * 3
    pooled = [layer for layer in model.layers if isinstance(layer, keras.layers.AveragePooling2D)]
    assert [(layer.pool_size, layer.strides) for layer in pooled] == [((5, 5), (3, 3))] * 2
    assert [layer.output.shape[1:] for layer in pooled] == [(4, 4, 512), (4, 4, 528)]
    assert layer_shapes(model, keras.layers.Flatten) == [(None, 4 * 4 * 128)] * 2
    assert sorted(layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)) == [0.4, 0.7, 0.7]
    # As torchvision has them while it trains.
    assert measure.trainable_parameters(model) == 13_004_888


@pytest.mark.parametrize(("blocks", "number"), [("1-1-1", 1), ("2-2-1", 1), ("1-3-1", 2), ("1-5-2", 2)])
def test_a_short_stage_has_one_auxiliary_head(blocks: str, number: int) -> None:
    assert len(build("googlenet", blocks_per_stage=blocks, auxiliary_heads=True).outputs) == 1 + number


def test_googlenet_takes_images_of_any_size() -> None:
    for shape in ((1, 1, 1), (1, 7, 1), (5, 2, 1)):
        for stem in ("small", "large"):
            model = build("googlenet", shape, stem=stem, auxiliary_heads=True)
            assert [tensor.shape for tensor in model.outputs] == [(None, 10)] * 2


def test_googlenet_halves_between_stages_and_twice_in_its_large_stem() -> None:
    sides = {
        stem: [shape[1] for shape in layer_shapes(build("googlenet", (64, 64, 1), stem=stem), keras.layers.Concatenate)]
        for stem in ("small", "large")
    }
    assert sides == {"small": [64, 32, 16], "large": [8, 4, 2]}


@pytest.mark.parametrize("text", ["2-6-2", "3-5-2", "2-5", "2-5-2-1", "1-0-1"])
def test_googlenet_refuses_blocks_it_does_not_have(text: str) -> None:
    with pytest.raises(KnobError, match=r"'blocks_per_stage' is .*llowed"):
        build("googlenet", blocks_per_stage=text)
