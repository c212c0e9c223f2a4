"""The worker's side of a trial: the only place that fits and evaluates a model.

A worker never raises for what happens inside a trial: it reports rows, or a failure and its reason. A problem of the worker
itself, on which every trial would fail, is a fault, not a failure of the trial. Ray sees only the death of the process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import socket
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sweeper.datasets import Split
from sweeper.errors import KnobError, StorageError
from sweeper.ledger.lock import Claim
from sweeper.ledger.records import Reason
from sweeper.storage import Place, explain
from sweeper.streams import generator, seed_of
from sweeper.study.space import Value
from sweeper.study.spec import ResourcesSpec, TrainingSpec
from sweeper.training import checkpoint, devices
from sweeper.training.checkpoint import Checkpoint
from sweeper.training.recipe import Recipe
from sweeper.training.weights.pretrained import Pretrained, wants_weights

if TYPE_CHECKING:
    from sweeper.training.program import Programs

LARGEST_DETAIL = 4000
"""Characters of a traceback kept in a row: its end, which names the error."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Assignment:
    """One attempt at a trial, as the driver hands it to a worker.

    Args:
        trial: Its id.
        arm: Its arm.
        architecture: Name in the catalog.
        attempt: From 1.
        configuration: All knobs.
        seed: Everything random follows from it: initial weights with the arm, order and augmentation of the data without.
        max_epochs: Epochs of a complete trial.
        known_epochs: Epochs whose rows the driver has already.
    """

    trial: str
    arm: str
    architecture: str
    attempt: int
    configuration: Mapping[str, Value]
    seed: int
    max_epochs: int
    known_epochs: int


class _SupersededError(Exception):
    """This worker's driver has lost the study; the driver that holds it now trains these trials."""


class TrialWorker(Protocol):
    """What a worker process runs: one attempt after another, each an epoch at a time.

    `Worker`, which trains, is the default. Another one, given to `sweeper.driver.launch`, runs the same machinery without
    training. One is made in every worker process, with the fields of `sweeper.driver.tune.Context` by name. Making it may
    raise, because then no trial could run on it. The two methods never raise for what happens inside a trial.
    """

    def start(self, assignment: Assignment) -> None:
        """Prepare an attempt, from the newest checkpoint if there is one; the attempt before it is over."""

    def step(self) -> dict[str, Any]:
        """The next report of the attempt: ``rows``, a ``failure`` or a ``fault``, as `Worker.step` gives them."""


