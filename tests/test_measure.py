"""Parameters and multiply-accumulates, against counts made by hand."""

from __future__ import annotations

import json
from typing import Any

import keras
import pytest

from sweeper.errors import SweeperError
from sweeper.training.measuring.measure import count_macs, describe_model, total_parameters, trainable_parameters

pytestmark = pytest.mark.usefixtures("framework")

layers = keras.layers
ops = keras.ops


def macs_of(*chain: Any, shape: tuple[int | None, ...]) -> int:
    """MACs of layers (or functions of a tensor) one after the other."""
    x = entry = keras.Input(shape)
    for step in chain:
        x = step(x)
    return count_macs(keras.Model(entry, x))


# Each row: what it is, its input without the batch, and the count by hand.
COUNTS: dict[str, tuple[Any, tuple[int, ...], int]] = {
    "dense": (layers.Dense(5), (7,), 7 * 5),
    "dense on a sequence": (layers.Dense(5), (3, 7), 3 * 7 * 5),
    "convolution": (layers.Conv2D(8, 3, padding="same"), (6, 5, 4), 6 * 5 * 3 * 3 * 4 * 8),
    "convolution with stride": (layers.Conv2D(8, 3, strides=2, padding="same"), (6, 6, 4), 3 * 3 * 3 * 3 * 4 * 8),
    "convolution in groups": (layers.Conv2D(8, 3, groups=4), (8, 8, 4), 6 * 6 * 3 * 3 * 1 * 8),
    "dilated convolution": (layers.Conv2D(8, 3, dilation_rate=2), (8, 8, 4), 4 * 4 * 3 * 3 * 4 * 8),
    "convolution of a sequence": (layers.Conv1D(6, 3, padding="causal"), (10, 4), 10 * 3 * 4 * 6),
    "convolution of a volume": (layers.Conv3D(2, 2), (3, 3, 3, 1), 2 * 2 * 2 * 8 * 2),
    "transposed convolution": (layers.Conv2DTranspose(8, 3, strides=2), (5, 5, 4), 5 * 5 * 4 * 9 * 8),
    "transposed convolution of a sequence": (layers.Conv1DTranspose(8, 3), (5, 4), 5 * 4 * 3 * 8),
    "depthwise convolution": (layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 4), 6 * 6 * 9 * 4 * 2),
    "depthwise convolution of a sequence": (layers.DepthwiseConv1D(3), (8, 4), 6 * 3 * 4),
    "separable convolution": (layers.SeparableConv2D(8, 3, depth_multiplier=2), (8, 8, 4), 36 * (9 * 8 + 8 * 8)),
    "separable convolution of a sequence": (layers.SeparableConv1D(8, 3), (8, 4), 6 * (3 * 4 + 4 * 8)),
    "einsum dense": (layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 6)), (5, 4), 5 * 4 * 2 * 6),
    "einsum dense with dots": (layers.EinsumDense("...x,xy->...y", output_shape=6), (5, 3, 4), 5 * 3 * 4 * 6),
    "dense at each time": (layers.TimeDistributed(layers.Dense(3)), (5, 4), 5 * 4 * 3),
    "normalised spectrum": (layers.SpectralNormalization(layers.Dense(3)), (4,), 4 * 3),
    "lambda": (layers.Lambda(lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))), output_shape=(5, 5)), (5, 4), 5 * 4 * 5),
    "matmul": (lambda x: x @ ops.transpose(x, (0, 2, 1)), (5, 4), 5 * 4 * 5),
    "matmul of windows": (
        lambda x: ops.matmul(ops.reshape(x, (-1, 4, 3)), ops.transpose(ops.reshape(x, (-1, 4, 3)), (0, 2, 1))),
        (8, 2, 3),
        4 * (4 * 3 * 4),
    ),
    "einsum": (lambda x: ops.einsum("bqc,bkc->bqk", x, x), (5, 4), 5 * 5 * 4),
    "einsum without arrow": (lambda x: ops.einsum("bqc,bkc", x, x), (5, 4), 1 * 5 * 5 * 4),
    "einsum with dots": (lambda x: ops.einsum("...qc,...kc->...qk", x, x), (3, 5, 4), 3 * 5 * 5 * 4),
    "einsum that only scales": (lambda x: ops.einsum("bqc,bqc->bqc", x, x), (5, 4), 0),
    "einsum that only sums": (lambda x: ops.einsum("bqc->bc", x), (5, 4), 0),
    "tensordot": (lambda x: ops.tensordot(x, ops.ones((4, 6)), axes=1), (5, 4), 5 * 4 * 6),
    "tensordot over named axes": (lambda x: ops.tensordot(x, ops.ones((6, 4)), axes=[[2], [1]]), (5, 4), 5 * 4 * 6),
    "dot": (lambda x: ops.dot(x, ops.ones((4, 6))), (5, 4), 5 * 4 * 6),
    "dot with a number": (lambda x: ops.dot(x, ops.convert_to_tensor(2.0)), (5, 4), 0),
    "inner": (lambda x: ops.inner(x, ops.ones((6, 4))), (5, 4), 5 * 4 * 6),
    "dot product attention": (lambda x: ops.dot_product_attention(x, x, x), (5, 2, 3), 2 * (2 * 5 * 5 * 3)),
    "attention layer": (lambda x: layers.Attention()([x, x]), (5, 4), 2 * (5 * 5 * 4)),
    "dot layer": (lambda x: layers.Dot(axes=2)([x, x]), (5, 4), 5 * 5 * 4),
    "embedding": (layers.Embedding(10, 4), (5,), 0),
    "normalisations": (
        lambda x: layers.BatchNormalization()(layers.LayerNormalization(axis=(1, 2))(x)),
        (5, 4),
        0,
    ),
    "pooling, activation, sum": (lambda x: layers.ReLU()(layers.MaxPooling2D()(x + x)), (8, 8, 3), 0),
}


