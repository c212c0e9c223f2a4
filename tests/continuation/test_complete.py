"""That nothing of the recipe is forgotten."""

from __future__ import annotations

from sweeper.study.space import TRAINING, Value
from tests.continuation import test_augmentation, test_networks, test_recipes


def test_every_knob_of_the_recipe_is_an_axis() -> None:
    tried: dict[str, set[Value]] = {}
    for axis in (test_recipes.AXES | test_augmentation.AXES | test_networks.AXES).values():
        for name, value in axis.knobs.items():
            tried.setdefault(name, {TRAINING[name].default} if name in TRAINING else set()).add(value)
    elsewhere = {"weights", "trained"}  # in tests/weights, with a file of weights
    assert set(TRAINING) - set(tried) == {"learning_rate", "batch_size"} | elsewhere
    for name, knob in TRAINING.items():
        assert name in elsewhere or tried.get(name, set()) >= set(getattr(knob, "options", ())), name
