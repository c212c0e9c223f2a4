"""A driver without Ray and Keras: `sweeper.driver.launch` as it is, with stand-ins for Tune, for the cluster and for the network.

What is real: the order in which a study is created, locked, read, folded, continued and compacted; the adapters and their
session; the worker with its checkpoints; ledger, lock and tables. What a network would learn is a chain of hashes, so it
follows from configuration, seed and everything a checkpoint must carry, and from nothing else.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import itertools
import json
import math
import os
import random
import time
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna  # noqa: F401  # here, so that no forked driver spends its time on it
from faults import Disk, Gate, Plan, WorkerDied
from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

import sweeper.driver.session
import sweeper.driver.tune
import sweeper.ledger.ledger
from sweeper.datasets import Split
from sweeper.driver import inputs, launch, networks, nodes, provenance
from sweeper.driver.places import Offer
from sweeper.errors import KnobError
from sweeper.ledger import lock
from sweeper.ledger.ledger import Ledger
from sweeper.ledger.lock import Claim
from sweeper.study.spec import StudySpec
from sweeper.training.trial import Assignment, Worker

NEEDED = ("checkpoints", "checkpoint_every_s", "claim", "pretrained")
"""What a worker here takes of the driver's context."""

COMMIT_AFTER_ROWS = 3
COMPACT_AFTER = 6
KEEP_BEST = 2

FATES = {"cnn": ("", "", "diverges", ""), "vit": ("dies once", "raises", "infeasible", "dies always")}
"""What becomes of a trial, by its arm and number; those without a fate are completed or stopped early."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One start of a driver.

    Args:
        folder: Holds the results, and beside them the harness's own notes.
        spec: The study.
        grown: The study it is extended to when it is finished; None for no extension.
        num_workers: Trials that run at once.
        max_concurrent: As `sweeper.driver.launch` takes it.
        plan: What befalls it.
        seed: The order in which workers report.
        plant: Breaks something first, to see whether that is found.
    """

    folder: Path
    spec: StudySpec
    grown: StudySpec | None
    num_workers: int
    max_concurrent: int | None
    plan: Plan
    seed: int
    plant: Callable[[], None]

    @property
    def results(self) -> Path:
        """The results folder; what is in `disk` is what the driver under test may touch."""
        return self.folder / "disk" / "results"


def study(name: str, *, sampler: str, trials: int, max_epochs: int, rule: str = "asha") -> StudySpec:
    """A study of two arms that stops early, by this rule; `trials` is even."""
    return StudySpec.model_validate(
        {
            "name": name,
            "dataset": {"name": "digits"},
            "arms": {"cnn": {"architecture": "cnn", "space": "cnn"}, "vit": {"architecture": "vit", "space": "vit"}},
            "budget": {"trials": trials, "max_epochs": max_epochs},
            "search": {"sampler": sampler, "seed": 0, "repeats": False},
            "stopping": {"rule": rule, "grace_epochs": 1, "reduction_factor": 2},
        }
    )


def drive(job: Job) -> Gate:
    """Run the driver in this process, which is good for nothing else afterwards; the gate, with every call it saw."""
    gate = Gate(job.plan)
    notes = Notes(job.folder)
    replace(sweeper.ledger.ledger, COMMIT_AFTER_ROWS=COMMIT_AFTER_ROWS, COMMIT_AFTER_S=math.inf)
    replace(sweeper.driver.session, COMPACT_AFTER=COMPACT_AFTER)
    replace(tune, Tuner=lambda context, **configs: Tuner(context, gate, notes, job, **configs))
    replace(inputs, load_dataset=lambda spec: DATASET)
    replace(launch, connected=_ray)
    replace(networks, building=_no_framework)
    replace(sweeper.driver.tune, trainable=lambda context: {name: getattr(context, name) for name in NEEDED})
    replace(provenance, commit=lambda: None, versions=dict)
    replace(nodes, offers=lambda: [Offer(cpus=job.num_workers)])
    replace(lock, HEARTBEAT_S=0.01)
    notes.watch_commits()
    Disk(str(job.results.parent), gate).install()
    job.plant()
    for spec in (job.spec, job.grown or job.spec):
        outcome = launch.launch(spec, job.results, max_concurrent=job.max_concurrent, keep_best=KEEP_BEST)
        assert outcome.search.is_finished
        if job.grown is None:
            break
    return gate


