"""The driver: runs a study from its first trial, or from where its ledger ends.

Launching a study that exists IS resuming it: the ledger is folded through the search, then the same loop goes on. `launch` reads
as its steps; each is a function below it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import os
import socket
import time
from collections.abc import Callable, Collection, Sequence
from concurrent import futures
from typing import TYPE_CHECKING, Any

from sweeper import catalog
from sweeper.driver import exposure, extending, inputs, nodes, own, provenance, requests
from sweeper.driver.background import meanwhile
from sweeper.driver.connection import connected, dashboard, load_ray
from sweeper.driver.inputs import Inputs
from sweeper.driver.joining import Checked
from sweeper.driver.opened import OpenedStudy, open_study
from sweeper.driver.order import Order
from sweeper.driver.places import Places, fits
from sweeper.driver.retention import KEEP_BEST, CheckpointRetention
from sweeper.driver.session import Session
from sweeper.driver.waiting import Waiting
from sweeper.errors import InputError, StudyLockedError
from sweeper.ledger import lock
from sweeper.ledger.ledger import Ledger, StudyFolder, study_folder
from sweeper.ledger.lock import Lock
from sweeper.ledger.records import Event, Kind
from sweeper.owncode import Code
from sweeper.search import details, lessons
from sweeper.search.details import Repetition
from sweeper.search.study import Search
from sweeper.storage import Place, Where
from sweeper.study.spec import StudySpec

if TYPE_CHECKING:
    from sweeper.datasets import Dataset
    from sweeper.training.trial import TrialWorker

COMPACT_AT_END = 64
"""Parts from which the ledger is compacted when a driver ends."""

FAULT_SHOWS_S = 0.1
"""Time for data that are missing to be found missing, before Ray is started for nothing. Other faults show while it starts."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run of the driver ended.

    Args:
        study: The study as it is stored now.
        was_finished: Whether there was nothing left to do.
        is_interrupted: Whether a signal ended it; everything is saved.
    """

    study: OpenedStudy
    was_finished: bool
    is_interrupted: bool

    @property
    def folder(self) -> Place:
        """The study's folder."""
        return self.study.folder

    @property
    def search(self) -> Search:
        """The state of the study."""
        return self.study.search


def launch(
    spec: StudySpec,
    results_folder: Where = "results",
    *,
    cluster: str = "local",
    max_concurrent: int | None = None,
    watch: Callable[[Search, Event | None], None] = lambda search, event: None,
    tell: Callable[[str], None] = lambda note: None,
    repeat: Callable[[Search], Sequence[Repetition]] = lambda search: (),
    repeats_decayed: bool = False,
    keep_best: int = KEEP_BEST,
    checkpoint_every_s: float = 0.0,
    seeds_together: int = 1,
    worker: Callable[..., TrialWorker] | None = None,
    opened: OpenedStudy | None = None,
    code: Code | None = None,
    **cluster_options: Any,
) -> Outcome:
    """Run a study until its budget is spent or a signal ends it.

    A study that exists under the same name is resumed: finished trials are not run again, interrupted ones go on from their
    newest checkpoint. If more trials, epochs or arms are asked for than it has, it is extended; see `sweeper.search.extension`.

    Args:
        spec: The study.
        results_folder: Folder of all studies, or ``s3://BUCKET/PREFIX``.
        cluster: Kind of cluster, a name in the catalog.
        max_concurrent: Most trials at once; None for as many as the resources allow.
        watch: Called with the search and every event once it is applied, and with None before Ray starts and about every second.
        tell: Called with each of the dataset's notes once the data are read: what was carved, converted or left out; then with
            what the study learned from earlier ones.
        repeat: Gives the trials to repeat, beyond what the study's ledger asks for already; see `sweeper.search.repetition`.
        repeats_decayed: When the study gets more epochs: whether completed trials whose learning rate decays are trained anew.
        keep_best: Completed trials of each arm that keep their last checkpoint; see `sweeper.driver.retention`.
        checkpoint_every_s: Least time between two checkpoints of a trial, in seconds; 0 for one after every epoch.
        seeds_together: Most repetitions of one trial that a worker trains as one program; above 1 on JAX alone.
        worker: Makes what runs the trials in each worker process; None for `sweeper.training.trial.Worker`, which trains them.
        opened: The stored study, if the caller has opened it already, so that it need not be read again.
        code: A user's own code (`sweeper.owncode.read`), which workers get by value; None for what the catalog uses already.
        cluster_options: Arguments of the function of the cluster kind, for example ``num_cpus`` of `cluster.local`.

    Returns:
        The outcome.

    Raises:
        InputError: The study cannot run as asked: a study of this name that cannot become this one, missing data, weights or own
            code, an earlier study that teaches nothing, too few resources.
        StudyLockedError: Another driver is at work on it.
    """
    order = Order(
        spec=spec,
        results_folder=results_folder,
        cluster=cluster,
        cluster_options=cluster_options,
        max_concurrent=max_concurrent,
        watch=watch,
        tell=tell,
        repeat=repeat,
        repeats_decayed=repeats_decayed,
        keep_best=keep_best,
        checkpoint_every_s=checkpoint_every_s,
        seeds_together=seeds_together,
        worker=worker,
    )
    _check(order)
    files = StudyFolder(study_folder(results_folder, spec.name))
    with catalog.using(code):
        if opened is None and files.exists:
            opened = open_study(files)
        if opened is not None and not _is_anything_left(order, opened):
            return _tidied(order, opened)
        return _run(order, files, opened)


