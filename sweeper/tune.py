"""Thin adapters between Ray Tune and the search: Searcher, TrialScheduler, Callback and Trainable.

Tune runs processes and moves messages; it decides nothing. Every result enters at one door, `SchedulerAdapter`, where it
becomes an event, is judged and applied by the search and goes to the ledger. A trial that comes again (retry or resume) is a new
Tune trial from the newest checkpoint; Tune's own pausing, restoring and checkpointing are not used. Compiled programs need no
scheduling here: at most one trial waits for a worker at any time, so there is nothing to choose from.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sweeper.datasets import Split
from sweeper.errors import SweeperError
from sweeper.keeper import CheckpointKeeper
from sweeper.lock import Claim
from sweeper.records import Event, Kind, Reason, Status
from sweeper.search.study import Search
from sweeper.spec import ResourcesSpec, TrainingSpec
from sweeper.storage import Place
from sweeper.store import Ledger
from sweeper.training.pretrained import Pretrained
from sweeper.training.trial import Assignment, TrialWorker, failure

HANG_FACTOR = 20.0
"""A worker is taken for hung when it is silent for this many times its trial's longest silence before an epoch so far ..."""

HANG_LEAST_S = 300.0
"""... and at least this long. Before its first epoch ever a trial is waited for without limit, since compiling may take long."""

COMPACT_AFTER = 1000
"""Commits after which the ledger's parts are merged: some ten minutes of a busy sweep, so that reading it stays fast."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """What every worker needs and is the same for all trials; it travels once per node through the object store.

    ``worker`` makes the one that runs the trials, from the other fields.
    """

    train: Split
    validation: Split
    num_classes: int
    training: TrainingSpec
    resources: ResourcesSpec
    checkpoints: Place
    checkpoint_every_s: float
    claim: Claim
    pretrained: Mapping[str, Pretrained]
    worker: Callable[..., TrialWorker]


class TrialActor(tune.Trainable):  # type: ignore[misc]
    """A worker process that runs one trial after another; it never raises for what happens inside a trial."""

    def setup(self, config: dict[str, Any], context: Context | None = None) -> None:
        """Load the framework and prepare the first trial."""
        assert context is not None
        self._worker: TrialWorker | None = None
        self._fault = ""
        needed = {field.name: getattr(context, field.name) for field in dataclasses.fields(context) if field.name != "worker"}
        try:
            self._worker = context.worker(**needed)
        except Exception as error:
            self._fault = f"on {socket.gethostname()}: {failure(error)['detail']}"
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Prepare another trial in the same process."""
        if self._worker is not None:
            self._worker.start(Assignment(**json.loads(new_config["assignment"])))
        return True

    def step(self) -> dict[str, Any]:
        """One epoch, or a failure of the trial, or a fault of the worker."""
        news = {"fault": self._fault} if self._worker is None else self._worker.step()
        return {"news": json.dumps(news)}


@dataclasses.dataclass
class _Live:
    """A trial Tune has and has not ended."""

    trial: str
    attempt: int
    last_news: float
    silences_s: list[float]
    has_worker: bool = False
    is_hung: bool = False


