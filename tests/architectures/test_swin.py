"""The Swin transformers: their table, and who sees whom in a window."""

from __future__ import annotations

import itertools
import random
import warnings
from typing import Any

import keras
import numpy as np
import pytest

from architectures._blocks import encoder_layer
from architectures.swin import MergePatches, WindowAttention
from sweeper import catalog
from sweeper.errors import KnobError
from sweeper.training.measuring import measure
from tests.architectures.kit import (
    build,
    images,
    layer_shapes,
)

pytestmark = pytest.mark.usefixtures("framework")

Array = np.ndarray[Any, Any]

MAPS = [
    # height, width, window: whole windows, then maps that are padded along one side or both
    (4, 4, 2), (8, 8, 4), (4, 8, 4), (6, 9, 3), (7, 6, 3), (5, 7, 3), (5, 5, 4),
    # and those that one window covers along one side or both
    (9, 2, 4), (3, 3, 4), (4, 4, 4), (1, 5, 2), (1, 1, 3),
]  # fmt: skip
"""Maps of tokens and sides of a window."""


# -------------------------------------------------------------------------------------------------------- who sees whom


def cells(side: int, window: int, *, is_shifted: bool) -> Array:
    """Along one axis the window of each token, without any rolling: the grid of cuts is simply moved by half a window."""
    window = min(window, side)
    shift = window // 2 if is_shifted and window < side else 0
    return (np.arange(side) - shift) // window


def visible(height: int, width: int, window: int, *, is_shifted: bool) -> Array:
    """Whether a token (row) sees another (column)."""
    down, across = cells(height, window, is_shifted=is_shifted), cells(width, window, is_shifted=is_shifted)
    number = (down[:, None] * 1000 + across[None]).ravel()
    return np.asarray(number[:, None] == number[None])