def _run(order: Order, files: StudyFolder, opened: OpenedStudy | None) -> Outcome:
    """The run itself: take the lock, load while Ray starts, extend, drive, finish."""
    first = order.spec if opened is None else opened.first
    if opened is not None:
        own.check_known(opened)
        for note in own.changes(opened.events, catalog.current()):
            order.tell(note)
    order.watch(Search(first, {}) if opened is None else opened.search, None)
    for arm in first.arms:
        first.space_of(arm)  # one that is not installed here is a fault before Ray starts
    loading = meanwhile(lambda: inputs.load(order, first, opened))
    with lock.preparing(files.folder) as held:
        return _run_held(order, files, opened, loading, held)


def _run_held(
    order: Order, files: StudyFolder, opened: OpenedStudy | None, loading: futures.Future[Inputs], held: Lock
) -> Outcome:
    first = order.spec if opened is None else opened.first
    load_ray()  # this takes a moment, in which many a fault of the data shows
    if futures.wait([loading], timeout=FAULT_SHOWS_S).done:
        loading.result()
    started = time.monotonic()
    whole = _whole(order, opened)
    with connected(whole, order.cluster, order.cluster_options) as is_private:
        ray_s = time.monotonic() - started
        given = loading.result()
        for note in (*given.dataset.notes, *(lessons.words(source.facts()) for source in given.sources)):
            order.tell(note)
        # Before anything is created: a study that cannot run here leaves nothing that its corrected file would differ from.
        places, checked = _places(order, whole, _needed(order, opened, whole), given.dataset, is_private=is_private)
        if opened is None:
            files.create(first.to_yaml())
        workers = sum(places.plan(dict.fromkeys(whole.shapes, 1)).values())
        own.store(files.folder, catalog.current())
        with files.drive(_driver_detail(workers, ray_s), study_id=first.study_id, lock=held) as ledger:
            study = _under_lock(files, opened, ledger)
            waiting = Waiting(files.folder, order.tell)
            session = _session(order, study, ledger, given, places, waiting)
            order.watch(study.search, ledger.started)
            _extend(order, session, study, given.sources)
            trainable = _trainable(order, study, ledger, given, checked)
            del given  # the only copy of the arrays on this machine is now the one in the object store
            run = functools.partial(_run_tune, study.first.name, session, trainable, is_private=is_private)
            with contextlib.closing(waiting):
                _drive(session, study, run, lambda: _repeat(order, session))
            study = _finish(study, ledger)
    return Outcome(study=study, was_finished=False, is_interrupted=not study.search.is_finished)


