"""Going on: architectures, and what in them draws random numbers."""

from __future__ import annotations

import numpy as np
import pytest

from sweeper import catalog
from sweeper.study.space import Value
from tests.architectures.kit import build, images, outputs
from tests.continuation.kit import SIDE, SIZES, Axis, GoingOn

pytestmark = pytest.mark.long

RANDOM: dict[str, dict[str, Value]] = {
    "efficientnet": {"stochastic_depth_rate": 0.5},
    "googlenet": {"auxiliary_heads": True},
    "vit": {"dropout": 0.2},
    "swin": {"dropout": 0.2, "stochastic_depth_rate": 0.5},
}
"""What draws random numbers in a network, or adds to its loss, in ways of its own."""

AXES: dict[str, Axis] = {
    "base": Axis(),
    "dropout": Axis(knobs={"dropout": 0.2}),
    "dense_dropout": Axis(knobs={"dense_dropout": 0.3}),
    "without-batch_norm": Axis(knobs={"batch_norm": False}),
    **{name: Axis(architecture=name, knobs=RANDOM.get(name, {})) for name in catalog.names("architecture") if name != "cnn"},
}


class TestNetworks(GoingOn):
    axes = AXES


@pytest.mark.usefixtures("framework")
@pytest.mark.parametrize("name", RANDOM)
def test_what_is_random_in_a_network_is_there(name: str) -> None:
    """Otherwise going on with it would prove nothing."""
    model = build(name, (SIDE, SIDE, 3), **{**SIZES.get(name, {}), **RANDOM[name]})
    first, second = (outputs(model, images((SIDE, SIDE, 3)), training=True) for _ in range(2))
    assert len(first) > 1 or not np.array_equal(first[0], second[0])