class Session:
    """What the adapters share: the search, the ledger, and which Tune trial is which of ours.

    Args:
        search: The state machine.
        ledger: Open for writing.
        keeper: Removes the study's checkpoints that are no longer needed.
        most_live: Trials that Tune may have at once, running or waiting for a worker.
        watch: Called with every event once it is applied, and with None about every second.
        constants: Columns that are the same in every event.
    """

    def __init__(
        self,
        search: Search,
        ledger: Ledger,
        keeper: CheckpointKeeper,
        most_live: int,
        watch: Callable[[Event | None], None],
        constants: Mapping[str, str | None],
    ):
        self.search = search
        self.ledger = ledger
        self.keeper = keeper
        self.most_live = most_live
        self.watch = watch
        self.constants = constants
        self.live: dict[str, _Live] = {}
        self.error: BaseException | None = None
        self.have_weights: set[str] = set()
        """Arms whose trials begin with weights, for which these were read."""
        self._silences_s: dict[str, list[float]] = {}
        self.is_exhausted = False
        """Whether Tune has been told that there is nothing left to do, which it never asks again."""
        self._commits = 0
        self._last_tick = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its arguments for a restore of its own, which is never used."""
        return {}

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Keep the first exception of a hook: Tune passes on only its text."""
        try:
            yield
        except BaseException as error:
            self.error = self.error or error
            raise

    def record(self, event: Event) -> Event:
        """Apply an event, hand it to the ledger and show it."""
        self.search.apply(event)
        stored = self.ledger.append(event.replace(**self.constants))
        if event.status is not None and event.status.is_final and event.trial:
            self.keeper.ends(event.trial)
        self.watch(stored)
        return stored

    def commit(self, only_if_due: bool = False) -> None:
        """Make events durable, then remove the checkpoints they made useless, never the other way round."""
        if only_if_due:
            self._commits += self.ledger.commit_if_due()
        elif self.ledger.num_buffered:
            self.ledger.commit()
            self._commits += 1
        if self.ledger.num_buffered == 0:
            self.keeper.clean()

    def suggest(self, tune_id: str) -> dict[str, Any] | str | None:
        """The next attempt as a Tune configuration; see `ray.tune.search.Searcher.suggest`."""
        if len(self.live) >= self.most_live:
            return None
        event = self.search.propose()
        self.is_exhausted = event is None and not self.live
        if event is None:
            return None if self.live else str(Searcher.FINISHED)
        self.record(event)
        self.commit()
        trial = self.search.trials[event.trial or ""]
        self.keeper.begins(trial.trial)
        silences_s = self._silences_s.setdefault(trial.trial, [])  # those of its earlier attempts under this driver count
        self.live[tune_id] = _Live(trial=trial.trial, attempt=trial.attempt, last_news=time.monotonic(), silences_s=silences_s)
        assignment = Assignment(
            trial=trial.trial,
            arm=trial.arm,
            architecture=event.architecture or "",
            attempt=trial.attempt,
            configuration=trial.configuration,
            seed=trial.seed,
            max_epochs=trial.max_epochs,
            known_epochs=trial.epoch,
        )
        return {"assignment": json.dumps(dataclasses.asdict(assignment))}

    def on_start(self, tune_id: str) -> None:
        """A worker begins with the attempt: until now it was not silent, but waiting."""
        live = self.live[tune_id]
        live.has_worker, live.last_news = True, time.monotonic()

    def on_news(self, tune_id: str, news: dict[str, Any]) -> str:
        """The one door: rows or a failure of a running trial in, STOP or CONTINUE out."""
        live = self.live[tune_id]
        now = time.monotonic()
        live.silences_s.append(now - live.last_news)
        live.last_news = now
        if "fault" in news:
            raise SweeperError(
                f"a worker cannot go on, and no other trial could on it: {news['fault']}\n"
                "Everything so far is saved. Mend this, then launch again to go on."
            )
        if "failure" in news:
            self._attempt_ended(live, Reason(news["failure"]["reason"]), news["failure"]["detail"])
            return str(TrialScheduler.STOP)
        trial = self.search.trials[live.trial]
        for row in news["rows"]:
            event = self._facts(live.trial, Kind.EPOCH).replace(**row)
            self.record(self.search.judge(event))
            if trial.status.is_final:
                return str(TrialScheduler.STOP)
        return str(TrialScheduler.CONTINUE)

    def on_death(self, tune_id: str, error: Exception | None) -> None:
        """A worker process died, or was killed because it hung."""
        live = self.live[tune_id]
        reason = Reason.TIMEOUT if live.is_hung else cause_of_death(error)
        self._attempt_ended(live, reason, f"{type(error).__name__}: {error}"[:1000] if error else "the worker process died")

    def on_end(self, tune_id: str) -> None:
        """Tune has ended a trial, for whatever cause."""
        self.live.pop(tune_id, None)

    def tick(self) -> None:
        """Between events: commit what is due, merge parts when there are many, show that time passes."""
        self.commit(only_if_due=True)
        if self._commits >= COMPACT_AFTER:
            self._commits = 0
            self.ledger.compact()
        now = time.monotonic()
        if now - self._last_tick >= 1:
            self._last_tick = now
            self.watch(None)

    def interrupt(self) -> None:
        """Record that every attempt still running was interrupted; the trials go on at the next launch."""
        for trial in list(self.search.trials.values()):
            if trial.status is Status.RUNNING:
                self.record(self.search.judge(self._facts(trial.trial, Kind.ATTEMPT_ENDED).replace(attempt=trial.attempt)))
        self.commit()

    def hung(self) -> list[str]:
        """Tune ids of trials whose worker has been silent for too long."""
        now = time.monotonic()
        return [
            tune_id
            for tune_id, live in self.live.items()
            if live.has_worker
            and live.silences_s
            and now - live.last_news > max(HANG_LEAST_S, HANG_FACTOR * max(live.silences_s))
        ]

    def _attempt_ended(self, live: _Live, reason: Reason, detail: str) -> None:
        event = self._facts(live.trial, Kind.ATTEMPT_ENDED).replace(attempt=live.attempt, reason=reason, detail=detail)
        self.record(self.search.judge(event))
        self.commit()

    def _facts(self, trial_id: str, kind: Kind) -> Event:
        trial = self.search.trials[trial_id]
        return Event(
            kind=kind,
            trial=trial_id,
            arm=trial.arm,
            architecture=self.search.spec.arms[trial.arm].architecture,
            number=trial.number,
            stage=trial.stage,
            parent=trial.parent,
            seed=trial.seed,
        )