def visible_without_mask(height: int, width: int, window: int, *, is_shifted: bool) -> Array:
    """The same where tokens that were rolled over the edge are not held apart: the last cell of an axis is also its first."""
    numbers = []
    for side in (height, width):
        places = cells(side, window, is_shifted=is_shifted)
        numbers.append(places % -(-side // min(window, side)))
    number = (numbers[0][:, None] * 1000 + numbers[1][None]).ravel()
    return np.asarray(number[:, None] == number[None])


def influence(model: keras.Model, height: int, width: int, channels: int) -> Array:
    """Whether a token of the output (row) changes with a token of the input (column), found by changing each in turn."""
    base = np.random.default_rng(1).normal(size=(height * width, channels)).astype("float32")
    changed = np.repeat(base[None], 1 + height * width, axis=0)
    for place in range(height * width):
        changed[1 + place, place] += np.random.default_rng(place).normal(size=channels) * 3
    outputs = np.asarray(model(changed.reshape(-1, height, width, channels))).reshape(len(changed), height * width, channels)
    difference = np.abs(outputs[1:] - outputs[:1]).max(axis=-1)
    assert not ((difference > 1e-5) & (difference < 1e-4)).any(), "an influence that is neither there nor not"
    return np.asarray(difference.T > 1e-4)


def block(height: int, width: int, window: int, *, is_shifted: bool, channels: int = 8) -> keras.Model:
    """A single Swin block: attention and perceptron, each with its shortcut."""
    random.seed(0)
    entry = keras.Input((height, width, channels))
    attention = WindowAttention(2, window, shift=is_shifted)
    return keras.Model(entry, encoder_layer(entry, attention, mlp_units=16, dropout=0.0))


@pytest.mark.parametrize("is_shifted", [False, True], ids=["plain", "shifted"])
@pytest.mark.parametrize(("height", "width", "window"), MAPS)
def test_a_token_is_influenced_by_what_its_window_and_shift_allow(height: int, width: int, window: int, is_shifted: bool) -> None:
    found = influence(block(height, width, window, is_shifted=is_shifted), height, width, 8)
    np.testing.assert_array_equal(found, visible(height, width, window, is_shifted=is_shifted))


def test_the_expectation_can_be_missed() -> None:
    for sizes in MAPS[:6]:
        expected = visible(*sizes, is_shifted=True)
        assert not np.array_equal(expected, visible(*sizes, is_shifted=False)), "the shift would not show"
        assert not np.array_equal(expected, visible_without_mask(*sizes, is_shifted=True)), "the mask would not show"


@pytest.mark.parametrize(("height", "width", "window"), [(8, 8, 4), (6, 9, 3)])
def test_without_the_mask_the_influence_is_another(height: int, width: int, window: int) -> None:
    model = block(height, width, window, is_shifted=True)
    (attention,) = (layer for layer in model.layers if isinstance(layer, WindowAttention))
    attention.regions = None
    found = influence(model, height, width, 8)
    np.testing.assert_array_equal(found, visible_without_mask(height, width, window, is_shifted=True))
    assert not np.array_equal(found, visible(height, width, window, is_shifted=True))


@pytest.mark.parametrize(("is_shifted", "side"), [(True, 8), (False, 4)])
def test_only_a_shifted_block_joins_windows(is_shifted: bool, side: int) -> None:
    random.seed(0)
    entry = keras.Input((12, 12, 8))
    x: Any = entry
    for shift in (False, is_shifted):
        x = encoder_layer(x, WindowAttention(2, 4, shift=shift), mlp_units=16, dropout=0.0)
    # Place 6 is in the window 4 to 7; shifted in that from 6 to 9, whose tokens have seen all from 4 to 11.
    middle = influence(keras.Model(entry, x), 12, 12, 8).reshape(12, 12, 12, 12)[6, 6]
    expected = np.zeros((12, 12), bool)
    expected[4 : 4 + side, 4 : 4 + side] = True
    np.testing.assert_array_equal(middle, expected)


# ----------------------------------------------------------------------------------------------------------- its arithmetic


@pytest.mark.parametrize("has_position_bias", [True, False])
@pytest.mark.parametrize("is_shifted", [False, True], ids=["plain", "shifted"])
@pytest.mark.parametrize(("height", "width", "window"), [(6, 9, 3), (5, 7, 3), (2, 5, 3)])
def test_attention_is_what_a_loop_over_tokens_gives(
    height: int, width: int, window: int, is_shifted: bool, has_position_bias: bool
) -> None:
    random.seed(0)
    heads, channels = 2, 6
    layer = WindowAttention(heads, window, shift=is_shifted, has_position_bias=has_position_bias)
    tokens = np.random.default_rng(0).normal(size=(1, height, width, channels)).astype("float32")
    layer.build(tokens.shape)
    draw = np.random.default_rng(2)
    layer.set_weights([draw.normal(size=weight.shape) for weight in layer.weights])
    output = np.asarray(layer(tokens))[0]
    weights = {weight.path.split("/", 1)[-1]: np.asarray(weight) for weight in layer.weights}
    projected = tokens[0] @ weights["projections/kernel"] + weights["projections/bias"]
    queries, keys, values = (part.reshape(height, width, heads, -1) for part in np.split(projected, 3, axis=-1))
    sees = visible(height, width, window, is_shifted=is_shifted).reshape(height, width, height, width)
    sides = [min(window, side) for side in (height, width)]
    received = np.zeros((height, width, heads))
    for place in itertools.product(range(height), range(width)):
        found = []
        for head in range(heads):
            others = list(zip(*np.nonzero(sees[place]), strict=True))
            scores = np.array([queries[place][head] @ keys[other][head] / np.sqrt(channels / heads) for other in others])
            if has_position_bias:
                table = weights["position_bias"].reshape(2 * sides[0] - 1, 2 * sides[1] - 1, heads)
                scores += [table[place[0] - row + sides[0] - 1, place[1] - column + sides[1] - 1, head] for row, column in others]
            shares = np.exp(scores - scores.max())
            shares /= shares.sum()
            found.append(sum(share * values[other][head] for share, other in zip(shares, others, strict=True)))
            for share, other in zip(shares, others, strict=True):
                received[other][head] += share
        expected = np.concatenate(found) @ weights["output/kernel"] + weights["output/bias"]
        np.testing.assert_allclose(output[place], expected, rtol=1e-4, atol=1e-4)
    shown = np.asarray(layer.attention_map(keras.ops.convert_to_tensor(tokens)))
    np.testing.assert_allclose(shown[0], received, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("is_shifted", [False, True])
def test_attention_costs_what_the_paper_says(is_shifted: bool) -> None:
    for height, width, channels, window in ((56, 56, 96, 7), (14, 28, 12, 7), (8, 4, 8, 2)):
        entry = keras.Input((height, width, channels))
        model = keras.Model(entry, WindowAttention(2, window, shift=is_shifted)(entry))
        places = height * width
        assert measure.count_macs(model) == 4 * places * channels**2 + 2 * window**2 * places * channels
        table = 2 * (2 * window - 1) ** 2
        assert measure.trainable_parameters(model) == 4 * channels**2 + 4 * channels + table


def test_merging_puts_four_tokens_behind_each_other_and_pads_odd_sides() -> None:
    tokens = np.arange(1, 16, dtype="float32").reshape(1, 3, 5, 1)
    merged = np.asarray(MergePatches()(tokens))
    assert merged.shape == MergePatches().compute_output_shape(tokens.shape) == (1, 2, 3, 4)
    np.testing.assert_array_equal(merged[0, 0], [[1, 6, 2, 7], [3, 8, 4, 9], [5, 10, 0, 0]])
    np.testing.assert_array_equal(merged[0, 1], [[11, 0, 12, 0], [13, 0, 14, 0], [15, 0, 0, 0]])


def test_averaging_at_an_odd_border_leaves_padding_out() -> None:
    model = build("swin", (6, 6, 1), merging="average")
    (pool, _) = (layer for layer in model.layers if isinstance(layer, keras.layers.AveragePooling2D))
    averaged = np.asarray(pool(np.ones((1, 3, 3, 8), "float32")))
    np.testing.assert_array_equal(averaged, np.ones((1, 2, 2, 8)))


# ----------------------------------------------------------------------------------------------------------- the networks

TABLE_7 = {
    # channels of the first stage, layers and heads of each
    "tiny": (96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "small": (96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "base": (128, (2, 2, 18, 2), (4, 8, 16, 32)),
}


@pytest.mark.parametrize("variant", ["tiny", *(pytest.param(name, marks=pytest.mark.long) for name in ("small", "base"))])
@pytest.mark.usefixtures("shapes_alone")
def test_swin_has_the_stages_of_the_papers_table(variant: str) -> None:
    width, depths, heads = TABLE_7[variant]
    model = catalog.load("architecture", "swin")((224, 224, 3), 1000, variant=variant)
    attentions = [layer for layer in model.layers if isinstance(layer, WindowAttention)]
    expected = [
        (56 // 2**stage, width * 2**stage, heads[stage], layer % 2 == 1 and stage < 3)
        for stage, depth in enumerate(depths)
        for layer in range(depth)
    ]
    assert [(*layer.output.shape[2:], layer.num_heads, layer.is_shifted) for layer in attentions] == expected
    assert {layer.window for layer in attentions} == {(7, 7)}
    assert {layer.shifts for layer in attentions} == {(0, 0), (3, 3)}
    dense = [(shape[1], shape[-1]) for shape in layer_shapes(model, keras.layers.Dense)]
    merging = [(28 // 2**stage, width * 2 ** (stage + 1)) for stage in range(3)]
    perceptrons = [[(56 // 2**stage, width * 2**stage * factor) for factor in (4, 1)] * depths[stage] for stage in range(4)]
    assert dense[:-1] == [pair for stage in range(4) for pair in [*([merging[stage - 1]] if stage else []), *perceptrons[stage]]]
    found, expected_parameters = [0] * 4, []
    for layer in model.layers:
        if len(layer.output.shape) == 4 and layer.output.shape[1] in (56, 28, 14, 7):
            found[(56, 28, 14, 7).index(layer.output.shape[1])] += layer.count_params()
    for stage, (depth, num_heads) in enumerate(zip(depths, heads, strict=True)):
        channels = width * 2**stage
        layers = depth * (12 * channels**2 + 13 * channels + 13**2 * num_heads)
        before = 4 * 4 * 3 * width + 3 * width if stage == 0 else 4 * channels + 2 * channels**2
        expected_parameters.append(layers + before + (2 * channels if stage == 3 else 0))
    assert found == expected_parameters
    assert sum(found) + 1000 * 8 * width + 1000 == measure.trainable_parameters(model)


@pytest.mark.long
@pytest.mark.parametrize("merging", ["concatenation", "average"])
@pytest.mark.parametrize("shape", [(2, 2, 1), (2, 9, 1), (3, 5, 3), (13, 7, 1)], ids=str)
@pytest.mark.usefixtures("shapes_alone")
def test_swin_takes_every_image_that_holds_a_patch(shape: tuple[int, int, int], merging: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = build("swin", shape, merging=merging)
        assert np.isfinite(np.asarray(model(images(shape)))).all()
    with pytest.raises(KnobError, match=r"'patch_size' is 2, .* 1x9 pixels .* at least 2x2"):
        build("swin", (1, 9, 1))
    assert build("swin", (1, 1, 1), patch_size=1).output_shape == (None, 10)


def test_published_swins_say_which_image_is_the_smallest() -> None:
    for variant in TABLE_7:
        with pytest.raises(KnobError, match=r"'patch_size' is 4, .* allowed for this image: 1 to 3\. .* at least 4x4"):
            catalog.load("architecture", "swin")((3, 8, 3), 10, variant=variant)


def test_windows_shrink_to_the_map_and_are_not_shifted_then() -> None:
    model = build("swin", (12, 40, 1), window_size=7, depths="2-2-2")
    attentions = [layer for layer in model.layers if isinstance(layer, WindowAttention)]
    assert [layer.output.shape[1:3] for layer in attentions[::2]] == [(6, 20), (3, 10), (2, 5)]
    assert [layer.window for layer in attentions] == [(6, 7)] * 2 + [(3, 7)] * 2 + [(2, 5)] * 2
    assert [layer.shifts for layer in attentions] == [(0, 0), (0, 3), (0, 0), (0, 3), (0, 0), (0, 0)]


def test_what_each_knob_of_swin_changes() -> None:
    shape = (16, 16, 1)
    plain = build("swin", shape)
    shifted = [layer.is_shifted for layer in plain.layers if isinstance(layer, WindowAttention)]
    assert shifted == [False, False, True, False], "every other layer of a stage"
    straight = build("swin", shape, shift_windows=False)
    assert not any(layer.is_shifted for layer in straight.layers if isinstance(layer, WindowAttention))
    parameters = measure.trainable_parameters(plain)
    assert measure.trainable_parameters(straight) == parameters
    tables = 3**2 * (1 + 2 * 2 + 4)
    assert parameters - measure.trainable_parameters(build("swin", shape, relative_position_bias=False)) == tables
    merging = sum(3 * channels * 2 + 3 * channels * 2 * channels for channels in (8, 16))
    assert parameters - measure.trainable_parameters(build("swin", shape, merging="average")) == merging
    rates = [layer.rate for layer in build("swin", stochastic_depth_rate=0.3).layers if getattr(layer, "noise_shape", None)]
    assert rates == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.3, 0.3])


def test_swin_refuses_stages_that_do_not_fit_together() -> None:
    with pytest.raises(KnobError, match="'num_heads' is '1-2' and 'depths' is '1-2-1'; allowed: as many numbers"):
        build("swin", num_heads="1-2")
    with pytest.raises(KnobError, match="'num_heads' is 5 in stage 2 of '1-5-4', which does not divide a 'width' of 16"):
        build("swin", num_heads="1-5-4")
    with pytest.raises(KnobError, match="depths"):
        build("swin", depths="2-0-1")


def test_window_attention_survives_its_configuration() -> None:
    layer = WindowAttention(2, 3, shift=True, has_position_bias=False)
    twin = WindowAttention.from_config(layer.get_config())
    assert (twin.num_heads, twin.window_size, twin.shift, twin.has_position_bias) == (2, 3, True, False)
