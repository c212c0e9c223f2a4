"""A study of one trial, recorded without Ray, and changes of what was recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sweeper.driver import inputs, provenance
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind
from sweeper.search.study import Search
from sweeper.study.spec import StudySpec
from sweeper.training.trial import Assignment, Worker
from tests.workers import goes_on

TINY = {
    "num_blocks": 1, "width": 4, "convolutions_per_block": 1, "dense_units": 8, "batch_size": 32, "attention": "none",
    "head": "flatten", "kernel_size": 3, "batch_norm": True, "dropout": 0.2, "dense_dropout": 0.1, "optimizer": "adam",
    "label_smoothing": 0.0, "mix": "mixup", "learning_rate": 0.01, "schedule": "cosine",
}  # fmt: skip

EPOCHS = 4


def write_data(path: Path, num_train: int = 96) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, labels = np.round(digits.images * 255 / 16).astype(np.uint8), digits.target
    np.savez(
        path, x_train=images[:num_train], y_train=labels[:num_train], x_validation=images[100:160], y_validation=labels[100:160]
    )


def study(data: Path, **fixed: Any) -> StudySpec:
    """A study of tiny networks; not checked against the search space, so that faults can be provoked."""
    return StudySpec.model_validate(
        {
            "name": "tiny",
            "dataset": {"name": "arrays", "path": str(data)},
            "arms": {"cnn": {"architecture": "cnn", "space": "cnn", "fixed": {**TINY, **fixed}}},
            "budget": {"trials": 3, "max_epochs": EPOCHS},
            "search": {"sampler": "random"},
            "stopping": {"rule": "none"},
        }
    )


def worker_of(spec: StudySpec, checkpoints: Path) -> Worker:
    dataset = inputs.load_dataset(spec)
    return Worker(
        train=dataset.train,
        validation=dataset.validation,
        num_classes=dataset.num_classes,
        training=spec.training,
        resources=spec.resources,
        checkpoints=checkpoints,
    )


def record(spec: StudySpec, folder: Path, attempts: tuple[int, ...] = (EPOCHS,), break_at: int | None = None) -> StudyFolder:
    """A study with one trial, driven as Ray's workers and the driver do it: so many epochs in each attempt, each by a new worker.

    Args:
        spec: The study.
        folder: The study's.
        attempts: Epochs of each attempt; before the next one a driver starts anew.
        break_at: Epoch in which training raises.
    """
    stored = StudyFolder(folder)
    stored.create(spec.to_yaml())
    constants = provenance.constants_of(spec, inputs.load_dataset(spec))
    for count in attempts:
        with stored.drive({}, study_id=spec.study_id) as ledger:
            search = Search(spec).fold(stored.read())

            def tell(event: Event, search: Search = search, append: Callable[[Event], Event] = ledger.append) -> None:
                search.apply(event)
                append(event.replace(**constants))

            suggested = search.propose()
            assert suggested is not None
            tell(suggested)
            trial = search.trials["cnn-00000"]
            worker = worker_of(spec, folder / "checkpoints")
            worker.start(
                Assignment(
                    trial=trial.trial,
                    arm=trial.arm,
                    architecture="cnn",
                    attempt=trial.attempt,
                    configuration=trial.configuration,
                    seed=trial.seed,
                    max_epochs=trial.max_epochs,
                    known_epochs=trial.epoch,
                )
            )
            facts = {"trial": trial.trial, "arm": trial.arm, "architecture": "cnn", "number": trial.number, "seed": trial.seed}
            for _ in range(count):
                report = broken() if trial.epoch + 1 == break_at else worker.step()
                if "failure" in report:
                    ended = Event(kind=Kind.ATTEMPT_ENDED, attempt=trial.attempt, **facts, **report["failure"])
                    tell(search.judge(ended))
                    break
                for row in report["rows"]:
                    tell(search.judge(Event(kind=Kind.EPOCH, **facts, **row)))
            else:
                goes_on(worker)
    return stored


def broken() -> dict[str, Any]:
    return {"failure": {"reason": "exception", "detail": "Traceback ...\n  line 3\nValueError: broken"}}


def tamper(stored: StudyFolder, change: Callable[[Event], Event]) -> None:
    """Write the ledger anew with some events changed."""
    events = [event for event in stored.read() if event.kind is not Kind.DRIVER_STARTED]
    stored.ledger_folder.remove_tree()
    with stored.drive() as ledger:
        for event in events:
            ledger.append(change(event))
