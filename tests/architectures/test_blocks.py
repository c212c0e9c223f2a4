"""What several families share."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest

from architectures import _blocks
from tests.architectures.kit import (
    build,
    images,
)

pytestmark = pytest.mark.usefixtures("framework")


@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("cnn", {}), ("cnn_se", {}),
        ("resnet", {"stem": "small"}), ("resnet", {"stem": "large"}),
        ("densenet", {"stem": "small"}), ("densenet", {"stem": "large"}),
        ("efficientnet", {"stem": "small"}), ("efficientnet", {"stem": "large"}),
        ("mobilenet_v2", {"stem": "small"}), ("mobilenet_v2", {"stem": "large"}),
        ("convnext", {"stem": "small"}), ("convnext", {"stem": "patch4"}),
        ("light_cnn", {"stem": "small"}), ("light_cnn", {"stem": "large"}),
    ],
    ids=str,
)  # fmt: skip
def test_networks_of_convolutions_take_images_of_any_size(name: str, knobs: dict[str, Any]) -> None:
    assert np.isfinite(np.asarray(build(name, (1, 7, 1), **knobs)(images((1, 7, 1))))).all()


def test_stochastic_depth_drops_whole_images_and_only_while_training() -> None:
    def model(seed: int) -> keras.Model:
        random.seed(seed)
        branch = keras.Input((3, 4, 2))
        return keras.Model(branch, _blocks.stochastic_depth(branch, 0.25))

    values = np.abs(images((3, 4, 2), 2000)) + 0.1
    first, again, other = (np.asarray(model(seed)(values, training=True)) for seed in (1, 1, 2))
    is_kept = first[:, :1, :1, :1] > 0
    np.testing.assert_allclose(first, np.where(is_kept, values / 0.75, 0.0), rtol=1e-6)
    assert 0.7 < is_kept.mean() < 0.8
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(np.asarray(model(1)(values)), values)
    text = model(1).to_json()
    copy = keras.models.model_from_json(text)
    assert copy.to_json() == text
    is_dropped = np.asarray(copy(values, training=True)).max(axis=(1, 2, 3)) == 0
    assert 0.2 < is_dropped.mean() < 0.3
    branch = keras.Input((3, 4, 2))
    assert _blocks.stochastic_depth(branch, 0.0) is branch
