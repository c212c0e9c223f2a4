"""Workers for measuring the machinery: one that trains nothing, and one that trains and keeps a log of it.

`StubWorker` answers what its configuration, seed and epoch say, so every run of a study gives the same rows, whatever happens to
its processes. It writes real checkpoints and goes on from them. `LoggedWorker` is the real one. Both are given to
`sweeper.driver.launch` as ``functools.partial(StubWorker, options=Options(...))``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np

from sweeper.ledger.lock import Claim
from sweeper.training import checkpoint
from sweeper.training.checkpoint import Checkpoint
from sweeper.training.failures import failure
from sweeper.training.trial import Assignment, Worker

FAILING = 0.04
"""Share of configurations that raise in their second epoch."""

DIVERGING = 0.04
"""Share of configurations whose loss is NaN in their third epoch."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What a worker is to do beside its trials.

    Args:
        run: Number of the driver's start; kept in the log.
        log: File that gets one line for every epoch trained; None for none.
        epoch_s: Seconds that the stub takes for an epoch.
        has_checkpoints: Whether the stub writes one after each epoch.
    """

    run: int = 0
    log: Path | None = None
    epoch_s: float = 0.05
    has_checkpoints: bool = True

    def write(self, assignment: Assignment, epoch: int) -> None:
        """Keep that an epoch was trained, before anything else knows of it."""
        if self.log is None:
            return
        facts = {"trial": assignment.trial, "attempt": assignment.attempt, "epoch": epoch}
        line = json.dumps({**facts, "run": self.run, "pid": os.getpid(), "time": time.time()}) + "\n"
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def make_importable() -> None:
    """Let the workers of a Ray that starts after this call find this file."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))


class StubWorker:
    """A `sweeper.training.trial.TrialWorker` that sleeps instead of training.

    Args:
        options: What it is to do.
        checkpoints: Folder of the study's checkpoints.
        claim: What tells whether the driver still holds the study.
        context: What else a worker is given; not used.
    """

    def __init__(self, *, options: Options, checkpoints: Path, claim: Claim, **context: Any):
        self._options = options
        self._checkpoints = checkpoints
        self._claim = claim

    def start(self, assignment: Assignment) -> None:
        """As `Worker.start`."""
        self._assignment = assignment
        self._folder = self._checkpoints / assignment.trial
        self._failure: dict[str, Any] | None = None
        self._rows: list[dict[str, Any]] = []
        self._told = assignment.known_epochs
        if not self._options.has_checkpoints:
            return
        try:
            stored = checkpoint.newest(self._folder, before_attempt=assignment.attempt)
            if stored is not None:
                if not np.array_equal(stored.model[0], _weights(assignment, stored.epoch)):
                    raise ValueError(f"the checkpoint of epoch {stored.epoch} holds other weights than were written")
                self._rows = list(stored.rows)
        except Exception as error:
            self._failure = failure(error)

    def step(self) -> dict[str, Any]:
        """As `Worker.step`."""
        if self._failure is None:
            found = [row for row in self._rows if row["epoch"] > self._told]
            if found:
                self._told = found[-1]["epoch"]
                return {"rows": found}
            try:
                row = self._train_epoch(len(self._rows) + 1)
                return {"rows": [row]} if row else {"fault": f"another driver has taken over the study of {self._folder}"}
            except OSError as error:
                return {"fault": f"{self._folder} cannot be written: {error}"}
            except Exception as error:
                self._failure = failure(error)
        return {"failure": self._failure}

    def _train_epoch(self, epoch: int) -> dict[str, Any] | None:
        """The row of an epoch; None when the driver has lost the study."""
        assignment = self._assignment
        if self._options.epoch_s:
            time.sleep(self._options.epoch_s)
        row = {
            "epoch": epoch,
            "attempt": assignment.attempt,
            **metrics(dict(assignment.configuration), assignment.seed, epoch),
            "train_s": self._options.epoch_s,
            "device": "none",
            "worker": f"{socket.gethostname()}:{os.getpid()}",
        }
        self._options.write(assignment, epoch)
        self._rows.append(row)
        if self._options.has_checkpoints:
            if not self._claim.holds:
                return None
            written = Checkpoint(
                epoch=epoch,
                attempt=assignment.attempt,
                rows=tuple(self._rows),
                model=[_weights(assignment, epoch)],
                optimizer=[np.array(epoch)],
            )
            checkpoint.write(self._folder, written)
        self._told = epoch
        return row


class LoggedWorker(Worker):
    """The real one, with a log of the epochs it trained."""

    def __init__(self, *, options: Options, **context: Any):
        super().__init__(**context)
        self._options = options

    def _state(self, epoch: int) -> Checkpoint:
        self._options.write(self._assignment, epoch)
        return super()._state(epoch)


def metrics(configuration: dict[str, Any], seed: int, epoch: int) -> dict[str, float]:
    """The metrics of an epoch, by configuration, seed and epoch alone: curves that rise, cross a little, fail or diverge.

    Raises:
        RuntimeError: The configuration is one of those that fail, and this is its second epoch.
    """
    fate = _draw(configuration, seed)
    if fate < FAILING and epoch == 2:
        raise RuntimeError("this configuration fails in its second epoch")
    loss = 2.3 * math.exp(-epoch * (0.1 + _draw(configuration))) + 0.05 * _draw(configuration, seed, epoch)
    if FAILING <= fate < FAILING + DIVERGING and epoch >= 3:
        loss = math.nan
    accuracy = math.exp(-loss)
    return {
        "train_loss": loss,
        "train_accuracy": accuracy,
        "val_loss": 1.1 * loss,
        "val_accuracy": 0.95 * accuracy,
        "learning_rate": 0.001,
    }


def _draw(*of: Any) -> float:
    """A number from 0 to 1 that depends on what it is drawn for."""
    digest = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def _weights(assignment: Assignment, epoch: int) -> Any:
    return np.random.default_rng([assignment.seed, epoch]).standard_normal(64)
