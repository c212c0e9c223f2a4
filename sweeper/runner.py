"""The driver: runs a study on Ray Tune, from its first trial or from where its ledger ends.

Launching a study that exists IS resuming it: the ledger is folded through the search, then the same loop goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sweeper import catalog, nodes, provenance, requests, store, stored, tables, transfer
from sweeper.datasets import Dataset
from sweeper.errors import InputError, StudyLockedError, SweeperError
from sweeper.keeper import KEEP_BEST, CheckpointKeeper
from sweeper.records import Event, Kind
from sweeper.search import extension, repetition
from sweeper.search.repetition import Repetition
from sweeper.search.study import Search
from sweeper.spec import StudySpec
from sweeper.storage import Place, Where

if TYPE_CHECKING:
    from sweeper.training.pretrained import Pretrained
    from sweeper.training.trial import TrialWorker
    from sweeper.tune import Session


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run of the driver ended.

    Args:
        folder: The study's folder.
        was_finished: Whether there was nothing left to do.
        is_interrupted: Whether a signal ended it; everything is saved.
        search: The state of the study.
    """

    folder: Place
    was_finished: bool
    is_interrupted: bool
    search: Search


def launch(
    spec: StudySpec,
    results: Where = "results",
    *,
    cluster: str = "local",
    max_concurrent: int | None = None,
    watch: Callable[[Search, Event | None], None] = lambda search, event: None,
    repeat: Callable[[Search], Sequence[Repetition]] = lambda search: (),
    repeats_decayed: bool = False,
    keep_best: int = KEEP_BEST,
    checkpoint_every_s: float = 0.0,
    worker: Callable[..., TrialWorker] | None = None,
    **cluster_options: Any,
) -> Outcome:
    """Run a study until its budget is spent or a signal ends it.

    A study that exists under the same name is resumed: finished trials are not run again, interrupted ones go on from their
    newest checkpoint. If more trials, epochs or arms are asked for than it has, it is extended; see `sweeper.search.extension`.

    Args:
        spec: The study.
        results: Folder of all studies, or ``s3://BUCKET/PREFIX``.
        cluster: Kind of cluster, a name in the catalog.
        max_concurrent: Most trials at once; None for as many as the resources allow.
        watch: Called with the search and every event once it is applied, and with None before Ray starts and about every second.
        repeat: Gives the trials to repeat, beyond what the study's ledger asks for already; see `sweeper.search.repetition`.
        repeats_decayed: When the study gets more epochs: whether completed trials whose learning rate decays are trained anew.
        keep_best: Completed trials of each arm that keep their last checkpoint; see `sweeper.keeper`.
        checkpoint_every_s: Least time between two checkpoints of a trial, in seconds; 0 for one after every epoch.
        worker: Makes what runs the trials in each worker process; None for `sweeper.training.trial.Worker`, which trains them.
        cluster_options: Arguments of the function of the cluster kind, for example ``num_cpus`` of `cluster.local`.

    Returns:
        The outcome.

    Raises:
        InputError: The study cannot run as asked: a study of this name that cannot become this one, missing data or weights, too
            few resources.
        StudyLockedError: Another driver is at work on it.
    """
    catalog.check("cluster", cluster)
    if importlib.util.find_spec(spec.training.backend) is None:
        raise InputError(f"training.backend: {spec.training.backend} is not installed here. Install it, or name another backend.")
    folder = store.study_folder(results, spec.name)
    study = store.StudyStore(folder)
    wanted = spec
    if study.exists:
        so_far = study.read()
        spec = stored.checked_spec(study, so_far)
        search = Search(spec).fold(so_far)
        grown = stored.extension_to(search, wanted, study, repeats_decayed=repeats_decayed)
        is_asked = any(True for _ in requests.waiting(folder))
        if grown is None and search.is_finished and not is_asked and not repeat(search):
            _tidy(study, spec, keep_best)
            return Outcome(folder=folder, was_finished=True, is_interrupted=False, search=search)
    from sweeper.tune import Session

    dataset = load_dataset(spec)
    current, search = search.spec if study.exists else None, Search(spec)
    watch(search, None)
    pretrained, have_weights = _weights(wanted, current, folder, dataset)
    with _ray(spec, cluster, cluster_options) as is_private:
        # Before anything is created: a study that cannot run here leaves nothing that its corrected file would differ from.
        slots = nodes.slots(spec.resources)
        if not is_private:
            nodes.check_results(results, spec.resources)
        constants = provenance.constants_of(spec, dataset)
        if not study.exists:
            study.create(spec.to_yaml())
        detail = {"host": socket.gethostname(), "pid": os.getpid(), "versions": provenance.versions()}
        with study.drive(detail, study_id=spec.study_id) as ledger:
            events = study.read()
            search.fold(events)

            def beat(event: Event | None) -> None:
                if event is None:
                    nodes.check_own()
                    _take_requests(session, study)
                watch(search, event)

            # One more than run at once, so that a worker that becomes free finds its next trial waiting; where fewer are to run
            # than fit, nothing but this number keeps Tune from starting the waiting one as well.
            most_live = min(slots + 1, max_concurrent or slots + 1)
            session = Session(
                search, ledger, CheckpointKeeper(folder / "checkpoints", search, keep_best), most_live, beat, constants
            )
            session.have_weights = have_weights
            if not any(event.kind is Kind.CREATED for event in events):
                session.record(Event(kind=Kind.CREATED, detail=spec.canonical()))
            _extend(session, study, wanted, repeats_decayed=repeats_decayed)
            if repetitions := repeat(search):
                session.record(repetition.event(repetitions))
            session.commit()
            trainable = _trainable(
                spec,
                dataset,
                worker,
                pretrained=pretrained,
                checkpoints=(folder / "checkpoints").resolve(),
                checkpoint_every_s=checkpoint_every_s,
                claim=ledger.claim,
            )
            del dataset, pretrained  # the only copy of the arrays on this machine is now the one in the object store
            _run_to_end(session, study, lambda: _run(spec.name, session, trainable, slots))
            ledger.compact(min_parts=64)
            tables.write_tables(folder, study.read())
    return Outcome(folder=folder, was_finished=False, is_interrupted=not search.is_finished, search=search)


