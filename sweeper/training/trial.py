"""The worker's side of a trial: epoch by epoch, with a row for each and a checkpoint behind it.

A worker never raises for what happens inside a trial: it reports rows, or a failure and its reason. A problem of the worker
itself, on which every trial would fail, is a fault, not a failure of the trial. Ray sees only the death of the process.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import math
import os
import resource
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from sweeper import catalog
from sweeper.datasets import Split
from sweeper.errors import StorageError
from sweeper.ledger.lock import Claim
from sweeper.ledger.records import Stage
from sweeper.storage import Place, explain
from sweeper.streams import generator, seed_of
from sweeper.study.space import Value
from sweeper.study.spec import ResourcesSpec, TrainingSpec
from sweeper.training import checkpoint, devices
from sweeper.training.checkpoint import Checkpoint
from sweeper.training.failures import failure
from sweeper.training.final import CARVED, Final
from sweeper.training.recipe import Recipe
from sweeper.training.weights.pretrained import Pretrained, wants_weights

if TYPE_CHECKING:
    from sweeper.training.program import Member, Program


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
        paused_at: Epochs after which the driver may let the trial wait: then it has a checkpoint.
        stage: What it is for: those of the confirm stage have images carved by their seed, and predict in the end.
        varies: As of `sweeper.search.trial.Trial`.
        parent_seed: The seed of what its own does not set.
    """

    trial: str
    arm: str
    architecture: str
    attempt: int
    configuration: Mapping[str, Value]
    seed: int
    max_epochs: int
    known_epochs: int
    paused_at: Sequence[int] = ()
    stage: str = Stage.SEARCH
    varies: str | None = None
    parent_seed: int | None = None

    @property
    def is_confirm(self) -> bool:
        """Whether it is of the confirm stage."""
        return self.stage == Stage.CONFIRM

    @property
    def is_carved(self) -> bool:
        """Whether its images are carved by its seed."""
        return self.is_confirm or self.varies in ("split", "all")

    def seed_for(self, source: str) -> int:
        """The seed of one of `sweeper.ledger.records.SOURCES`."""
        if self.varies in (None, "all", source):
            return self.seed
        assert self.parent_seed is not None
        return self.parent_seed


LOOP = "whole epochs"
"""How batches are fed: the entry among the versions of a row. Rows without it came from Keras's `fit`, which gives other bits."""


