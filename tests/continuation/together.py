"""Trains trials together and alone, on JAX, in a process of its own: ``python -m tests.continuation.together JOB.json``.

A job names an .npz of images, a folder for checkpoints, configurations, and a file for the answer. Of RandAugment's operations,
each of which JAX compiles twice over, three are left to choose from.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sweeper.datasets import Split
from sweeper.storage import Place, place
from sweeper.study.spec import ResourcesSpec, TrainingSpec
from sweeper.training import checkpoint, devices
from sweeper.training.loop import base, on_jax
from sweeper.training.loop.several import SeveralLoop
from sweeper.training.together import Together
from sweeper.training.trial import Assignment, Worker
from tests.workers import goes_on

EPOCHS = 3


def main(path: str) -> None:
    """Do a job: each configuration with three seeds."""
    job = json.loads(Path(path).read_text())
    devices.load()  # without TensorFlow
    import keras

    keras.layers.RandAugment._AUGMENT_LAYERS = ["random_translation", "random_contrast", "solarization"]
    with np.load(job["data"], allow_pickle=False) as arrays:
        data = {name: Split(arrays[f"x_{name}"], arrays[f"y_{name}"]) for name in ("train", "validation")}
    folder = Path(job["checkpoints"])

    def new(name: str) -> Worker:
        return Worker(
            **data,
            num_classes=int(data["train"].labels.max()) + 1,
            training=TrainingSpec(backend="jax", precision=job["precision"]),
            resources=ResourcesSpec(),
            checkpoints=place(folder / name),
        )

    told: dict[str, Any] = {}
    for name, architecture, configuration in job["configurations"]:
        trials = [assignment(seed, architecture, configuration) for seed in (1, 2, 3)]
        worker = new(name)
        alone = {own.trial: run(worker, own) for own in trials}
        worker = new(f"{name}-together")
        told[name] = {"alone": alone, "together": run_together(worker, trials)}
        if job["all_ways"]:
            worker.start(trials[0])
            [loop] = [kept.loop for kept, _ in worker._programs._programs.values() if isinstance(kept.loop, SeveralLoop)]
            told[name]["are_states_kept"] = loop._device is not None or loop._host is not None
            told[name]["again"] = run_together(worker, [dataclasses.replace(own, attempt=2, known_epochs=1) for own in trials])
            told[name]["mixed"] = mixed(worker, place(folder / f"{name}-together"), trials)
            base.LARGEST_RESIDENT, before = 150 * data["train"].images[:1].nbytes, base.LARGEST_RESIDENT
            told[name]["portions"] = run_together(new(f"{name}-portions"), trials)
            base.LARGEST_RESIDENT, on_jax._loops = before, lambda: True
            told[name]["looped"] = run_together(new(f"{name}-looped"), trials)
    Path(job["answer"]).write_text(json.dumps(told))


def assignment(seed: int, architecture: str, configuration: dict[str, Any]) -> Assignment:
    return Assignment(
        trial=f"t-s{seed}", arm="arm", architecture=architecture, attempt=1, configuration=configuration, seed=seed,
        max_epochs=EPOCHS, known_epochs=0,
    )  # fmt: skip


def run(worker: Worker, own: Assignment) -> list[dict[str, Any]]:
    """The rows of a trial alone."""
    worker.start(own)
    rows = []
    while len(rows) < EPOCHS - own.known_epochs:
        report = worker.step()
        assert "rows" in report, report
        rows += report["rows"]
    return rows


def run_together(worker: Worker, trials: list[Assignment]) -> dict[str, list[dict[str, Any]]]:
    """The rows of trials together, each followed to its end."""
    return follow(Together(worker, trials), trials)


def follow(group: Together, trials: list[Assignment]) -> dict[str, list[dict[str, Any]]]:
    """As the driver does: who is complete or diverged is over."""
    left = {own.trial: own for own in trials}
    rows: dict[str, list[dict[str, Any]]] = {trial: [] for trial in left}
    while left:
        report = group.step()
        assert set(report["members"]) == set(left), report
        for trial, own in report["members"].items():
            rows[trial] += own["rows"]
            if rows[trial] and (rows[trial][-1]["epoch"] == EPOCHS or not np.isfinite(rows[trial][-1]["train_loss"])):
                del left[trial]
        group.keep([*left])
    return rows


def mixed(worker: Worker, checkpoints: Place, trials: list[Assignment]) -> dict[str, Any]:
    """One goes on after its first epoch, one diverges, one begins; afterwards the first goes on alone after its second epoch."""
    went_on, diverging, new = (dataclasses.replace(own, trial=f"{own.trial}-mixed") for own in trials)
    worker.start(went_on)
    worker.step()
    goes_on(worker)
    worker.start(diverging)
    worker.step()
    state = worker._state(1)
    checkpoint.write(
        checkpoints / diverging.trial, dataclasses.replace(state, model=[np.full_like(one, np.nan) for one in state.model])
    )
    went_on, diverging = (dataclasses.replace(own, attempt=2, known_epochs=1) for own in (went_on, diverging))
    members = [went_on, diverging, new]
    rows = follow(Together(worker, members), members)
    kept = [path.name for path in checkpoint.stored(checkpoints / diverging.trial)]
    (checkpoints / went_on.trial / "attempt-2" / f"epoch-{EPOCHS:05d}.npz").remove()
    alone = run(worker, dataclasses.replace(went_on, attempt=3, known_epochs=2))
    return {"rows": rows, "kept": kept, "alone": alone}


if __name__ == "__main__":
    main(sys.argv[1])
