"""Thin adapters between Ray Tune and a session: Searcher, TrialScheduler, Callback and Trainable, and the call that runs them.

Tune runs processes and moves messages; it decides nothing. **One Tune trial is one worker**, which runs our trials one after
another: Tune takes as long over a trial of its own as over several epochs, and keeps all of them in memory. Every report of a
worker enters at one door, `SchedulerAdapter`, and goes to `Session.on_report`; there a worker whose trial is over also gets its
next attempt. A trial that comes again (retry or resume) is a new attempt from the newest checkpoint; Tune's own pausing,
restoring and checkpointing are not used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.execution import class_cache
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sweeper import catalog
from sweeper.datasets import Split
from sweeper.driver import connection
from sweeper.driver.joining import Checked
from sweeper.driver.session import Session
from sweeper.errors import StudyLockedError, SweeperError
from sweeper.ledger.lock import Claim
from sweeper.ledger.records import Reason
from sweeper.owncode import Code
from sweeper.storage import Place
from sweeper.study.spec import ResourcesSpec, TrainingSpec
from sweeper.training.failures import failure
from sweeper.training.trial import Assignment, TrialWorker, Worker
from sweeper.training.weights.pretrained import Pretrained

if TYPE_CHECKING:
    from sweeper.training.together import Together


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """What every worker needs and is the same for all trials; it travels once per node through the object store.

    Images in a file of the cache (`sweeper.datasets._mapped`) do not travel: every worker maps them where it is.
    ``worker`` makes the one that runs the trials, from the other fields but ``code``, the user's own, which it can use by name.
    """

    train: Split
    validation: Split
    num_classes: int
    training: TrainingSpec
    checkpoints: Place
    checkpoint_every_s: float
    claim: Claim
    pretrained: Mapping[str, Pretrained]
    limits: Mapping[str, int]
    test: Split | None
    is_carved: bool
    class_names: tuple[str, ...]
    predictions: Place
    code: Code | None
    worker: Callable[..., TrialWorker]
    checked: Checked


OF_THE_ACTOR = ("code", "worker", "checked")
"""Fields of `Context` that are not the worker's."""

RESOURCES, REFUSED = "resources", "refused"
"""What a worker occupies, and the nodes that it may not be on, in the configuration of its Tune trial."""

MOST_PENDING = "100000"
"""Tune trials that may wait for room, in the words of its environment. The session asks for no more than fit."""


class TrialActor(tune.Trainable):  # type: ignore[misc]
    """A worker process that runs one trial, or one group of trials, after another; what happens inside a trial raises nothing."""

    def setup(self, config: dict[str, Any], context: Context | None = None) -> None:
        """Load the framework, with its share of the machine."""
        assert context is not None
        resources = ResourcesSpec(**config[RESOURCES])
        connection.take_environment(context.training, resources)
        self._worker: TrialWorker | None = None
        self._group: Together | None = None
        self._next = ""
        self._unfit: dict[str, str] = {}
        node = ray.get_runtime_context().get_node_id()
        needed = {
            field.name: getattr(context, field.name) for field in dataclasses.fields(context) if field.name not in OF_THE_ACTOR
        } | {"resources": resources}
        try:
            context.checked.check(node, context.claim, resources)
            if context.code is not None:
                catalog.use(context.code)
            test = None if context.test is None else context.test.opened()
            needed |= {"train": context.train.opened(), "validation": context.validation.opened(), "test": test}
            self._worker = context.worker(**needed)
        except Exception as error:
            fault, host = str(error) if isinstance(error, SweeperError) else failure(error)["detail"], socket.gethostname()
            if node in context.checked.nodes:
                self._unfit = {"fault": f"on {host}: {fault}"}
            else:  # it joined later, and can be left out
                self._unfit = {"fault": fault, "node": node, "called": f"{host} ({ray.util.get_node_ip_address()})"}
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The same process goes on as a new Tune trial, which occupies the same: Tune sees to that."""
        self._is_idle = True
        return True

    def assign(self, assignment: str) -> None:
        """Take the next attempt, an `Assignment` in JSON, or a list of several; it begins with the next step."""
        self._next = assignment

    def keep(self, trials: list[str]) -> None:
        """Go on with these of a group."""
        assert self._group is not None
        self._group.keep(trials)

    def step(self) -> dict[str, Any]:
        """One epoch, or a failure of the trial, or a fault of the worker; nothing from a worker without an attempt."""
        if self._worker is None:
            return {"report": json.dumps(self._unfit)}
        if self._next:
            asked, self._next, self._is_idle = json.loads(self._next), "", False
            if isinstance(asked, list):
                self._group = _together(self._worker, [Assignment(**one) for one in asked])
            else:
                self._group = None
                self._worker.start(Assignment(**asked))
        return {"report": json.dumps({"rows": []} if self._is_idle else (self._group or self._worker).step())}


class SearcherAdapter(Searcher):  # type: ignore[misc]
    """Tune asks for a trial of its own; the session answers whether it wants a worker more."""

    def __init__(self, session: Session):
        super().__init__()
        self._session = session

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """What a worker is to occupy, and where it may not be; None when none is wanted now, FINISHED when none will be."""
        with self._session.guard():
            if (shape := self._session.wants_worker(trial_id)) is not None:
                refused = sorted(self._session.places.refused)
                return {RESOURCES: shape.model_dump()} | ({REFUSED: refused} if refused else {})
        return str(Searcher.FINISHED) if self._session.is_exhausted else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """As `Session.on_end`."""
        with self._session.guard():
            self._session.on_end(trial_id)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: results enter at the scheduler."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger holds the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger holds the state."""


