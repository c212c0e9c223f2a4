"""The vision transformers, and the positions that they share with others."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest

from architectures import _blocks
from sweeper import catalog
from sweeper.errors import KnobError
from sweeper.training.measuring import measure
from tests.architectures.kit import (
    build,
    images,
    layer_shapes,
)

pytestmark = pytest.mark.usefixtures("framework")

TABLE_1 = {"tiny/16": (192, 12, 3), "small/16": (384, 12, 6), "base/16": (768, 12, 12), "large/16": (1024, 24, 16)}
"""Width, layers and heads; tiny and small are not from the paper, but from arXiv:2012.12877."""


def parameters(variant: str, depth: int) -> int:
    return measure.trainable_parameters(catalog.load("architecture", "vit")((224, 224, 3), 1000, variant=variant, depth=depth))


@pytest.mark.parametrize("variant", TABLE_1)
def test_vit_has_the_parts_of_the_papers_table(variant: str) -> None:
    width, depth, num_heads = TABLE_1[variant]
    model = catalog.load("architecture", "vit")((224, 224, 3), 1000, variant=variant, depth=1)
    patches = 14 * 14
    norm = 2 * width
    attention = 4 * (width**2 + width)
    perceptron = 4 * width * width + 4 * width + 4 * width * width + width
    expected = [
        ("Conv2D", (None, 14, 14, width), 16 * 16 * 3 * width + width),
        ("Reshape", (None, patches, width), 0),
        ("ClassToken", (None, patches + 1, width), width),
        ("LearnedPositions", (None, patches + 1, width), (patches + 1) * width),
        ("LayerNormalization", (None, patches + 1, width), norm),
        ("MultiHeadAttention", (None, patches + 1, width), attention),
        ("LayerNormalization", (None, patches + 1, width), norm),
        ("Dense", (None, patches + 1, 4 * width), 4 * width * width + 4 * width),
        ("Dense", (None, patches + 1, width), 4 * width * width + width),
        ("LayerNormalization", (None, patches + 1, width), norm),
        ("Dense", (None, 1000), 1000 * width + 1000),
    ]
    found = [(type(layer).__name__, layer.output.shape, layer.count_params()) for layer in model.layers]
    without = ("InputLayer", "Dropout", "Add", "GetItem")
    assert [entry for entry in found if entry[0] not in without] == expected
    heads = [layer.num_heads for layer in model.layers if isinstance(layer, keras.layers.MultiHeadAttention)]
    assert heads == [num_heads]
    layer = 2 * norm + attention + perceptron
    assert layer == 12 * width**2 + 13 * width
    outside = sum(entry[2] for entry in expected) - layer
    published = {entry.arguments["variant"]: entry.parameters for entry in catalog.load("architecture", "vit").published}
    assert outside + depth * layer == published[variant]


def test_every_encoder_layer_has_the_same_size() -> None:
    one, two, four = (parameters("tiny/16", depth) for depth in (1, 2, 4))
    assert two - one == 12 * 192**2 + 13 * 192
    assert four - one == 3 * (two - one)


def test_vit_says_which_patches_fit() -> None:
    with pytest.raises(KnobError) as caught:
        build("vit", (18, 30, 1), patch_size=4)
    assert "'patch_size' is 4" in str(caught.value)
    assert "18x30" in str(caught.value)
    assert "1, 2, 3, 6" in str(caught.value)


@pytest.mark.parametrize(("shape", "allowed"), [((1, 1, 1), "1."), ((1, 8, 3), "1."), ((8, 8, 1), "1, 2, 4, 8.")])
def test_vit_refuses_images_smaller_than_a_patch(shape: tuple[int, int, int], allowed: str) -> None:
    for variant in TABLE_1:
        with pytest.raises(KnobError, match=f"'patch_size' is 16, .* allowed for this image: {allowed}"):
            catalog.load("architecture", "vit")(shape, 10, variant=variant)


@pytest.mark.parametrize("pooling", ["class_token", "mean"])
@pytest.mark.parametrize("positions", ["learned", "sincos", "none"])
def test_vit_takes_a_single_pixel(positions: str, pooling: str) -> None:
    model = build("vit", (1, 1, 1), patch_size=1, positions=positions, pooling=pooling)
    assert np.isfinite(np.asarray(model(images((1, 1, 1))))).all()


def test_vit_refuses_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(KnobError, match="'num_heads' is 3, which does not divide a 'width' of 16"):
        build("vit", num_heads=3)


def test_vit_pools_over_patches_or_reads_a_token() -> None:
    with_token = measure.trainable_parameters(build("vit", pooling="class_token"))
    without = measure.trainable_parameters(build("vit", pooling="mean"))
    assert with_token - without == 2 * 16, "a token and its position"


def test_vit_default_is_the_miniature() -> None:
    vit = catalog.load("architecture", "vit")
    default, mini = (vit((48, 48, 1), 7, **knobs) for knobs in ({}, {"variant": "mini"}))
    assert measure.trainable_parameters(mini) == measure.trainable_parameters(default) == 144_903
    assert [layer.output.shape for layer in mini.layers] == [layer.output.shape for layer in default.layers]


# --------------------------------------------------------------------------------------------------------------- positions


def test_positions_cost_a_vector_each_or_nothing() -> None:
    learned, sincos, none = (
        measure.trainable_parameters(build("vit", (8, 12, 1), positions=positions)) for positions in ("learned", "sincos", "none")
    )
    assert learned - none == (2 * 3 + 1) * 16
    assert sincos == none
    fixed = build("vit", (8, 12, 1), positions="sincos")
    assert measure.total_parameters(fixed) == sincos, "nothing of them is stored"


def test_fixed_positions_are_sines_and_cosines_of_column_and_row() -> None:
    tokens = np.random.default_rng(0).normal(size=(2, 3, 5, 8)).astype("float32")
    added = np.asarray(_blocks.SinCosPositions()(tokens)) - tokens
    for row in range(3):
        for column in range(5):
            expected = [
                wave(place / 10_000 ** (number / 2)) for place in (column, row) for wave in (np.sin, np.cos) for number in (0, 1)
            ]
            np.testing.assert_allclose(added[:, row, column], [expected] * 2, atol=1e-5)


def permuted_patches(image: Any, patch_size: int) -> Any:
    """The same patches in another order."""
    columns = image.reshape(len(image), image.shape[1], -1, patch_size, image.shape[3])
    return columns[:, :, ::-1].reshape(image.shape)


@pytest.mark.parametrize("pooling", ["class_token", "mean"])
@pytest.mark.parametrize("positions", ["learned", "sincos", "none"])
def test_only_with_positions_the_order_of_patches_matters(positions: str, pooling: str) -> None:
    random.seed(0)
    model = build("vit", (8, 16, 1), positions=positions, pooling=pooling)
    pixels = images((8, 16, 1))
    moved = np.asarray(model(permuted_patches(pixels, 4))) - np.asarray(model(pixels))
    assert (np.abs(moved).max() < 1e-5) == (positions == "none")


def test_sines_and_cosines_need_a_width_they_can_share() -> None:
    for name in ("vit", "hybrid"):
        with pytest.raises(KnobError, match=r"'width' is 6, .* multiples of 4"):
            build(name, width=6, positions="sincos")


# --------------------------------------------------------------------------------------------------------- stochastic depth


def test_rates_of_stochastic_depth_rise_to_the_last_layer() -> None:
    assert _blocks.depth_rates(0.3, 4) == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert _blocks.depth_rates(0.3, 1) == [0.3]
    model = build("vit", depth=3, stochastic_depth_rate=0.2)
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout) and layer.noise_shape]
    assert rates == [0.1, 0.1, 0.2, 0.2], "two branches a layer, and no layer where nothing is dropped"
    assert len(layer_shapes(build("vit", depth=3), keras.layers.Add)) == 6