class Worker:
    """What a worker process keeps from trial to trial: data, framework, compiled programs.

    `device` names what it computes on. `versions` is the column of that name; for a trial that began with weights it names their
    file too.

    Args:
        train: Training split.
        validation: Validation split.
        num_classes: Number of classes.
        training: Backend, precision, determinism.
        resources: CPUs and part of a GPU.
        checkpoints: Folder of the study's checkpoints.
        checkpoint_every_s: Least time between two checkpoints, in seconds; 0 for one after every epoch. The last epoch has one.
        claim: Says whether the driver still holds the study; None where there is no driver.
        pretrained: The weights that trials may begin with, by file; see `sweeper.driver.weights`.
    """

    def __init__(
        self,
        *,
        train: Split,
        validation: Split,
        num_classes: int,
        training: TrainingSpec,
        resources: ResourcesSpec,
        checkpoints: Place,
        checkpoint_every_s: float = 0.0,
        claim: Claim | None = None,
        pretrained: Mapping[str, Pretrained] | None = None,
    ):
        started = time.perf_counter()
        self.device = devices.configure(training, resources)
        from sweeper.training.program import Programs, Task

        self._train, self._validation, self._checkpoints = train, validation, checkpoints
        self._checkpoint_every_s, self._claim = checkpoint_every_s, claim
        self._train_targets = _one_hot(train.labels, num_classes)
        self._validation_targets = _one_hot(validation.labels, num_classes)
        mean, deviation = channel_statistics(train.images)
        self._programs = Programs(
            Task(
                input_shape=train.images.shape[1:],
                num_classes=num_classes,
                image_dtype=str(train.images.dtype),
                mean=mean,
                deviation=deviation,
                class_counts=tuple(np.bincount(train.labels, minlength=num_classes).tolist()),
                num_validation=len(validation),
            ),
            pretrained,
        )
        self.versions = json.dumps(_versions(training.backend))
        self._import_s: float | None = time.perf_counter() - started
        self._build_s: float | None = None
        self._end: dict[str, Any] | None = None
        self._idle_since = time.perf_counter()

    def start(self, assignment: Assignment) -> None:
        """Prepare an attempt: build or reuse a program, go on from the newest checkpoint; `step` reports a failure."""
        started = time.perf_counter()
        self._wait_s = started - self._idle_since
        self._assignment = assignment
        self._recipe = Recipe.of(assignment.configuration)
        self._rows: list[dict[str, Any]] = []
        self._reported = 0
        self._end = None
        self._checkpointed = started
        try:
            self._prepare()
        except StorageError as error:
            self._end = {"fault": str(error)}
        except Exception as error:
            self._end = {"failure": failure(error)}
        self._build_s = time.perf_counter() - started
        self._idle_since = time.perf_counter()

    def step(self) -> dict[str, Any]:
        """The next report.

        Returns:
            ``{"rows": [...]}`` with one epoch, or at first those found in a checkpoint; ``{"failure": ...}`` of the trial; or
            ``{"fault": text}`` when a checkpoint cannot be written or fetched, or the driver has lost the study.
        """
        if self._end is not None:
            return self._end
        found = [row for row in self._rows if row["epoch"] > max(self._assignment.known_epochs, self._reported)]
        if found:
            self._reported = found[-1]["epoch"]
            return {"rows": found}
        self._wait_s += time.perf_counter() - self._idle_since
        try:
            row = self._train_epoch(len(self._rows) + 1)
        except OSError as error:
            self._end = {"fault": explain(error, self._folder)}
        except _SupersededError:
            self._end = {"fault": f"another driver has taken over the study of {self._folder}"}
        except Exception as error:
            self._end = {"failure": failure(error)}
        finally:
            self._idle_since = time.perf_counter()
        if self._end is not None:
            return self._end
        self._reported = row["epoch"]
        return {"rows": [row]}

    @property
    def _folder(self) -> Place:
        return self._checkpoints / self._assignment.trial

    def _prepare(self) -> None:
        assignment = self._assignment
        self._program, self._is_reused = self._programs.prepare(
            assignment.architecture,
            assignment.configuration,
            init_seed=seed_of(assignment.seed, assignment.arm, "init"),
            augmentation_seed=seed_of(assignment.seed, "augmentation"),
        )
        self.versions = _with_weights(self.versions, self._programs, assignment)
        stored = checkpoint.newest(self._folder, before_attempt=assignment.attempt)
        if stored is not None:
            checkpoint.assign(self._program.model.variables, stored.model)
            checkpoint.assign(self._program.model.optimizer.variables, stored.optimizer)
            self._rows = list(stored.rows)

    def _train_epoch(self, epoch: int) -> dict[str, Any]:
        assignment, model = self._assignment, self._program.model
        learning_rate = self._recipe.learning_rate_at(epoch, assignment.max_epochs)
        started = time.perf_counter()
        order = generator(assignment.seed, "order", epoch).permutation(len(self._train))
        devices.seed_dropout(seed_of(assignment.seed, "dropout", epoch))
        model.optimizer.learning_rate = learning_rate
        targets = self._train_targets[order]
        with averaging(model, is_on=self._recipe.ema_momentum > 0) as callbacks:
            history = model.fit(
                [self._train.images[order], targets],
                targets,
                batch_size=self._recipe.batch_size,
                epochs=1,
                shuffle=False,
                verbose=0,
                callbacks=callbacks,
            ).history
            trained = time.perf_counter()
            validation = model.evaluate(
                [self._validation.images, self._validation_targets],
                self._validation_targets,
                batch_size=self._recipe.batch_size,
                verbose=0,
                return_dict=True,
            )
        evaluated = time.perf_counter()
        row = {
            "epoch": epoch,
            "attempt": assignment.attempt,
            "train_loss": _train_loss(history),
            "train_accuracy": float(history["accuracy"][0]),
            "val_loss": float(validation["cross_entropy"]),
            "val_accuracy": float(validation["accuracy"]) if np.isfinite(validation["cross_entropy"]) else float("nan"),
            "learning_rate": learning_rate,
            "import_s": self._import_s,
            "build_s": self._build_s,
            "train_s": trained - started,
            "evaluate_s": evaluated - trained,
            "checkpoint_s": None,
            "wait_s": self._wait_s,
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "parameters": self._program.parameters,
            "macs": self._program.macs,
            "device": self.device,
            "worker": f"{socket.gethostname()}:{os.getpid()}",
            "is_program_reused": self._is_reused,
            "versions": self.versions,
        }
        self._import_s = self._build_s = None
        self._wait_s = 0.0
        self._rows.append(row)
        if epoch < assignment.max_epochs and evaluated - self._checkpointed < self._checkpoint_every_s:
            return row
        if self._claim is not None and not self._claim.holds:
            raise _SupersededError
        self._write_checkpoint(epoch)
        self._checkpointed = time.perf_counter()
        row["checkpoint_s"] = self._checkpointed - evaluated
        return row

    def _write_checkpoint(self, epoch: int) -> None:
        model = self._program.model
        checkpoint.write(
            self._folder,
            Checkpoint(
                epoch=epoch,
                attempt=self._assignment.attempt,
                rows=tuple(self._rows),
                model=checkpoint.snapshot(model.variables),
                optimizer=checkpoint.snapshot(model.optimizer.variables),
            ),
        )