class SchedulerAdapter(FIFOScheduler):  # type: ignore[misc]
    """Tune hands over a result; the search says whether the trial goes on, and the session what comes after it."""

    def __init__(self, session: Session):
        super().__init__()
        self._session = session

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """As `Session.on_report`; a worker whose trials are over goes on with the next one, if any; one at fault is killed."""
        report = json.loads(result["report"])
        with self._session.guard():
            going_on = self._session.on_report(trial.trial_id, report)
            if going_on and len(going_on) < len(report.get("members", going_on)):
                trial.temporary_state.ray_actor.keep.remote(going_on)
            if "fault" in report:
                ray.kill(trial.temporary_state.ray_actor)  # stopped, it would be kept for the next trial of Tune
                return str(TrialScheduler.CONTINUE)
            goes_on = bool(going_on) or _assign(self._session, trial)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """As `Session.on_death`."""
        error = _error_of(trial)
        if _is_import_fault(str(error)):
            with self._session.guard():
                raise SweeperError(
                    f"a worker cannot start on a node, which perhaps lacks a package: {str(error).strip().splitlines()[-1]}\n"
                    "Everything so far is saved. Install there what is installed here, then launch again to go on."
                )
        detail = f"{type(error).__name__}: {error}"[:1000] if error else "the worker process died"
        with self._session.guard():
            self._session.on_death(trial.trial_id, cause_of_death(error), detail)


