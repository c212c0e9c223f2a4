"""Trains trials in a process of its own: ``python -m tests.continuation.process JOB.json``.

A job names an .npz of images, a folder for checkpoints, tasks, and a file for the answer: for each trial its rows, or why it
failed. Each task has a worker of its own, so that every program is built and compiled anew. A job may ask for JAX's loop over
batches, which a CPU does without.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sweeper.datasets import Split
from sweeper.storage import place
from sweeper.study.spec import ResourcesSpec, TrainingSpec
from sweeper.training.trial import Assignment, Worker
from tests.workers import goes_on


def main(path: str) -> None:
    """Do a job."""
    job = json.loads(Path(path).read_text())
    if job["loops"]:
        from sweeper.training.loop import on_jax

        on_jax._loops = lambda: True
    with np.load(job["data"], allow_pickle=False) as arrays:
        train, validation = (Split(arrays[f"x_{name}"], arrays[f"y_{name}"]) for name in ("train", "validation"))
    told = {}
    for task in job["tasks"]:
        worker = Worker(
            train=train,
            validation=validation,
            num_classes=int(train.labels.max()) + 1,
            training=TrainingSpec(backend=job["backend"], precision=task["precision"]),
            resources=ResourcesSpec(),
            checkpoints=place(job["checkpoints"]),
        )
        assignment = Assignment(**task["assignment"])
        told[assignment.trial] = trained(worker, assignment, task["epochs"], Path(job["checkpoints"]), job.get("copy_to"))
    Path(job["answer"]).write_text(json.dumps(told))


def trained(worker: Worker, assignment: Assignment, epochs: int, checkpoints: Path, copy_to: str | None) -> list[Any] | str:
    """The rows of a trial, or its failure; half way its checkpoints are copied, if a folder is given for that."""
    worker.start(assignment)
    rows: list[Any] = []
    for number in range(1, epochs + 1):
        report = worker.step()
        if "rows" not in report:
            return str(report)
        rows += report["rows"]
        if copy_to is not None and 2 * number == epochs:
            goes_on(worker)
            shutil.copytree(checkpoints / assignment.trial, Path(copy_to) / assignment.trial)
    return rows


if __name__ == "__main__":
    main(sys.argv[1])
