"""What several families share."""

from __future__ import annotations

import ast
import random
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import architectures
from architectures import _blocks
from tests.architectures.kit import (
    NAMES,
    build,
    images,
)

pytestmark = pytest.mark.usefixtures("framework")


@pytest.mark.parametrize("name", NAMES)
def test_a_family_imports_its_building_blocks_once_and_no_other_family(name: str) -> None:
    tree = ast.parse((Path(architectures.__path__[0]) / f"{name}.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    ours = [line for line in map(ast.unparse, imports) if "architectures" in line]
    assert len(ours) == 1
    assert ours[0].startswith("from architectures._blocks import ")


def test_the_table_of_contents_names_each_building_block_under_its_file() -> None:
    listed: dict[str, str] = {}
    file = ""
    for line in (_blocks.__doc__ or "").splitlines():
        if heading := re.match(r"`(\w+)`:", line):
            file = heading[1]
        elif line.startswith("    "):
            names = re.match(r"    ((?:\w+, )*\w+)  ", line)
            assert names is not None, line
            listed.update(dict.fromkeys(names[1].split(", "), file))
    assert sorted(listed) == sorted(_blocks.__all__)
    for name, file in listed.items():
        assert vars(getattr(_blocks, file))[name] is getattr(_blocks, name)


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