class Notes:
    """The harness's own record, outside the study: which rows were acknowledged, which epochs trained."""

    def __init__(self, folder: Path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._acknowledged = os.open(folder / "acknowledged", flags, 0o644)
        self._trained = os.open(folder / "trained", flags, 0o644)

    def watch_commits(self) -> None:
        """Note every row once the commit that took it has returned."""
        commit = Ledger.commit

        def watched(ledger: Ledger) -> None:
            rows = list(ledger._buffer)
            commit(ledger)
            if rows:
                self._note(self._acknowledged, *[f"{':'.join(map(str, row.key))} {digest(row)}" for row in rows])

        replace(Ledger, commit=watched)

    def trained(self, trial: str, attempt: int, epoch: int) -> None:
        """Note that an epoch is about to be trained."""
        self._note(self._trained, f"{os.getpid()} {trial} {attempt} {epoch}")

    def _note(self, descriptor: int, *lines: str) -> None:
        os.write(descriptor, "".join(f"{line}\n" for line in lines).encode())
        os.fsync(descriptor)


def digest(value: object) -> str:
    """The same for what looks the same, NaN included."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:24]


# ------------------------------------------------------------------------------------------------------------ stand-ins


class Tuner:
    """Runs workers as Ray Tune does: hooks in the same order, one event at a time, workers that may die."""

    def __init__(self, context: dict[str, Any], gate: Gate, notes: Notes, job: Job, *, tune_config: Any, run_config: Any):
        self._new_worker = lambda: StubWorker(notes, **context)
        self._gate = gate
        self._searcher, self._scheduler = tune_config.search_alg, tune_config.scheduler
        self._callbacks = run_config.callbacks
        self._num_free = job.num_workers
        self._chance = random.Random(job.seed)

    def fit(self) -> None:
        """Until the searcher has nothing more and every worker has ended."""
        names, waiting = itertools.count(), collections.deque[str]()
        running: dict[str, Actor] = {}
        is_over = False
        while True:
            while not is_over:
                answer = self._searcher.suggest(name := f"{next(names):05d}")
                is_over = answer == Searcher.FINISHED
                if answer is None or is_over:
                    break
                waiting.append(name)
            while waiting and self._num_free:
                self._num_free -= 1
                name = waiting.popleft()
                actor = running[name] = Actor(name, self._new_worker())
                for callback in self._callbacks:
                    callback.on_trial_start(0, [], actor.trial)
            if not running:
                assert is_over and not waiting
                return
            self._step(self._chance.choice(list(running.values())), running)
            for number, callback in enumerate(self._callbacks):
                callback.on_step_end(number, [])

    def _step(self, actor: Actor, running: dict[str, Actor]) -> None:
        worker, name = actor.worker, actor.trial.trial_id
        actor.begin()
        is_doomed = actor.is_busy and self._is_doomed(worker)
        try:
            with self._gate.dying(worker.num_calls_to_live) if is_doomed else contextlib.nullcontext():
                report = worker.step() if actor.is_busy else {"rows": []}
        except WorkerDied:
            self._scheduler.on_trial_error(None, actor.trial)
        else:
            if self._scheduler.on_trial_result(None, actor.trial, {"report": json.dumps(report)}) == TrialScheduler.CONTINUE:
                return
        self._num_free += 1
        del running[name]
        self._searcher.on_trial_complete(name)

    def _is_doomed(self, worker: StubWorker) -> bool:
        if not worker.is_about_to_train:
            return False
        lost = self._searcher._session.search.trials[worker.trial].lost
        return (worker.fate == "dies once" and lost == 0) or (worker.fate == "dies always" and len(worker._rows) > 0)


class Actor:
    """A Tune trial and its worker, as `sweeper.driver.tune.TrialActor` runs it: an attempt begins with the next step."""

    def __init__(self, name: str, worker: StubWorker):
        handle = types.SimpleNamespace(assign=types.SimpleNamespace(remote=self._assign))
        state = types.SimpleNamespace(ray_actor=handle)
        self.trial = types.SimpleNamespace(trial_id=name, pickled_error_file=None, temporary_state=state)
        self.worker = worker
        self.is_busy = False
        self._next: Assignment | None = None

    def begin(self) -> None:
        """Begin the attempt that was assigned, if one was."""
        if self._next is not None:
            self.worker.start(self._next)
            self._next, self.is_busy = None, True

    def _assign(self, text: str) -> None:
        self._next = Assignment(**json.loads(text))


class StubWorker(Worker):
    """A worker as it is, but for the framework and its programs."""

    def __init__(self, notes: Notes, *, checkpoints: Path, checkpoint_every_s: float, claim: Claim, pretrained: dict[str, Any]):
        self._checkpoints, self._checkpoint_every_s, self._claim, self._notes = checkpoints, checkpoint_every_s, claim, notes
        self._num_train = len(DATASET.train)
        self._programs: Any = StubPrograms()
        self.device, self.versions = "none", "{}"
        self._import_s = self._build_s = None
        self._end: dict[str, Any] | None = None
        self._writer: Any = Inline()
        self._idle_since = time.perf_counter()

    def start(self, assignment: Assignment) -> None:
        """As `Worker.start`; the trial's number says what becomes of it."""
        self.trial = assignment.trial
        self.fate = FATES[assignment.arm][int(self.trial.removeprefix(f"{assignment.arm}-")) % 4]
        self.num_calls_to_live = int(assignment.seed) % 7
        self._programs.fate = self.fate
        super().start(assignment)

    @property
    def is_about_to_train(self) -> bool:
        """Whether everything a checkpoint held has been reported."""
        return len(self._rows) <= max(self._assignment.known_epochs, self._reported)

    def _train_epoch(self, epoch: int) -> dict[str, Any]:
        self._notes.trained(self.trial, self._assignment.attempt, epoch)
        return super()._train_epoch(epoch)


class Inline:
    """An executor that does at once what it is given, so that every call that changes files has its place in the order.

    An error waits for whoever asks for the result; a death is one.
    """

    def submit(self, function: Callable[..., Any], *arguments: Any) -> concurrent.futures.Future[Any]:
        """As `concurrent.futures.Executor.submit`."""
        done: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            done.set_result(function(*arguments))
        except OSError as error:
            done.set_exception(error)
        return done


class StubPrograms:
    """Gives programs without a framework."""

    fate = ""

    def prepare(
        self,
        architecture: str,
        configuration: Mapping[str, Any],
        *,
        init_seed: int,
        augmentation_seed: int,
        images: Any = None,
    ) -> Any:
        """A program, and that it is no used one."""
        if self.fate == "infeasible":
            raise KnobError("this configuration cannot be built")
        return StubProgram(f"{architecture} {json.dumps(configuration)} {augmentation_seed}", init_seed, self.fate), False


class StubProgram:
    """Learns nothing, but depends on everything: its state before, the order of the data, the learning rate."""

    parameters, macs = 1000, 10

    def __init__(self, identity: str, seed: int, fate: str):
        self._identity, self._fate = identity, fate
        self._model = [np.array([seed % 2**31, 0.0]), np.zeros((2, 3), np.float32)]
        self._optimizer = [np.zeros(1, np.int64)]

    def train(self, order: Any, learning_rate: float) -> dict[str, float]:
        """An epoch, as far as the worker looks at it."""
        count = self._optimizer[0]
        count += 1
        if self._fate == "raises" and count[0] >= 2:
            raise RuntimeError("a layer that does not work in the second epoch")
        seen = hashlib.sha256(self._identity.encode())
        for part in (*self._model, count, order, np.array(learning_rate)):
            seen.update(part.tobytes())
        numbers = np.frombuffer(seen.digest(), np.uint32) / 2.0**32
        self._model[0][:] = numbers[:2]
        self._model[1][:] = numbers[2:8].reshape(2, 3)
        loss = math.nan if self._fate == "diverges" and count[0] >= 2 else float(numbers[0])
        return {"accuracy": float(numbers[1]), "cross_entropy": loss, "loss": loss}

    def validate(self) -> dict[str, float]:
        """What follows from the weights."""
        return {"cross_entropy": float(self._model[1][0, 0]), "accuracy": float(self._model[1][1, 2])}

    def state(self) -> Any:
        """As `Program.state`."""
        return [array.copy() for array in self._model], [array.copy() for array in self._optimizer]

    def set_state(self, model: Any, optimizer: Any) -> None:
        """As `Program.set_state`."""
        for mine, given in zip([*self._model, *self._optimizer], [*model, *optimizer], strict=True):
            assert mine.shape == given.shape
            mine[...] = given


DATASET: Any = types.SimpleNamespace(
    num_classes=2,
    class_names=("a", "b"),
    notes=(),
    can_be_carved=False,
    has_test=False,
    train=Split(np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1), np.zeros(8, np.int64)),
    validation=Split(np.zeros((8, 1, 1, 1), np.uint8), np.zeros(8, np.int64)),
)


@contextlib.contextmanager
def _ray(*_: Any) -> Iterator[bool]:
    yield True


@contextlib.contextmanager
def _no_framework(*_: Any) -> Iterator[Callable[[Any], list[str]]]:
    yield lambda dataset: []


def replace(module: Any, **names: Any) -> None:
    """Set attributes that must be there already."""
    for name, value in names.items():
        assert hasattr(module, name), f"{module.__name__} has no {name} any more: what stands in for it must follow"
        setattr(module, name, value)
