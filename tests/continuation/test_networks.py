"""Going on: architectures, and what in them draws random numbers."""

from __future__ import annotations

import pytest

from sweeper import catalog
from tests.continuation.kit import Axis, Trained, check_change, check_going_on, train

pytestmark = pytest.mark.slow

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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tmp_path_factory.mktemp("trained"), AXES)


@pytest.mark.parametrize("name", AXES)
def test_going_on_in_a_new_process_is_never_having_stopped(name: str, trained: Trained) -> None:
    check_going_on(trained, name)


@pytest.mark.parametrize("name", [name for name in AXES if name != "base"])
def test_every_axis_changes_the_training(name: str, trained: Trained) -> None:
    check_change(trained, name, AXES[name].reference)
