"""Trains the trials of a file's axes, and what must hold of them."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from sweeper import catalog
from sweeper.ledger.records import METRICS
from sweeper.study.space import Value
from sweeper.study.spec import ResourcesSpec, TrainingSpec
from sweeper.training import checkpoint
from sweeper.training.devices import environment
from sweeper.training.trial import Assignment
from tests.conftest import QUICKLY_COMPILED

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
    """

    knobs: dict[str, Value] = dataclasses.field(default_factory=dict)
    architecture: str = "cnn"
    precision: str = "float32"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """What the two processes came to: rows by axis, or why an axis failed, and their checkpoints."""

    whole: dict[str, Any]
    rest: dict[str, Any]
    folder: Path


def train(folder: Path, axes: Mapping[str, Axis], backend: str = "tensorflow") -> Trained:
    """Train all of it, and once more from half way."""
    write_data(folder / "data.npz")
    begin, go_on = ([task(name, axis, known) for name, axis in axes.items()] for known in (0, EPOCHS // 2))
    training = TrainingSpec.model_validate({"backend": backend})
    whole = in_a_process(folder, "whole", begin, training, copy_to=folder / "rest")
    return Trained(whole=whole, rest=in_a_process(folder, "rest", go_on, training), folder=folder)


def check_going_on(trained: Trained, name: str) -> None:
    """Going on in a new process is never having stopped."""
    whole, rest = trained.whole[name], trained.rest[name]
    assert isinstance(whole, list), whole
    assert isinstance(rest, list), rest
    assert not any(row["is_program_reused"] for row in whole + rest)
    assert {row["worker"] for row in whole}.isdisjoint(row["worker"] for row in rest)
    assert all(math.isfinite(value) for row in metrics(whole) for value in row)
    assert metrics(rest) == metrics(whole[EPOCHS // 2 :])
    ends = [checkpoint.newest(trained.folder / half / name) for half in ("whole", "rest")]
    assert [(end.attempt, end.epoch) for end in ends if end is not None] == [(1, EPOCHS), (2, EPOCHS)]
    first, second = (end.model + end.optimizer for end in ends if end is not None)
    assert [array.tobytes() for array in first] == [array.tobytes() for array in second]


class GoingOn:
    """The tests of a file: a class of its own gives them its axes."""

    axes: ClassVar[Mapping[str, Axis]]
    backend: ClassVar[str] = "tensorflow"

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Each axis is a test; those of the base's architecture also one of what they change."""
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", self.axes)
        if "changed" in metafunc.fixturenames:
            same = self.axes["base"].architecture  # any other trains differently whatever its knobs do
            metafunc.parametrize(
                "changed", [name for name, axis in self.axes.items() if name != "base" and axis.architecture == same]
            )

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, tmp_path_factory: pytest.TempPathFactory) -> Trained:
        return train(tmp_path_factory.mktemp("trained"), cls.axes, cls.backend)

    def test_going_on_in_a_new_process_is_never_having_stopped(self, name: str, trained: Trained) -> None:
        check_going_on(trained, name)

    def test_every_axis_changes_the_training(self, changed: str, trained: Trained) -> None:
        """Otherwise going on with it would prove nothing."""
        assert metrics(trained.whole[changed])[EPOCHS // 2 :] != metrics(trained.whole["base"])[EPOCHS // 2 :]


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
    folder: Path,
    name: str,
    tasks: list[dict[str, Any]],
    training: TrainingSpec,
    copy_to: Path | None = None,
    loops: bool = False,
) -> dict[str, Any]:
    """What a new process, set up as a worker's, answers: rows by trial."""
    job = {
        "data": str(folder / "data.npz"),
        "checkpoints": str(folder / name),
        "tasks": tasks,
        "backend": training.backend,
        "copy_to": copy_to and str(copy_to),
        "loops": loops,
    }
    answer = folder / f"{name}-answer.json"
    (folder / f"{name}.json").write_text(json.dumps({**job, "answer": str(answer)}))
    variables = environment(training, ResourcesSpec(), str(folder / "keras")) | QUICKLY_COMPILED
    done = subprocess.run(
        [sys.executable, "-m", "tests.continuation.process", str(folder / f"{name}.json")],
        cwd=Path(__file__).parents[2],
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