class CallbackAdapter(tune.Callback):  # type: ignore[misc]
    """The beat of Tune's loop: group commits, progress, and the watch for hung workers."""

    def __init__(self, session: Session):
        self._session = session

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker is there: its first attempt."""
        with self._session.guard():
            _assign(self._session, trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """After every event or tenth of a second."""
        with self._session.guard():
            self._session.tick()
            for tune_id in self._session.take_hung():
                actor = next((trial.temporary_state.ray_actor for trial in trials if trial.trial_id == tune_id), None)
                if actor is not None:
                    ray.kill(actor)


def _assign(session: Session, trial: Any) -> bool:
    """Hand a free worker what it does next, if anything: before its next step, since an actor takes calls in their order."""
    group = [dataclasses.asdict(assignment) for assignment in session.next_attempts(trial.trial_id)]
    if not group:
        return False
    trial.temporary_state.ray_actor.assign.remote(json.dumps(group[0] if len(group) == 1 else group))
    return True


def _together(worker: TrialWorker, assignments: list[Assignment]) -> Together:
    from sweeper.training.together import Together

    assert isinstance(worker, Worker), f"{type(worker).__name__} trains no trials together"
    return Together(worker, assignments)


def cause_of_death(error: Exception | None) -> Reason:
    """Why a worker process died, as far as Ray knows. When the kernel killed it, Ray does not know."""
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return Reason.OUT_OF_MEMORY
    # A broken connection without a cause is a lost node: a node that lives reports which of its processes died. Later Ray says
    # that a node died in the text only.
    lost = (ray.exceptions.ActorUnavailableError, ray.exceptions.NodeDiedError)
    is_lost = isinstance(error, lost) or "node has died" in str(error)
    return Reason.NODE_LOST if is_lost or getattr(error, "preempted", False) else Reason.DIED


def _is_import_fault(said: str) -> bool:
    """Whether a worker could not load what it is to run: no trial is at fault, and each would be lost there in its turn."""
    parts = ("ModuleNotFoundError", "ImportError", "failed to import on the worker")
    return "error raised in its creation task" in said and any(part in said for part in parts)


def _error_of(trial: Any) -> Exception | None:
    """What ended a Tune trial. Tune itself wrote this file a moment ago, into its own temporary folder."""
    try:
        with open(trial.pickled_error_file, "rb") as stream:
            error = ray.cloudpickle.load(stream)
    except (OSError, TypeError, EOFError, AttributeError):
        return None
    return error if isinstance(error, Exception) else None


def trainable(context: Context) -> Any:
    """What Tune runs on a worker; the data are in the object store, where each node holds them once."""
    return tune.with_resources(tune.with_parameters(TrialActor, context=context), _request)


def _request(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    """What Ray is asked for."""
    shape = ResourcesSpec(**config[RESOURCES])
    bundle: dict[str, float] = {"CPU": shape.cpus_per_trial, "GPU": shape.gpus_per_trial}
    if shape.memory_gb is not None:
        bundle["memory"] = int(shape.memory_gb * 1e9)
    if shape.accelerator_type is not None:
        bundle[f"accelerator_type:{shape.accelerator_type}"] = 0.001  # as Ray itself does: a node has one in all
    refused = config.get(REFUSED)
    return tune.PlacementGroupFactory(
        [{name: amount for name, amount in bundle.items() if amount}],
        bundle_label_selector=[{"ray.io/node-id": f"!in({','.join(refused)})"}] if refused else None,
    )


def run(name: str, session: Session, trainable: Any, *, is_private: bool) -> None:
    """Drive a study on a running Ray, one of our own if it is private, until nothing is left to do or a signal comes."""
    with contextlib.ExitStack() as stack:
        storage = stack.enter_context(tempfile.TemporaryDirectory(prefix="sweeper-tune-"))
        stack.enter_context(_tune_environment())
        if is_private:
            stack.enter_context(_in_waiting_processes())
        was_signalled = stack.enter_context(_terminate())
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=SearcherAdapter(session), scheduler=SchedulerAdapter(session), num_samples=-1, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name=name,
                storage_path=storage,
                callbacks=[CallbackAdapter(session)],
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
                progress_reporter=tune.CLIReporter(),  # that of notebooks clears the cell, and with it what we show there
            ),
        )
        try:
            tuner.fit()
        except Exception as error:
            if session.error is not None:
                raise session.error from error
            if not was_signalled():
                raise SweeperError(
                    f"Ray Tune ended the sweep: {error}. Everything so far is saved; launch again to go on."
                ) from error
        finally:
            if not isinstance(session.error, StudyLockedError):
                session.interrupt()


@contextlib.contextmanager
def _in_waiting_processes() -> Iterator[None]:
    """Let trials begin in the processes that a Ray of our own starts with.

    Tune asks for environment variables, of PyTorch Lightning and AWS, and for whoever asks for any Ray starts a process anew,
    seconds later. Here every process has all variables from Ray itself.
    """
    before = class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE = {}, set()
    try:
        yield
    finally:
        class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE = before


@contextlib.contextmanager
def _tune_environment() -> Iterator[None]:
    """Tune's settings, read from the environment, and silence for its loggers, which repeat what we report; undone afterwards."""
    settings = {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "100000",
        "TUNE_FORCE_TRIAL_CLEANUP_S": "60",
        "TUNE_MAX_PENDING_TRIALS_PG": MOST_PENDING,
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
    }
    loggers = [logging.getLogger(name) for name in ("ray.tune", "ray.train", "ray.air")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with connection.environment_of(settings):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _terminate() -> Iterator[Callable[[], bool]]:
    """SIGTERM ends the sweep as SIGINT does; gives a question: did a signal come?

    Tune catches SIGINT once it runs, and ends its loop. Before that, and for a second signal, SIGINT raises KeyboardInterrupt.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    seen: list[int] = []

    def handle(number: int, frame: Any) -> None:
        seen.append(number)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGTERM, handle)
    before_interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, before_interrupt)