@pytest.mark.parametrize(("step", "shape", "expected"), COUNTS.values(), ids=COUNTS.keys())
def test_counts_agree_with_the_hand(step: Any, shape: tuple[int, ...], expected: int) -> None:
    assert macs_of(step, shape=shape) == expected


@pytest.mark.parametrize("dropout", [0.0, 0.5], ids=["fused", "spelled out"])
def test_multi_head_attention_counts_projections_and_both_products(dropout: float) -> None:
    queries, keys = keras.Input((5, 8)), keras.Input((7, 6))
    attended = layers.MultiHeadAttention(num_heads=2, key_dim=3, value_dim=4, dropout=dropout)(queries, keys)
    projections = 5 * 8 * (2 * 3) + 7 * 6 * (2 * 3) + 7 * 6 * (2 * 4) + 5 * (2 * 4) * 8
    products = 2 * 5 * 7 * 3 + 2 * 5 * 7 * 4
    assert count_macs(keras.Model([queries, keys], attended)) == projections + products


def small_network() -> keras.Model:
    """8x8x3 -> 3x3 convolution to 4 -> batch norm -> pool to 4x4 -> 1x1 convolution to 6 -> mean -> dense to 5."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", use_bias=False)(image)
    x = layers.MaxPooling2D()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 1)(x))
    return keras.Model(image, layers.Dense(5)(x))


SMALL_MACS = 8 * 8 * 27 * 4 + 4 * 4 * 4 * 6 + 6 * 5
SMALL_PARAMETERS = 27 * 4 + 2 * 4 + (4 * 6 + 6) + (6 * 5 + 5)


def test_small_network_by_hand() -> None:
    model = small_network()
    assert count_macs(model) == SMALL_MACS
    assert trainable_parameters(model) == SMALL_PARAMETERS
    assert total_parameters(model) == SMALL_PARAMETERS + 2 * 4


def test_frozen_weights_are_no_trainable_parameters() -> None:
    model = small_network()
    model.layers[1].trainable = False
    assert trainable_parameters(model) == SMALL_PARAMETERS - 27 * 4
    assert total_parameters(model) == SMALL_PARAMETERS + 2 * 4
    assert count_macs(model) == SMALL_MACS


def test_nested_models_are_opened_and_shared_layers_count_per_call() -> None:
    inner = small_network()
    sequence = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(5)])
    image = keras.Input((8, 8, 3))
    x = layers.Add()([inner(image), inner(-image), sequence(image)])
    model = keras.Model(image, x)
    assert count_macs(model) == 2 * SMALL_MACS + 192 * 5
    assert trainable_parameters(model) == SMALL_PARAMETERS + 192 * 5 + 5
    assert count_macs(sequence) == 192 * 5
    kinds = {group["kind"]: group for group in describe_model(model)["layers"]}
    assert kinds["Conv2D"]["count"] == 2, "a shared layer is one layer"
    assert "Functional" not in kinds
    assert sum(group["parameters"] for group in kinds.values()) == trainable_parameters(model)


def test_counting_leaves_the_model_as_it_was() -> None:
    model = small_network()
    before = model.to_json()
    assert count_macs(model) == count_macs(model)
    assert model.to_json() == before
    assert model.layers[1].output.shape == (None, 8, 8, 4)


class Mixer(layers.Layer):  # type: ignore[misc,name-defined]
    """A custom layer with a matrix of its own, a layer inside and a table of positions."""

    def build(self, input_shape: Any) -> None:
        self.matrix = self.add_weight(shape=(input_shape[-1], 6))
        self.positions = self.add_weight(shape=(1, *input_shape[1:]))
        self.dense = layers.Dense(3)
        self.dense.build((*input_shape[:-1], 6))

    def call(self, x: Any) -> Any:
        return self.dense(ops.matmul(x + self.positions, self.matrix))


def test_custom_layers_are_opened() -> None:
    assert macs_of(Mixer(), shape=(5, 4)) == 5 * 4 * 6 + 5 * 6 * 3


class Windows(layers.Layer):  # type: ignore[misc,name-defined]
    """Attention inside windows that are folded into the batch, where a layer of Keras forgets their number."""

    def build(self, input_shape: Any) -> None:
        self.attention = layers.MultiHeadAttention(num_heads=1, key_dim=3)
        self.attention.build((None, 4, 3), (None, 4, 3))

    def call(self, x: Any) -> Any:
        folded = ops.reshape(x, (-1, 4, 3))
        return ops.reshape(self.attention(folded, folded), (-1, 8, 2, 3))


def test_windows_in_the_batch_are_not_forgotten() -> None:
    assert macs_of(Windows(), shape=(8, 2, 3)) == 4 * (4 * (4 * 3 * 3) + 2 * (4 * 4 * 3))


class Hidden(layers.Layer):  # type: ignore[misc,name-defined]
    """A product of matrices in an operation no rule covers."""

    def build(self, input_shape: Any) -> None:
        self.matrix = self.add_weight(shape=(3, input_shape[-1]))

    def call(self, x: Any) -> Any:
        return ops.outer(x, self.matrix)


class Opaque(layers.Layer):  # type: ignore[misc,name-defined]
    """A matrix used by code that cannot run on symbolic tensors."""

    def build(self, input_shape: Any) -> None:
        self.matrix = self.add_weight(shape=(input_shape[-1], 3))

    def call(self, x: Any) -> Any:
        raise TypeError("only real tensors, please")

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], 3)


UNKNOWN: dict[str, tuple[Any, tuple[int | None, ...], str]] = {
    "an operation without a rule": (Hidden(), (4,), "'Outer'"),
    "a constant in an unknown operation": (lambda x: ops.logaddexp(x, ops.ones((5, 4))), (5, 4), "'Logaddexp'"),
    "a layer that cannot be opened": (Opaque(), (4,), "Opaque"),
    "a recurrent layer": (layers.LSTM(3), (5, 4), "LSTM"),
    "an einsum of three": (lambda x: ops.einsum("ab,bc,cd->ad", x, ops.ones((4, 4)), ops.ones((4, 4))), (4,), "3 factors"),
    "an open size": (layers.Conv2D(4, 3), (None, None, 3), "must be fixed"),
}


@pytest.mark.parametrize(("step", "shape", "words"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_cannot_be_counted_is_an_error(step: Any, shape: tuple[int | None, ...], words: str) -> None:
    with pytest.raises(SweeperError, match=words):
        macs_of(step, shape=shape)


def test_a_subclassed_model_is_refused() -> None:
    class Model(keras.Model):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(SweeperError, match="only functional and sequential models"):
        count_macs(Model())


@pytest.mark.parametrize(
    ("make", "macs"),
    [
        (keras.applications.MobileNetV2, 300e6),
        (keras.applications.EfficientNetB0, 390e6),
        (keras.applications.ConvNeXtTiny, 4.46e9),
    ],
    ids=["depthwise", "squeeze and excitation", "groups"],
)
@pytest.mark.usefixtures("shapes_alone")
def test_counts_agree_with_the_papers(make: Any, macs: float) -> None:
    assert count_macs(make(weights=None)) == pytest.approx(macs, rel=0.03)


def test_description_is_plain_and_adds_up() -> None:
    model = small_network()
    description = describe_model(model)
    assert json.loads(json.dumps(description))["output_shape"] == [5]
    assert description["trainable_parameters"] == SMALL_PARAMETERS
    assert description["total_parameters"] == SMALL_PARAMETERS + 8
    assert description["macs"] == SMALL_MACS
    assert description["flops"] == 2 * SMALL_MACS
    groups = description["layers"]
    assert groups[0] == {
        "kind": "Conv2D",
        "count": 2,
        "parameters": 27 * 4 + 30,
        "share": (27 * 4 + 30) / SMALL_PARAMETERS,
    }
    assert [group["parameters"] for group in groups] == sorted((group["parameters"] for group in groups), reverse=True)
    assert sum(group["share"] for group in groups) == pytest.approx(1.0)


def test_a_model_without_parameters_has_no_shares() -> None:
    entry = keras.Input((4, 4, 1))
    (first, *_) = describe_model(keras.Model(entry, layers.Flatten()(entry)))["layers"]
    assert first["share"] == 0.0