# ----------------------------------------------------------------------------------------------- before and while Ray starts


def _check(order: Order) -> None:
    """Raise `InputError` unless the cluster's kind is known, the backend installed, and able to do what is asked of it."""
    catalog.check("cluster", order.cluster)
    backend = order.spec.training.backend
    if importlib.util.find_spec(backend) is None:
        raise InputError(f"training.backend: {backend} is not installed here. Install it, or name another backend.")
    if order.seeds_together > 1 and backend != "jax":
        raise InputError(
            f"--seeds-together {order.seeds_together}: only JAX trains several seeds as one program, and study "
            f"'{order.spec.name}' trains with {backend}. Leave it out, or begin a study with training: {{backend: jax}}."
        )


def _is_anything_left(order: Order, opened: OpenedStudy) -> bool:
    """Whether a stored study has trials left, gets more, is asked for more by others, or has trials to repeat."""
    grown = extending.extension_to(opened, order.spec, repeats_decayed=order.repeats_decayed)
    if grown is not None or not opened.search.is_finished or any(True for _ in requests.waiting(opened.folder)):
        return True
    return bool(order.repeat(opened.search))


def _tidied(order: Order, opened: OpenedStudy) -> Outcome:
    """What a driver does last, done once more: one that was killed after its last commit did none of it."""
    with contextlib.suppress(StudyLockedError), opened.files.hold():
        if opened.files.part_names() != opened.parts:  # another driver came and went
            opened = open_study(opened.files)
        _retention(order, opened).clean()
        opened.write_tables()
    return Outcome(study=opened, was_finished=True, is_interrupted=False)


def _whole(order: Order, opened: OpenedStudy | None) -> StudySpec:
    """The study asked for, with the arms that the stored one got since it began."""
    return order.spec if opened is None else order.spec.model_copy(update={"arms": {**opened.spec.arms, **order.spec.arms}})


def _places(
    order: Order, whole: StudySpec, needed: Collection[str], dataset: Dataset, *, is_private: bool
) -> tuple[Places, Checked]:
    """The nodes of the running Ray; on a cluster every one on which a trial fits must be able to work for the study."""
    places = Places(nodes.offers, order.max_concurrent, order.tell)
    nodes.check_fit(places.offers, whole, needed)
    shapes = dict.fromkeys(map(whole.resources_of, needed))
    asked = frozenset(offer.node for offer in places.offers if any(fits(offer, shape) for shape in shapes))
    if not is_private:
        if warning := exposure.without_token():
            order.tell(warning)
        nodes.check_facts(whole.training, *shapes)
        nodes.check_images(dataset.files, *shapes)
        nodes.check_results(order.results_folder, *shapes)
    return places, Checked(nodes=asked, versions=nodes.versions(whole.training))


def _needed(order: Order, opened: OpenedStudy | None, whole: StudySpec) -> list[str]:
    """The arms that have trials left: new ones, those of a study that grows, and those with trials to come or to repeat."""
    if opened is None or whole.budget != opened.spec.budget:
        return [*whole.arms]
    begun = {trial.arm for trial in inputs.to_repeat(order, opened.search)}
    return [arm for arm in whole.arms if arm not in opened.spec.arms or arm in begun or opened.search.to_come(arm)]


# ------------------------------------------------------------------------------------------------------------ under the lock


def _driver_detail(workers: int, ray_s: float) -> dict[str, Any]:
    """What the `driver_started` event says of this run, beside what the ledger adds: see `sweeper.ledger.tables.runs`."""
    facts = {"host": socket.gethostname(), "pid": os.getpid(), "versions": provenance.versions()}
    shown = {} if (found := dashboard()) is None else {"dashboard": found}
    return {**facts, "workers": workers, "ray_s": round(ray_s, 3), **shown, **own.detail(catalog.current())}


