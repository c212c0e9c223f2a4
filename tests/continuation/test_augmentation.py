"""Going on: augmentation."""

from __future__ import annotations

import pytest

from tests.continuation.kit import Axis, Trained, check_change, check_going_on, train

pytestmark = pytest.mark.slow

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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tmp_path_factory.mktemp("trained"), AXES)


@pytest.mark.parametrize("name", AXES)
def test_going_on_in_a_new_process_is_never_having_stopped(name: str, trained: Trained) -> None:
    check_going_on(trained, name)


@pytest.mark.parametrize("name", [name for name in AXES if name != "base"])
def test_every_axis_changes_the_training(name: str, trained: Trained) -> None:
    check_change(trained, name, AXES[name].reference)
