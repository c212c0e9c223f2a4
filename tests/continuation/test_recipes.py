"""Going on: optimizers, schedules, regularisation, precision."""

from __future__ import annotations

import pytest

from tests.continuation.kit import Axis, GoingOn

pytestmark = pytest.mark.long

AXES: dict[str, Axis] = {
    "base": Axis(),
    **{f"optimizer-{name}": Axis(knobs={"optimizer": name}) for name in ("nadam", "rmsprop")},
    "optimizer-adamw": Axis(knobs={"optimizer": "adamw", "weight_decay": 0.05}),  # without any decay it is adam
    "optimizer-sgd": Axis(knobs={"optimizer": "sgd", "momentum": 0.9}),
    **{f"schedule-{name}": Axis(knobs={"schedule": name}) for name in ("cosine", "step", "one_cycle")},
    "schedule-warmup": Axis(knobs={"warmup_epochs": 3}),
    "weight_decay": Axis(knobs={"weight_decay": 0.05}),
    "label_smoothing": Axis(knobs={"label_smoothing": 0.1}),
    "clip_norm": Axis(knobs={"clip_norm": 0.1}),
    "class_weights": Axis(knobs={"class_weights": "balanced"}),
    "ema_momentum": Axis(knobs={"ema_momentum": 0.9}),
    "scaling": Axis(knobs={"scaling": "unit"}),
    "mixed_bfloat16": Axis(precision="mixed_bfloat16"),
    "mixed_float16": Axis(precision="mixed_float16"),
}


class TestRecipes(GoingOn):
    axes = AXES
