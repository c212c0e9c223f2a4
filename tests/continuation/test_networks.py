"""Going on: architectures, and what in them draws random numbers."""

from __future__ import annotations

import pytest

from sweeper import catalog
from tests.continuation.kit import Axis, GoingOn

pytestmark = pytest.mark.long

AXES: dict[str, Axis] = {
    "base": Axis(),
    "dropout": Axis(knobs={"dropout": 0.2}),
    "dense_dropout": Axis(knobs={"dense_dropout": 0.3}),
    "without-batch_norm": Axis(knobs={"batch_norm": False}),
    **{name: Axis(architecture=name) for name in catalog.names("architecture") if name != "cnn"},
    "stochastic_depth": Axis(architecture="efficientnet", knobs={"stochastic_depth_rate": 0.5}, reference="efficientnet"),
    "auxiliary_heads": Axis(architecture="googlenet", knobs={"auxiliary_heads": True}, reference="googlenet"),
    "vit-dropout": Axis(architecture="vit", knobs={"dropout": 0.2}, reference="vit"),
    "swin-dropout": Axis(architecture="swin", knobs={"dropout": 0.2, "stochastic_depth_rate": 0.5}, reference="swin"),
}


class TestNetworks(GoingOn):
    axes = AXES
