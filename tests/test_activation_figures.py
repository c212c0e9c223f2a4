"""Figures of what a network makes of an image: their numbers by hand, and their text measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sweeper.plots import _activations
from sweeper.training.activations import AttentionMap, FeatureMap, Gate
from tests.test_plots import check_text, words

IMAGES = {"grey": np.zeros((8, 8, 1), np.uint8), "colour": np.full((8, 8, 3), 0.5, np.float32)}


def attention_map(values: Any, *, by: str = "all tokens", stage: str = "encoder") -> AttentionMap:
    return AttentionMap(stage=stage, by=by, values=np.asarray(values, np.float32))


def test_channels_are_ordered_by_their_mean_absolute_value() -> None:
    values = np.zeros((1, 2, 3), np.float32)
    values[0, :, 0], values[0, :, 1], values[0, :, 2] = (1, 1), (-4, 2), (0, 2)
    table = _activations.channel_frame([FeatureMap(stage="stem", values=values)])
    assert table["channel"].tolist() == [1, 0, 2]
    assert table["strength"].tolist() == [3, 1, 1]
    assert table.iloc[0].tolist()[-2:] == [-4, 2]


def test_how_many_places_get_half_of_the_attention() -> None:
    """Of two heads, (4, 0, 0, 0) and (0, 2, 1, 1), the mean is (2, 1, 0.5, 0.5): half goes to the first place."""
    heads = np.stack([[[4, 0], [0, 0]], [[0, 2], [1, 1]]], axis=-1)
    even = attention_map(np.ones((2, 2, 1)))
    table = _activations.attention_frame([attention_map(heads), even, attention_map(np.ones((1, 3, 1)), stage="head")])
    assert table["layer"].tolist() == ["encoder, layer 1", "encoder, layer 2", "head"]
    assert table["half"].tolist() == [1, 2, 2]
    assert table["largest"].tolist() == [2, 1, 1]
    assert table["heads"].tolist() == [2, 1, 1]


def test_gates_near_their_ends() -> None:
    gates = [
        Gate(stage="stage 1", weights=np.array([0.0, 0.09, 0.11, 0.95], np.float32)),
        Gate(stage="stage 2", weights=np.ones(2)),
    ]
    table = _activations.gate_frame(gates)
    assert table.groupby("gate").size().to_dict() == {"stage 1": 4, "stage 2": 2}
    assert table["channel"].tolist() == [0, 1, 2, 3, 0, 1]
    figure = _activations.gates("cnn-1 on a.png", gates)
    check_text(figure)
    assert "of 6 gated channels, 2 nearly closed, 3 nearly open" in words(figure)
    drawn = [image.get_array() for axes in figure.axes for image in axes.images]
    assert np.asarray(drawn[0])[0].tolist() == pytest.approx([0.0, 0.09, 0.11, 0.95])


@pytest.mark.long
@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize(("blocks", "channels"), [(1, 1), (6, 20)])
def test_the_feature_maps(blocks: int, channels: int, image: str) -> None:
    draw = np.random.default_rng(0)
    maps = [
        FeatureMap(stage=f"stage {n + 1}", values=draw.normal(size=(4, 6, channels)).astype("float32")) for n in range(blocks)
    ]
    figure = _activations.feature_maps("resnet-00001-s1001 on a rather long name of an image.png", IMAGES[image], maps)
    check_text(figure)
    panels = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(panels) == 1 + blocks * min(channels, _activations.CHANNELS)
    strongest = _activations.channel_frame(maps)["channel"].iloc[0]
    assert np.array_equal(panels[1].get_array(), maps[0].values[..., strongest])
    assert panels[1].get_clim() == (maps[0].values.min(), maps[0].values.max()), "all of a block share one scale"


@pytest.mark.parametrize("layers", [1, 4, 25])
def test_the_attention(layers: int) -> None:
    values = 2.0 ** np.random.default_rng(0).normal(scale=4, size=(layers, 5, 5, 2))
    figure = _activations.attention("vit-00001-s1001 on a.png", IMAGES["grey"], [attention_map(one) for one in values])
    check_text(figure)
    panels = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(panels) == 1 + layers
    assert np.allclose(panels[1].get_array(), values[0].mean(axis=2).clip(1 / 8, 8))
    assert panels[1].get_clim() == (1 / 8, 8)
    assert f"half of it at {_activations.attention_frame([attention_map(values[0])])['half'].iloc[0]} of 25" in words(figure)


@pytest.mark.parametrize("rows", [1, 40])
def test_many_gates(rows: int) -> None:
    gates = [Gate(stage=f"stage {row // 8}", weights=np.linspace(0, 1, 16, dtype=np.float32)) for row in range(rows)]
    check_text(_activations.gates("efficientnet-00001-s1001 on a.png", gates))