def _under_lock(files: StudyFolder, opened: OpenedStudy | None, ledger: Ledger) -> OpenedStudy:
    """The study as the lock found it: as it was opened, unless another driver has written since."""
    if opened is None or opened.parts != ledger.found:
        return open_study(files)
    opened.follow(ledger.started)
    return opened


def _retention(order: Order, study: OpenedStudy) -> CheckpointRetention:
    return CheckpointRetention(study.folder / "checkpoints", study.search, order.keep_best)


def _session(order: Order, study: OpenedStudy, ledger: Ledger, inputs: Inputs, places: Places, waiting: Waiting) -> Session:
    """The session; its beat takes requests, looks after the Ray we started, and for nodes that joined or left."""

    def beat(event: Event | None) -> None:
        if event is None:
            nodes.check_own()
            places.look()
            waiting.follow(session)
            extending.take_requests(session, study)
        order.watch(session.search, event)

    session = Session(
        study.search,
        ledger,
        _retention(order, study),
        places,
        beat,
        provenance.constants_of(study.first, inputs.dataset),
        inputs.have_weights,
        seeds_together=order.seeds_together,
    )
    return session


def _extend(order: Order, session: Session, study: OpenedStudy, sources: list[lessons.Source]) -> None:
    """Record what the study begins with, or what it gets more of: its file, lessons, an extension, repetitions."""
    if not any(event.kind is Kind.CREATED for event in study.events):
        session.record(Event(kind=Kind.CREATED, detail=study.first.canonical()))
    if sources and not any(event.kind is Kind.LEARNED for event in study.events):
        session.record(lessons.learned_event(sources))
    extending.extend(session, study, order.spec, repeats_decayed=order.repeats_decayed)
    _repeat(order, session)


def _repeat(order: Order, session: Session) -> None:
    """Record the trials that are to be repeated, as far as they are known by now; none before the search has ended."""
    if session.search.is_searched and (repetitions := order.repeat(session.search)):
        session.record(details.planned_event(repetitions))
    session.commit()


def _trainable(order: Order, study: OpenedStudy, ledger: Ledger, inputs: Inputs, checked: Checked) -> Any:
    """What Tune runs on a worker."""
    from sweeper.driver import tune
    from sweeper.training.trial import Worker

    return tune.trainable(
        tune.Context(
            train=inputs.dataset.train,
            validation=inputs.dataset.validation,
            num_classes=inputs.dataset.num_classes,
            training=study.first.training,
            checkpoints=(study.folder / "checkpoints").resolve(),
            checkpoint_every_s=order.checkpoint_every_s,
            claim=ledger.claim,
            pretrained=inputs.pretrained,
            limits=study.first.limits,
            test=inputs.test,
            is_carved=inputs.dataset.can_be_carved,
            class_names=inputs.dataset.class_names,
            predictions=(study.folder / "predictions").resolve(),
            worker=order.worker or Worker,
            code=catalog.current(),
            checked=checked,
        )
    )


def _run_tune(name: str, session: Session, trainable: Any, *, is_private: bool) -> None:
    from sweeper.driver import tune

    tune.run(name, session, trainable, is_private=is_private)


def _drive(session: Session, study: OpenedStudy, run: Callable[[], None], ask: Callable[[], None] = lambda: None) -> None:
    """Run until nothing is left to do, also of what is asked for while the last trial ends, or a signal comes."""
    run()
    while session.is_exhausted:
        extending.take_requests(session, study)
        ask()
        if session.search.propose() is None:
            return
        session.is_exhausted = False
        run()


def _finish(study: OpenedStudy, ledger: Ledger) -> OpenedStudy:
    """Merge parts and write the tables; the study as it is stored now."""
    ledger.compact(min_parts=COMPACT_AT_END)
    study = dataclasses.replace(study, parts=study.files.part_names(), events=study.files.read())
    study.write_tables()
    return study
