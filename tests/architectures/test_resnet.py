"""The residual networks."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from sweeper import catalog
from sweeper.errors import KnobError
from sweeper.training.measuring import measure
from tests.architectures.kit import (
    build,
    images,
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


@pytest.mark.long
@pytest.mark.parametrize(
    ("variant", "blocks"),
    [
        ("18", (2, 2, 2, 2)),
        ("34", (3, 4, 6, 3)),
        ("50", (3, 4, 6, 3)),
        pytest.param("101", (3, 4, 23, 3), marks=pytest.mark.long),
        pytest.param("152", (3, 8, 36, 3), marks=pytest.mark.long),
    ],
)
@pytest.mark.usefixtures("shapes_alone")
def test_resnet_has_the_layers_of_table_1(variant: str, blocks: tuple[int, ...]) -> None:
    model = catalog.load("architecture", "resnet")((224, 224, 3), 1000, variant=variant)
    expansion, num_projections = (1, 3) if variant in ("18", "34") else (4, 4)
    expected = [(56, 56, 64 * expansion), (28, 28, 128 * expansion), (14, 14, 256 * expansion), (7, 7, 512 * expansion)]
    sums = [shape[1:] for shape in layer_shapes(model, keras.layers.Add)]
    assert sums == [shape for shape, number in zip(expected, blocks, strict=True) for _ in range(number)]
    assert [shape[1:] for shape in layer_shapes(model, keras.layers.MaxPooling2D)] == [(56, 56, 64)]
    # The name counts the layers with weights, without the projections of shortcuts.
    num_layers = sum(isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)) for layer in model.layers)
    assert num_layers - num_projections == int(variant)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_resnet_without_skips_lacks_nothing_but_projections(block: str, norm: str) -> None:
    knobs: dict[str, Any] = {"block": block, "norm": norm, "blocks_per_stage": "2-2", "width": 8}
    residual, plain = build("resnet", **knobs), build("resnet", skip=False, stochastic_depth_rate=0.5, **knobs)
    assert len(layer_shapes(residual, keras.layers.Add)) == 4
    assert not layer_shapes(plain, keras.layers.Add)
    assert not any(isinstance(layer, keras.layers.Dropout) and layer.noise_shape for layer in plain.layers)
    projections = [(8, 16)] if block == "basic" else [(8, 32), (32, 64)]
    expected = sum(before * after + (2 * after if norm == "batch" else after) for before, after in projections)
    scales = 4 if norm == "none" else 0
    assert measure.trainable_parameters(residual) - measure.trainable_parameters(plain) == expected + scales


def test_resnet_without_skips_has_other_gradients_in_its_first_layers() -> None:
    import tensorflow as tf

    def first_to_last(skip: bool) -> float:
        random.seed(1)
        model = build("resnet", blocks_per_stage="12", skip=skip)
        with tf.GradientTape() as tape:
            logits = model(images((8, 8, 1)), training=True)
            labels = np.arange(16) % 10
            loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
        kernels = [layer.kernel.value for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
        first, *_, last = (np.linalg.norm(gradient) for gradient in tape.gradient(loss, kernels))
        return float(first / last)

    # From layer to layer batch normalisation enlarges gradients, which shortcuts prevent.
    assert first_to_last(skip=False) > 2 * first_to_last(skip=True)


def test_resnet_normalises_as_told_and_has_biases_only_without() -> None:
    kinds = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)
    found = {norm: build("resnet", norm=norm, kernel="7x7_depthwise").layers for norm in ("batch", "layer", "none")}
    number = {norm: [sum(isinstance(layer, kind) for layer in layers) for kind in kinds] for norm, layers in found.items()}
    # The stem, two pairs of convolutions in each of two blocks, and a shortcut.
    assert number == {"batch": [10, 0], "layer": [0, 10], "none": [0, 0]}
    for norm, layers in found.items():
        convolutions = [layer for layer in layers if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D))]
        assert {layer.use_bias for layer in convolutions} == {norm == "none"}


@pytest.mark.long
def test_resnet_without_normalisation_starts_with_small_branches_and_learns() -> None:
    digits = load_digits()
    pixels, labels = ((digits.images[:40, :, :, None] - 4.9) / 6.0).astype("float32"), digits.target[:40]
    random.seed(3)
    model = build("resnet", norm="none")
    scales = [float(weight) for weight in model.trainable_weights if weight.path.endswith("/gamma")]
    assert scales == pytest.approx([2**-0.5] * 2)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    for _ in range(60):
        model.train_on_batch(pixels, labels)
    assert (np.asarray(model(pixels)).argmax(axis=1) == labels).mean() > 0.95
    assert all(float(weight) != 2**-0.5 for weight in model.trainable_weights if weight.path.endswith("/gamma"))


def test_resnet_keeps_its_values_however_deep_without_normalisation() -> None:
    random.seed(0)
    model = build("resnet", norm="none", blocks_per_stage="30")
    before = keras.Model(model.input, model.get_layer(index=-3).output)
    assert 0.05 < np.asarray(before(images((8, 8, 1)))).std() < 20


@pytest.mark.parametrize(("activation", "name"), [("relu", "relu"), ("gelu", "gelu"), ("swish", "silu")])
def test_resnet_has_one_activation_everywhere(activation: str, name: str) -> None:
    for stem in ("small", "large"):
        model = build("resnet", activation=activation, stem=stem, block="bottleneck", attention="none")
        layers = [layer for layer in model.layers if isinstance(layer, (keras.layers.Activation, keras.layers.ReLU))]
        assert [keras.activations.serialize(layer.activation) for layer in layers] == [name] * (1 + 2 * 3)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_resnet_filters_each_channel_on_its_own(block: str) -> None:
    model = build("resnet", (16, 16, 3), block=block, kernel="7x7_depthwise", blocks_per_stage="1-1", width=8)
    depthwise = [layer for layer in model.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
    assert {layer.kernel_size for layer in depthwise} == {(7, 7)}
    # A basic block changes the channels behind the first of its two, a bottleneck in front of its only one.
    basic = [(16, 16, 8), (16, 16, 8), (8, 8, 8), (8, 8, 16)]
    assert [layer.output.shape[1:] for layer in depthwise] == (basic if block == "basic" else [(16, 16, 8), (8, 8, 16)])
    sizes = [layer.kernel_size for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert sizes.count((3, 3)) == 1, "the stem's alone"


def test_resnet_drops_later_branches_more_often_and_the_first_of_several_never() -> None:
    model = build("resnet", blocks_per_stage="2-3", stochastic_depth_rate=0.5)
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout) and layer.noise_shape]
    assert rates == pytest.approx([0.125, 0.25, 0.375, 0.5])


@pytest.mark.parametrize(("attention", "number"), [("none", 0), ("se", 5), ("eca", 5), ("cbam", 5), ("bam", 2)])
def test_resnet_attends_in_every_block_or_between_stages(attention: str, number: int) -> None:
    model = build("resnet", blocks_per_stage="2-2-1", attention=attention)
    gates = layer_shapes(model, keras.layers.Multiply)
    assert len(gates) == number * (2 if attention == "cbam" else 1)
    if attention == "bam":
        assert [shape[1:] for shape in gates] == [(8, 8, 8), (4, 4, 16)], "the last map of each stage but the last"


def test_resnet_has_no_place_between_stages_where_there_is_one() -> None:
    with pytest.raises(KnobError, match="'attention' is 'bam', which needs two stages, and 'blocks_per_stage' is '3'"):
        build("resnet", blocks_per_stage="3", attention="bam")


def test_resnet_with_everything_at_once_takes_one_pixel() -> None:
    for norm in ("batch", "layer", "none"):
        model = build("resnet", (1, 1, 1), block="bottleneck", kernel="7x7_depthwise", norm=norm, attention="bam", stem="large",
                      activation="swish", stochastic_depth_rate=0.5, skip=norm != "batch")  # fmt: skip
        assert np.isfinite(np.asarray(model(images((1, 1, 1))))).all()
