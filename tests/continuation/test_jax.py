"""Going on with JAX: what draws random numbers while it trains, or has states of its own."""

from __future__ import annotations

import pytest

from tests.continuation import test_augmentation, test_networks, test_recipes
from tests.continuation.kit import Axis, GoingOn

pytestmark = pytest.mark.long

AXES: dict[str, Axis] = {
    "base": Axis(),
    **{name: test_augmentation.AXES[name] for name in ("rotation", "mixup", "cutmix")},
    **{name: test_networks.AXES[name] for name in ("dropout", "vit", "vit-dropout")},
    **{name: test_recipes.AXES[name] for name in ("optimizer-nadam", "ema_momentum")},
}


class TestJax(GoingOn):
    axes = AXES
    backend = "jax"
