"""A study of tiny networks on a few digits, for tests of the driver, and what must hold of every such study."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Kind, Status
from sweeper.ledger.tables import tables
from sweeper.study.spec import StudySpec

TINY = {
    "num_blocks": 1, "width": 2, "convolutions_per_block": 1, "dense_units": 4, "batch_size": 32, "attention": "none",
    "head": "flatten", "kernel_size": 3, "batch_norm": True, "dropout": 0.0, "dense_dropout": 0.1, "optimizer": "adam",
    "label_smoothing": 0.0,
}  # fmt: skip
"""One structure: what is left to search (learning rate and schedule) needs no other program."""


def study(
    data: Path, name: str = "tiny", trials: int = 4, epochs: int = 3, fixed: dict[str, Any] | None = None, **parts: Any
) -> StudySpec:
    """A study of tiny networks; not checked against the search space, so that faults can be provoked."""
    return StudySpec.model_validate(
        {
            "name": name,
            "dataset": {"name": "arrays", "path": str(data)},
            "arms": {"cnn": {"architecture": "cnn", "space": "cnn", "fixed": {**TINY, **(fixed or {})}}},
            "budget": {"trials": trials, "max_epochs": epochs},
            "search": {"sampler": "random"},
            "stopping": {"rule": "none"},
            **parts,
        }
    )


def rows_of(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    trials, epochs = tables(StudyFolder(folder).read())
    return trials.to_pylist(), epochs.to_pylist()


def check_whole(folder: Path, spec: StudySpec) -> None:
    """Every trial has its epochs from 1 without gap or repeat, in the tables and in the ledger."""
    trials, epochs = rows_of(folder)
    assert len(trials) == spec.budget.trials
    for trial in trials:
        own = [row["epoch"] for row in epochs if row["trial"] == trial["trial"]]
        assert own == list(range(1, len(own) + 1))
        if trial["status"] == Status.COMPLETED:
            assert len(own) == spec.budget.max_epochs
    keys = Counter((event.trial, event.attempt, event.epoch) for event in StudyFolder(folder).read() if event.kind is Kind.EPOCH)
    assert max(keys.values()) == 1


def wait_for_epochs(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    """Wait until the study a process drives has so many epochs."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / "ledger").is_dir() and sum(event.kind is Kind.EPOCH for event in StudyFolder(folder).read()) >= count:
            return
        time.sleep(0.2)
    raise AssertionError(f"no {count} epochs after two minutes: {process.communicate(timeout=30)[0]}")