def _tidy(study: store.StudyStore, spec: StudySpec, keep_best: int) -> None:
    """What a driver does last, once more: one that was killed after its last commit did none of it."""
    with contextlib.suppress(StudyLockedError), study.hold():
        events = study.read()
        CheckpointKeeper(study.folder / "checkpoints", Search(spec).fold(events), keep_best).clean()
        tables.write_tables(study.folder, events)


def load_dataset(spec: StudySpec) -> Dataset:
    """The study's dataset; the test split is not read.

    Raises:
        DatasetError: The data are missing or wrong.
    """
    dataset = catalog.load("dataset", spec.dataset.name)(**spec.dataset.options)
    assert isinstance(dataset, Dataset)
    return dataset


def _weights(
    wanted: StudySpec, current: StudySpec | None, folder: Place, dataset: Dataset
) -> tuple[dict[str, Pretrained], set[str]]:
    """As `transfer.weights_for`, for a study as it shall be and, if it exists, as it is and as requests in its folder want it."""
    if current is None:
        return transfer.weights_for(wanted, [], dataset)
    if waiting := [asked for _, asked, _ in requests.waiting(folder)]:
        with contextlib.suppress(InputError):  # one that cannot be met is passed over when it is taken
            return transfer.weights_for(wanted, [current, *waiting], dataset)
    return transfer.weights_for(wanted, [current], dataset)


def _extend(session: Session, study: store.StudyStore, wanted: StudySpec, *, repeats_decayed: bool) -> None:
    """Record what must be added to the study so that it is the one asked for.

    Raises:
        InputError: It cannot become that one; or it would get arms that begin with weights, which a driver reads as it starts.
    """
    grown = stored.extension_to(session.search, wanted, study, repeats_decayed=repeats_decayed)
    if grown is None:
        return
    if late := {arm.name for arm in transfer.asking(grown.study)} - session.have_weights:
        raise InputError(f"weights for {', '.join(sorted(late))} were not read when this driver started.")
    for name, arm in grown.study.arms.items():  # a request may come from where there is more in the catalog
        catalog.check("architecture", arm.architecture)
        grown.study.space_of(name)
    for event in extension.events(session.search, grown):
        session.record(event)


