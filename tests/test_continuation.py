"""Continuing a trial from its checkpoint in a new process is bit for bit the uninterrupted training, one axis of it at a time.

Around a base each axis changes one thing: optimizer, schedule, augmentation, regularisation, precision, architecture. One process
trains all of a group's trials in one go and keeps their checkpoints of half way; another one goes on from those.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from sweeper import catalog
from sweeper.records import METRICS
from sweeper.space import TRAINING, Value
from sweeper.spec import ResourcesSpec, TrainingSpec
from sweeper.training import checkpoint
from sweeper.training.devices import environment
from sweeper.training.trial import Assignment

pytestmark = pytest.mark.slow

EPOCHS = 4
CLASSES = 3
SIDE = 16

BASE: dict[str, Value] = {"batch_size": 32, "learning_rate": 0.003}

SIZES: dict[str, dict[str, Value]] = {"cnn": {"num_blocks": 1}, "efficientnet": {"depth_coefficient": 0.26}}
"""Where the smallest twin is larger than need be, or so small that it has no shortcut, and so no stochastic depth."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """One thing that is not as in the base.

    Args:
        knobs: Knobs of the recipe or the architecture that differ from the base.
        architecture: Its smallest twin is trained.
        precision: As in a study file.
        reference: The axis from which this one differs in nothing else.
    """

    knobs: dict[str, Value] = dataclasses.field(default_factory=dict)
    architecture: str = "cnn"
    precision: str = "float32"
    reference: str = "base"


RECIPES: dict[str, Axis] = {
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
    "mixed_bfloat16": Axis(precision="mixed_bfloat16"),
    "mixed_float16": Axis(precision="mixed_float16"),
}

IMAGES: dict[str, Axis] = {
    "base": Axis(),
    **{f"flip-{name}": Axis(knobs={"flip": name}) for name in ("horizontal", "vertical", "both")},
    "shift": Axis(knobs={"shift": 0.1}),
    "rotation": Axis(knobs={"rotation_degrees": 15.0}),
    "brightness": Axis(knobs={"brightness": 0.2}),
    "cutout": Axis(knobs={"cutout": 0.3}),
    "rand_augment": Axis(knobs={"rand_augment": 0.2}),
    "mixup": Axis(knobs={"mix": "mixup", "mix_alpha": 0.4}),
    "cutmix": Axis(knobs={"mix": "cutmix", "mix_alpha": 0.8}),
    "dropout": Axis(knobs={"dropout": 0.2}),
    "dense_dropout": Axis(knobs={"dense_dropout": 0.3}),
    "without-batch_norm": Axis(knobs={"batch_norm": False}),
    **{name: Axis(architecture=name) for name in catalog.names("architecture") if name != "cnn"},
    "stochastic_depth": Axis(architecture="efficientnet", knobs={"stochastic_depth_rate": 0.5}, reference="efficientnet"),
    "auxiliary_heads": Axis(architecture="googlenet", knobs={"auxiliary_heads": True}, reference="googlenet"),
    "vit-dropout": Axis(architecture="vit", knobs={"dropout": 0.2}, reference="vit"),
    "swin-dropout": Axis(architecture="swin", knobs={"dropout": 0.2, "stochastic_depth_rate": 0.5}, reference="swin"),
}

JAX: dict[str, Axis] = {
    "base": Axis(),
    **{name: IMAGES[name] for name in ("rotation", "mixup", "cutmix", "dropout", "vit", "vit-dropout")},
    **{name: RECIPES[name] for name in ("optimizer-nadam", "ema_momentum")},
}
"""What draws random numbers while it trains, or has states of its own, once more on the other backend."""

GROUPS = {"recipes": RECIPES, "images": IMAGES, "jax": JAX}
"""Each is trained by two processes, one after the other, so that two groups keep two cores busy."""

BACKENDS: dict[str, Literal["jax"]] = {"jax": "jax"}
"""Of a group, where it is not TensorFlow."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """What the two processes of a group came to: rows by axis, or why an axis failed, and their checkpoints."""

    whole: dict[str, Any]
    rest: dict[str, Any]
    folder: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """Gives what a group came to; it is trained when it is first asked for."""

    @functools.cache
    def trained(group: str) -> Trained:
        axes, folder = GROUPS[group], tmp_path_factory.mktemp(group)
        write_data(folder / "data.npz")
        begin, go_on = ([task(name, axis, known) for name, axis in axes.items()] for known in (0, EPOCHS // 2))
        training = TrainingSpec(backend=BACKENDS.get(group, "tensorflow"))
        whole = in_a_process(folder, "whole", begin, training, copy_to=folder / "rest")
        return Trained(whole=whole, rest=in_a_process(folder, "rest", go_on, training), folder=folder)

    return trained


def write_data(path: Path) -> None:
    """Small pictures in colour, the classes of unequal size; the last batch is a short one."""
    draw = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for name, count in (("train", 72), ("validation", 40)):
        labels = np.arange(count) ** 2 % 7 % CLASSES
        blocks = draw.integers(0, 200, (count, 4, 4, 3)) + 14 * labels[:, None, None, None]
        arrays[f"x_{name}"] = blocks.repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2).astype(np.uint8)
        arrays[f"y_{name}"] = labels
    np.savez(path, **arrays)


def task(name: str, axis: Axis, known: int) -> dict[str, Any]:
    """The trial of an axis, from its beginning or from where `known` epochs end."""
    tiny = catalog.load("architecture", axis.architecture).tiny
    assignment = Assignment(
        trial=name,
        arm="arm",
        architecture=axis.architecture,
        attempt=2 if known else 1,
        configuration={**tiny, **SIZES.get(axis.architecture, {}), **BASE, **axis.knobs},
        seed=3,
        max_epochs=EPOCHS,
        known_epochs=known,
    )
    return {"assignment": dataclasses.asdict(assignment), "precision": axis.precision, "epochs": EPOCHS - known}


def in_a_process(
    folder: Path, name: str, tasks: list[dict[str, Any]], training: TrainingSpec, copy_to: Path | None = None
) -> dict[str, Any]:
    """What a new process, set up as a worker's, answers: rows by trial."""
    job = {
        "data": str(folder / "data.npz"),
        "checkpoints": str(folder / name),
        "tasks": tasks,
        "backend": training.backend,
        "copy_to": copy_to and str(copy_to),
    }
    answer = folder / f"{name}-answer.json"
    (folder / f"{name}.json").write_text(json.dumps({**job, "answer": str(answer)}))
    variables = environment(training, ResourcesSpec(), str(folder / "keras"))
    done = subprocess.run(
        [sys.executable, "-m", "tests.continuation", str(folder / f"{name}.json")],
        cwd=Path(__file__).parents[1],
        env={key: value for key, value in os.environ.items() if not key.startswith("TF_NUM_")} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(answer.read_text()))


