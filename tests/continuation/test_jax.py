"""Going on with JAX: what draws random numbers while it trains, or has states of its own."""

from __future__ import annotations

import numpy as np
import pytest

from sweeper.study.spec import TrainingSpec
from tests.continuation import test_augmentation, test_networks, test_recipes
from tests.continuation.kit import Axis, GoingOn, Trained, in_a_process, metrics, task

pytestmark = pytest.mark.long

AXES: dict[str, Axis] = {
    "base": Axis(),
    **{name: test_augmentation.AXES[name] for name in ("rotation", "cutout", "mixup", "cutmix")},
    **{name: test_networks.AXES[name] for name in ("dropout", "vit")},
    **{name: test_recipes.AXES[name] for name in ("optimizer-nadam", "ema_momentum")},
}


class TestJax(GoingOn):
    axes = AXES
    backend = "jax"

    def test_a_loop_over_batches_gives_what_its_steps_give_one_by_one(self, trained: Trained) -> None:
        """On a CPU steps are quicker, elsewhere the loop; rounding may differ, as the compiler puts them together otherwise."""
        names = ("base", "vit", "ema_momentum")
        tasks = [task(name, AXES[name], known=0) for name in names]
        looped = in_a_process(trained.folder, "looped", tasks, TrainingSpec(backend="jax"), loops=True)
        for name in names:
            np.testing.assert_allclose(metrics(looped[name]), metrics(trained.whole[name]), rtol=1e-3, err_msg=name)