def _take_requests(session: Session, study: store.StudyStore) -> None:
    """Take what others asked for; what the study has already, or cannot become, is passed over."""
    for path, wanted, repeats_decayed in [*requests.waiting(study.folder)]:
        with contextlib.suppress(InputError):
            _extend(session, study, wanted, repeats_decayed=repeats_decayed)
        session.commit()
        with contextlib.suppress(OSError):  # taking it again changes nothing
            path.remove()


def _run_to_end(session: Session, study: store.StudyStore, run: Callable[[], None]) -> None:
    """Run until nothing is left to do, also of what is asked for while the last trial ends, or a signal comes."""
    run()
    while session.is_exhausted:
        _take_requests(session, study)
        if session.search.propose() is None:
            return
        session.is_exhausted = False
        run()


def _trainable(spec: StudySpec, dataset: Dataset, worker: Callable[..., TrialWorker] | None, **context: Any) -> Any:
    """What Tune runs on a worker; the data are in the object store, where each node holds them once."""
    from ray import tune

    from sweeper.training.trial import Worker
    from sweeper.tune import Context, TrialActor

    made = Context(
        train=dataset.train,
        validation=dataset.validation,
        num_classes=dataset.num_classes,
        training=spec.training,
        resources=spec.resources,
        worker=worker or Worker,
        **context,
    )
    resources = {"cpu": spec.resources.cpus_per_trial, "gpu": spec.resources.gpus_per_trial}
    return tune.with_resources(tune.with_parameters(TrialActor, context=made), resources)


def _run(name: str, session: Session, trainable: Any, slots: int) -> None:
    """Drive a study on a running Ray, where `slots` trials fit at once, until nothing is left to do or a signal comes."""
    from ray import tune

    from sweeper.tune import CallbackAdapter, SchedulerAdapter, SearcherAdapter

    with tempfile.TemporaryDirectory(prefix="sweeper-tune-") as storage, _tune_environment(slots), _terminate() as was_signalled:
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
def _ray(spec: StudySpec, cluster: str, options: dict[str, Any]) -> Iterator[bool]:
    """A running Ray: the one already connected to, or one of the cluster's kind, left at the end of the block.

    Gives whether it is one of our own on this machine, which then ends with the block.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Tune cannot tell a worker that Ray's memory monitor killed from a fault of its own, and ends the sweep. One that the
    # kernel kills is a dead worker like any other, and its trial is tried again.
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    # How long to wait for word of why a connection to a worker broke: one second is too little for a busy machine.
    os.environ.setdefault("RAY_timeout_ms_task_wait_for_death_info", "5000")
    import ray

    if ray.is_initialized():
        yield cluster == "local"
        return
    with tempfile.TemporaryDirectory(prefix="sweeper-keras-") as keras_home:
        arguments = ray_arguments(spec, cluster, options, keras_home)
        try:
            try:
                ray.init(**arguments)
            except Exception as error:  # Ray raises bare ones too, when a process of its own dies as it starts
                raise SweeperError(f"--cluster {cluster}: Ray cannot be used: {error}") from error
            yield arguments["address"] == "local"
        finally:
            ray.shutdown()


def ray_arguments(spec: StudySpec, cluster: str, options: dict[str, Any], keras_home: str) -> dict[str, Any]:
    """Arguments of ``ray.init`` for a study.

    Args:
        spec: The study: its backend and resources decide the environment of the workers.
        cluster: Kind of cluster.
        options: Arguments of that kind.
        keras_home: A folder for Keras's own files; on machines where it does not exist Keras makes it.

    Raises:
        InputError: The kind of cluster cannot be used as asked.
    """
    from sweeper.training.devices import environment

    arguments: dict[str, Any] = catalog.load("cluster", cluster)(**options)
    runtime_env = {"env_vars": environment(spec.training, spec.resources, keras_home), **arguments.pop("runtime_env", {})}
    return {"runtime_env": runtime_env, "logging_level": logging.ERROR, **arguments}


@contextlib.contextmanager
def _tune_environment(slots: int) -> Iterator[None]:
    """Tune's settings, read from the environment, and silence for its loggers, which repeat what we report; undone afterwards."""
    settings = {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "100000",
        "TUNE_FORCE_TRIAL_CLEANUP_S": "60",
        "TUNE_MAX_PENDING_TRIALS_PG": str(slots),
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    loggers = [logging.getLogger(name) for name in ("ray.tune", "ray.train", "ray.air")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
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