def metrics(rows: list[dict[str, Any]]) -> list[list[Any]]:
    return [[row["epoch"], row["learning_rate"], *(row[name] for name in METRICS)] for row in rows]


def cases(with_base: bool) -> list[Any]:
    return [
        pytest.param(group, name, id=f"{group}-{name}" if group in BACKENDS else name, marks=pytest.mark.xdist_group(group))
        for group, axes in GROUPS.items()
        for name in axes
        if with_base or name != "base"
    ]


@pytest.mark.parametrize(("group", "name"), cases(with_base=True))
def test_going_on_in_a_new_process_is_never_having_stopped(group: str, name: str, trained: Callable[[str], Trained]) -> None:
    found = trained(group)
    whole, rest = found.whole[name], found.rest[name]
    assert isinstance(whole, list), whole
    assert isinstance(rest, list), rest
    assert not any(row["is_program_reused"] for row in whole + rest)
    assert {row["worker"] for row in whole}.isdisjoint(row["worker"] for row in rest)
    assert all(math.isfinite(value) for row in metrics(whole) for value in row)
    assert metrics(rest) == metrics(whole[EPOCHS // 2 :])
    ends = [checkpoint.newest(found.folder / half / name) for half in ("whole", "rest")]
    assert [(end.attempt, end.epoch) for end in ends if end is not None] == [(1, EPOCHS), (2, EPOCHS)]
    first, second = (end.model + end.optimizer for end in ends if end is not None)
    assert [array.tobytes() for array in first] == [array.tobytes() for array in second]


@pytest.mark.parametrize(("group", "name"), cases(with_base=False))
def test_every_axis_changes_the_training(group: str, name: str, trained: Callable[[str], Trained]) -> None:
    whole = trained(group).whole
    assert metrics(whole[name])[EPOCHS // 2 :] != metrics(whole[GROUPS[group][name].reference])[EPOCHS // 2 :]


def test_every_knob_of_the_recipe_is_an_axis() -> None:
    tried: dict[str, set[Value]] = {}
    for axis in (RECIPES | IMAGES).values():
        for name, value in axis.knobs.items():
            tried.setdefault(name, {TRAINING[name].default} if name in TRAINING else set()).add(value)
    elsewhere = {"weights", "trained"}  # in tests/transfer, with a file of weights
    assert set(TRAINING) - set(tried) == {"learning_rate", "batch_size"} | elsewhere
    for name, knob in TRAINING.items():
        assert name in elsewhere or tried.get(name, set()) >= set(getattr(knob, "options", ())), name