TOGETHER = "seeds together"
"""How many trials were trained as one program, where it was more than one: an entry likewise. It changes what is rounded."""


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
        limits: The largest parameters and macs of a network, where the study has constraints.
        test: Test split for the confirm stage; None without.
        is_carved: As for `sweeper.training.final.Final`, as the rest.
        class_names: See there.
        predictions: See there.
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
        limits: Mapping[str, int] | None = None,
        test: Split | None = None,
        is_carved: bool = False,
        class_names: Sequence[str] = (),
        predictions: Place | None = None,
    ):
        started = time.perf_counter()
        self.device = devices.configure(training, resources)
        from sweeper.training.loop.base import Images
        from sweeper.training.program import Programs
        from sweeper.training.task import Task

        self._num_train, self._checkpoints = len(train), checkpoints
        self._checkpoint_every_s, self._claim = checkpoint_every_s, claim
        self._programs = Programs(
            Task.of(train, num_classes),
            Images(train.images, train.labels),
            Images(validation.images, validation.labels),
            pretrained,
            limits,
        )
        self._final = Final(train, validation, test, is_carved=is_carved, class_names=class_names, predictions=predictions)
        self.versions = json.dumps(_versions(training.backend))
        self._import_s: float | None = time.perf_counter() - started
        self._build_s: float | None = None
        self._end: dict[str, Any] | None = None
        self._writer = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        self._idle_since = time.perf_counter()

    def start(self, assignment: Assignment) -> None:
        """Prepare an attempt: build or reuse a program, go on from the newest checkpoint; `step` reports a failure."""
        started = time.perf_counter()
        self._begin(assignment, started)
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
        if found := self._found():
            return {"rows": found}
        self._wait_s += time.perf_counter() - self._idle_since
        try:
            with self._writing_beside():
                row = self._train_epoch(len(self._rows) + 1)
            self._keep(row)
        except Exception as error:
            self._end = self._end_of(error)
        finally:
            self._idle_since = time.perf_counter()
        return self._end or {"rows": [row]}

    @property
    def _folder(self) -> Place:
        return self._checkpoints / self._assignment.trial

    def _begin(self, assignment: Assignment, started: float) -> None:
        """Forget the attempt before."""
        self._wait_s = started - self._idle_since
        self._assignment = assignment
        self._recipe = Recipe.of(assignment.configuration)
        self._rows: list[dict[str, Any]] = []
        self._reported = 0
        self._end = None
        self._unwritten: Checkpoint | None = None
        self._checkpointed, self._checkpoint_s = started, 0.0

    def _prepare(self) -> None:
        assignment = self._assignment
        images = self._final.images(seed_of(assignment.seed, "split")) if assignment.is_carved else None
        self._go_on(*self._programs.prepare(assignment.architecture, assignment.configuration, **self._seeds, images=images))

    @property
    def _seeds(self) -> dict[str, int]:
        """Of the program."""
        init, augmentation = map(self._assignment.seed_for, ("init", "augmentation"))
        arm = self._assignment.arm
        return {"init_seed": seed_of(init, arm, "init"), "augmentation_seed": seed_of(augmentation, "augmentation")}

    def _go_on(self, program: Program | Member, is_reused: bool) -> None:
        """Take a program with fresh values, and go on from the newest checkpoint if there is one."""
        assignment = self._assignment
        self._program, self._is_reused = program, is_reused
        self.versions = self._with_own(self.versions)
        stored = checkpoint.newest(self._folder, before_attempt=assignment.attempt)
        if stored is not None:
            self._program.set_state(stored.model, stored.optimizer)
            self._rows = list(stored.rows)

    def _with_own(self, versions: str) -> str:
        """The column of versions with what it says of this trial alone: its weights' file, the carve of its images."""
        assignment, entries = self._assignment, json.loads(versions)
        entries.pop("weights", None)  # of the trial before, as the next
        entries.pop(CARVED, None)
        if wants_weights(assignment.configuration):
            weights = self._programs.weights_of(assignment.architecture, assignment.configuration)
            assert weights is not None
            entries["weights"] = weights.label
        return json.dumps(entries | (self._final.entries if assignment.is_carved else {}))

    def _found(self) -> list[dict[str, Any]]:
        """Rows of a checkpoint that the driver does not know; they count as reported from now on."""
        found = [row for row in self._rows if row["epoch"] > max(self._assignment.known_epochs, self._reported)]
        if found:
            self._reported = found[-1]["epoch"]
        return found

    def _end_of(self, error: Exception) -> dict[str, Any]:
        """The report of what ended an epoch."""
        if isinstance(error, OSError):
            return {"fault": explain(error, self._folder)}
        if isinstance(error, _SupersededError):
            return {"fault": f"another driver has taken over the study of {self._folder}"}
        return {"failure": failure(error)}

    def _train_epoch(self, epoch: int) -> dict[str, Any]:
        program: Any = self._program
        started = time.perf_counter()
        order, learning_rate = self._inputs(epoch)
        devices.seed_dropout(seed_of(self._assignment.seed_for("init"), "dropout", epoch))
        means = program.train(order, learning_rate)
        trained = time.perf_counter()
        validation = program.validate()
        is_last = self._assignment.is_confirm and epoch == self._assignment.max_epochs
        final = self._final.finish(program, self._assignment.trial) if is_last else {}
        evaluated = time.perf_counter()
        return self._row(epoch, learning_rate, means, validation, trained - started, evaluated - trained, final)

    def _inputs(self, epoch: int) -> tuple[NDArray[Any], float]:
        """The order of the images and the learning rate."""
        order = generator(self._assignment.seed_for("order"), "order", epoch).permutation(self._num_train)
        return order, self._recipe.learning_rate_at(epoch, self._assignment.max_epochs)

    def _row(
        self,
        epoch: int,
        learning_rate: float,
        means: Mapping[str, float],
        validation: Mapping[str, float],
        train_s: float,
        evaluate_s: float,
        final: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """What an epoch came to; kept, and reported once the step is over."""
        row = {
            "epoch": epoch,
            "attempt": self._assignment.attempt,
            # NaN as soon as the loss that was minimised is not finite.
            "train_loss": means["cross_entropy"] if math.isfinite(means["loss"]) else math.nan,
            "train_accuracy": means["accuracy"],
            "val_loss": validation["cross_entropy"],
            "val_accuracy": validation["accuracy"] if math.isfinite(validation["cross_entropy"]) else math.nan,
            "learning_rate": learning_rate,
            "import_s": self._import_s,
            "build_s": self._build_s,
            "train_s": train_s,
            "evaluate_s": evaluate_s,
            "checkpoint_s": None,
            "wait_s": self._wait_s,
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "parameters": self._program.parameters,
            "macs": self._program.macs,
            "device": self.device,
            "worker": f"{socket.gethostname()}:{os.getpid()}",
            "is_program_reused": self._is_reused,
            "versions": self.versions,
            **(final or {}),
        }
        self._import_s = self._build_s = None
        self._wait_s = 0.0
        self._rows.append(row)
        self._reported = epoch
        return row

    @contextlib.contextmanager
    def _writing_beside(self) -> Iterator[None]:
        """Write the checkpoint of the epoch before beside the block, and wait for it at the block's end.

        The driver has let the trial go on, so the checkpoint counts: that of a trial which is stopped is never written.
        """
        unwritten, self._unwritten = self._unwritten, None
        if unwritten is None:
            yield
            return
        self._check_claim()
        writing = self._writer.submit(checkpoint.write, self._folder, unwritten)
        try:
            yield
        finally:
            waited_from = time.perf_counter()
            concurrent.futures.wait([writing])
            self._checkpoint_s += time.perf_counter() - waited_from
        writing.result()

    def _keep(self, row: dict[str, Any]) -> None:
        """Keep the state after an epoch if it is time: on the disk if the epoch may be the last for now, otherwise in memory."""
        started = time.perf_counter()
        is_last = row["epoch"] in (self._assignment.max_epochs, *self._assignment.paused_at)
        if is_last or started - self._checkpointed >= self._checkpoint_every_s:
            self._check_claim()
            state = self._state(row["epoch"])
            if is_last:
                checkpoint.write(self._folder, state)
            else:
                self._unwritten = state
            self._checkpointed = time.perf_counter()
            self._checkpoint_s += self._checkpointed - started
        row["checkpoint_s"], self._checkpoint_s = self._checkpoint_s or None, 0.0

    def _check_claim(self) -> None:
        if self._claim is not None and not self._claim.holds:
            raise _SupersededError

    def _state(self, epoch: int) -> Checkpoint:
        model, optimizer = self._program.state()
        return Checkpoint(epoch=epoch, attempt=self._assignment.attempt, rows=tuple(self._rows), model=model, optimizer=optimizer)


def _versions(backend: str) -> dict[str, str]:
    import platform
    from importlib import metadata

    packages = ("sweeper", "keras", backend, "numpy", "ray")
    versions = {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}
    return versions | {"training loop": LOOP} | catalog.versions()