class SearcherAdapter(Searcher):  # type: ignore[misc]
    """Tune asks for a trial; the search answers."""

    def __init__(self, session: Session):
        super().__init__()
        self._session = session

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """As `Session.suggest`."""
        with self._session.guard():
            return self._session.suggest(trial_id)

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
    """Tune hands over a result; the search says whether the trial goes on."""

    def __init__(self, session: Session):
        super().__init__()
        self._session = session

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """As `Session.on_news`."""
        with self._session.guard():
            return self._session.on_news(trial.trial_id, json.loads(result["news"]))

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """As `Session.on_death`."""
        with self._session.guard():
            self._session.on_death(trial.trial_id, _error_of(trial))


class CallbackAdapter(tune.Callback):  # type: ignore[misc]
    """The beat of Tune's loop: group commits, progress, and the watch for hung workers."""

    def __init__(self, session: Session):
        self._session = session

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """As `Session.on_start`."""
        with self._session.guard():
            self._session.on_start(trial.trial_id)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """After every event or tenth of a second."""
        with self._session.guard():
            self._session.tick()
            for tune_id in self._session.hung():
                self._session.live[tune_id].is_hung = True
                self._session.live[tune_id].last_news = time.monotonic()
                actor = next((trial.temporary_state.ray_actor for trial in trials if trial.trial_id == tune_id), None)
                if actor is not None:
                    ray.kill(actor)


def cause_of_death(error: Exception | None) -> Reason:
    """Why a worker process died, by what Ray says about it; of one that the kernel killed nobody says why."""
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return Reason.OUT_OF_MEMORY
    # The connection broke, and nobody told why: a node that dies tells nothing, while of a dead process its node tells. That a
    # node died is later known as text only.
    lost = (ray.exceptions.ActorUnavailableError, ray.exceptions.NodeDiedError)
    is_lost = isinstance(error, lost) or "node has died" in str(error)
    return Reason.NODE_LOST if is_lost or getattr(error, "preempted", False) else Reason.DIED


def _error_of(trial: Any) -> Exception | None:
    """What ended a Tune trial. Tune itself wrote this file a moment ago, into its own temporary folder."""
    try:
        with open(trial.pickled_error_file, "rb") as stream:
            error = ray.cloudpickle.load(stream)
    except (OSError, TypeError, EOFError, AttributeError):
        return None
    return error if isinstance(error, Exception) else None
