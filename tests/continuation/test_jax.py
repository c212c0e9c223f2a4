"""Going on with JAX: what draws random numbers while it trains, or has states of its own."""

from __future__ import annotations

import pytest

from tests.continuation import test_augmentation, test_networks, test_recipes
from tests.continuation.kit import Axis, Trained, check_change, check_going_on, train

pytestmark = pytest.mark.slow

AXES = {
    "base": Axis(),
    **{name: test_augmentation.AXES[name] for name in ("rotation", "mixup", "cutmix")},
    **{name: test_networks.AXES[name] for name in ("dropout", "vit", "vit-dropout")},
    **{name: test_recipes.AXES[name] for name in ("optimizer-nadam", "ema_momentum")},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tmp_path_factory.mktemp("trained"), AXES, backend="jax")


@pytest.mark.parametrize("name", AXES)
def test_going_on_in_a_new_process_is_never_having_stopped(name: str, trained: Trained) -> None:
    check_going_on(trained, name)


@pytest.mark.parametrize("name", [name for name in AXES if name != "base"])
def test_every_axis_changes_the_training(name: str, trained: Trained) -> None:
    check_change(trained, name, AXES[name].reference)
