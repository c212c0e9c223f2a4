"""A checkpoint holds all there is of a network: written, read and given to another one, it gives the same outputs."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from sweeper.training.checkpoint import Checkpoint, assign, path_of, read, snapshot, write
from tests.architectures.kit import NAMES, build, images

pytestmark = pytest.mark.usefixtures("framework")

SHAPE = (8, 8, 1)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_restores_outputs_and_random_states(name: str, tmp_path: Path) -> None:
    random.seed(1)
    model = build(name, SHAPE)
    model(images(SHAPE), training=True)  # moves statistics, and the states of dropout
    write(tmp_path, Checkpoint(epoch=1, attempt=1, rows=(), model=snapshot(model.variables), optimizer=[]))
    random.seed(2)
    other = build(name, SHAPE)
    assert not np.allclose(np.asarray(other(images(SHAPE))), np.asarray(model(images(SHAPE))))
    assign(other.variables, read(path_of(tmp_path, 1, 1)).model)
    np.testing.assert_array_equal(np.asarray(other(images(SHAPE))), np.asarray(model(images(SHAPE))))
    trained, again = (np.asarray(one(images(SHAPE), training=True)) for one in (model, other))
    np.testing.assert_array_equal(trained, again)