@contextlib.contextmanager
def averaging(model: Any, *, is_on: bool) -> Iterator[list[Any]]:
    """Callbacks for `fit`; after it, and until the block ends, the model has the moving average of its weights, if that is on.

    Keras itself puts the average in place of the weights when `fit` ends, after the last epoch's callbacks, and the next `fit`
    would go on from there. So the weights are kept, and put back once the average has been validated.
    """
    if not is_on:
        yield []
        return
    import keras

    kept: list[checkpoint.Arrays] = []

    def keep(epoch: int, logs: Any) -> None:
        if keras.backend.backend() == "jax":
            model.jax_state_sync()  # JAX holds the weights outside the model while it trains
        kept.append(checkpoint.snapshot(model.trainable_variables))

    def part(logs: Any) -> None:
        # With JAX, weights and average now share memory, and validating donates the memory of the weights.
        checkpoint.assign(model.trainable_variables, checkpoint.snapshot(model.trainable_variables))

    yield [keras.callbacks.LambdaCallback(on_epoch_end=keep, on_train_end=part)]
    checkpoint.assign(model.trainable_variables, kept[-1])


def failure(error: BaseException) -> dict[str, Any]:
    """Why a trial failed, as plain data: ``reason`` and ``detail``."""
    text = f"{type(error).__name__}: {error}"
    name = type(error).__name__
    if isinstance(error, KnobError):
        return {"reason": Reason.INFEASIBLE.value, "detail": str(error)}
    is_out_of_memory = (
        isinstance(error, MemoryError)
        or name in ("ResourceExhaustedError", "OutOfMemoryError")
        or "RESOURCE_EXHAUSTED" in text
        or "out of memory" in text.lower()
    )
    trace = "".join(traceback.format_exception(error))[-LARGEST_DETAIL:]
    return {"reason": (Reason.OUT_OF_MEMORY if is_out_of_memory else Reason.EXCEPTION).value, "detail": trace}


def channel_statistics(images: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of images as floats from 0 to 1; a channel that never changes has deviation 1.

    Args:
        images: (count, height, width, channels), uint8 or float32 from 0 to 1.
    """
    largest = 255.0 if images.dtype == np.uint8 else 1.0
    mean = images.mean(axis=(0, 1, 2), dtype=np.float64) / largest
    deviation = images.std(axis=(0, 1, 2), dtype=np.float64) / largest
    deviation[deviation < 1e-6] = 1.0
    return tuple(map(float, mean)), tuple(map(float, deviation))


def _one_hot(labels: NDArray[np.int64], num_classes: int) -> NDArray[np.float32]:
    targets = np.zeros((len(labels), num_classes), np.float32)
    targets[np.arange(len(labels)), labels] = 1
    return targets


def _train_loss(history: Mapping[str, list[float]]) -> float:
    """Mean cross-entropy of an epoch; NaN as soon as the loss that was minimised is not finite."""
    return float(history["cross_entropy"][0]) if np.isfinite(history["loss"][0]) else float("nan")


def _with_weights(versions: str, programs: Programs, assignment: Assignment) -> str:
    """The column of versions, with the file of the weights that a trial began with, if it did."""
    entries = json.loads(versions)
    entries.pop("weights", None)  # of the trial before
    if wants_weights(assignment.configuration):
        weights = programs.weights_of(assignment.architecture, assignment.configuration)
        assert weights is not None
        entries["weights"] = weights.label
    return json.dumps(entries)


def _versions(backend: str) -> dict[str, str]:
    import platform
    from importlib import metadata

    packages = ("sweeper", "keras", backend, "numpy", "ray")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}
