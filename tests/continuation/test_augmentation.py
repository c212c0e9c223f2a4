"""Going on: augmentation."""

from __future__ import annotations

import pytest

from tests.continuation.kit import Axis, GoingOn

pytestmark = pytest.mark.long

AXES: dict[str, Axis] = {
    "base": Axis(),
    **{f"flip-{name}": Axis(knobs={"flip": name}) for name in ("horizontal", "vertical", "both")},
    "shift": Axis(knobs={"shift": 0.1}),
    "rotation": Axis(knobs={"rotation_degrees": 15.0}),
    "brightness": Axis(knobs={"brightness": 0.2}),
    "cutout": Axis(knobs={"cutout": 0.3}),
    "rand_augment": Axis(knobs={"rand_augment": 0.2}),
    "mixup": Axis(knobs={"mix": "mixup", "mix_alpha": 0.4}),
    "cutmix": Axis(knobs={"mix": "cutmix", "mix_alpha": 0.8}),
}


class TestAugmentation(GoingOn):
    axes = AXES
