"""Runs a study from Python: progress where it can be seen, sentences on stderr, and an interrupt that loses nothing."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from sweeper import catalog
from sweeper.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from sweeper.driver.opened import OpenedStudy
    from sweeper.owncode import Code
    from sweeper.search.details import Repetition
    from sweeper.search.study import Search
    from sweeper.storage import Where
    from sweeper.study.spec import ConfirmSpec, StudySpec


class Options(TypedDict, total=False):
    """Where and how a study runs; the same as the options of ``sweeper launch``.

    Args:
        cluster: ``local`` for this machine, ``attach`` for a running Ray cluster, or another kind of the catalog.
        max_concurrent: Most trials at once; without, as many as fit.
        num_cpus: CPUs to use on this machine; without, all.
        num_gpus: GPUs to use on this machine; without, all.
        address: HOST:PORT of the cluster's head, with ``cluster="attach"``.
        nice: Niceness of the workers on this machine, 0 to 19; without, that of Ray, 15.
        keep_checkpoints: Completed trials of each arm that keep their last checkpoint; 3 unless given.
        checkpoint_minutes: Least time between two checkpoints of a trial; 0, one after every epoch, unless given.
        seeds_together: With JAX: most repetitions of one trial that a worker trains as one program.
        quiet: Whether to show no progress and no notes.
    """

    cluster: str
    max_concurrent: int | None
    num_cpus: int | None
    num_gpus: float | None
    address: str | None
    nice: int | None
    keep_checkpoints: int
    checkpoint_minutes: float
    seeds_together: int
    quiet: bool


def drive(
    spec: StudySpec,
    results: Where,
    code: Code | None,
    options: Options,
    *,
    opened: OpenedStudy | None,
    opening: str = "",
    repeat: Callable[[Search], Sequence[Repetition]] = lambda search: (),
    repeat_decayed: bool = False,
    confirms: ConfirmSpec | None = None,
) -> bool:
    """Run a study, or go on with it; whether it came to its end, not to that of an interrupt.

    What a driver at work elsewhere can do, that driver does, as with the command line.

    Args:
        spec: The study.
        results: Folder of all studies.
        code: The user's own code.
        options: Where and how.
        opened: The study as it is stored; None where it is not.
        opening: What to say before anything begins; empty for what is added to the study.
        repeat: Trials to repeat, as for `sweeper.driver.launch`.
        repeat_decayed: As ``repeats_decayed`` of `sweeper.driver.launch`.
        confirms: What the caller confirms once this has ended; the time left that is shown includes it.

    Raises:
        InputError: The study cannot run as asked.
        StudyLockedError: Another driver is at work on it.
        KeyboardInterrupt: It was interrupted before anything was stored.
    """
    from sweeper.driver.extending import opening_of
    from sweeper.driver.launch import launch
    from sweeper.driver.retention import KEEP_BEST
    from sweeper.ledger.ledger import StudyFolder, study_folder
    from sweeper.service.extending import hand_over
    from sweeper.service.progress import progress

    kind, given = _checked(options)
    is_quiet = options.get("quiet", False)
    added = "" if opened is None or opening else opening_of(opened, spec, repeat_decayed)
    if opening or added:
        say(opening or added, is_quiet)
    events = [] if opened is None else opened.events
    try:
        if opened is not None and added and hand_over(opened, spec, repeat_decayed, lambda line: say(line, is_quiet)):
            return False
        with _kernel_signals(), progress(spec.name, is_quiet, events=events, confirm=confirms) as watch:
            outcome = launch(
                spec,
                results,
                cluster=kind,
                max_concurrent=options.get("max_concurrent"),
                watch=watch,
                tell=lambda note: say(f"note: {note}", is_quiet),
                repeat=repeat,
                repeats_decayed=repeat_decayed,
                keep_best=options.get("keep_checkpoints", KEEP_BEST),
                checkpoint_every_s=60 * options.get("checkpoint_minutes", 0.0),
                seeds_together=options.get("seeds_together", 1),
                opened=opened,
                code=code,
                **given,
            )
        is_ended = not outcome.is_interrupted
    except KeyboardInterrupt:
        if not StudyFolder(study_folder(results, spec.name)).exists:
            say("interrupted before anything was trained; call it again to begin")
            raise
        is_ended = False
    if not is_ended:
        say("interrupted, everything is saved; call it again to go on")
    return is_ended


def say(line: str, is_quiet: bool = False) -> None:
    """Tell a person something, beside what is computed."""
    if not is_quiet:
        print(line, file=sys.stderr)


def _checked(options: Options) -> tuple[str, dict[str, Any]]:
    """The kind of cluster, and its own options, once all are known to exist."""
    known = Options.__annotations__
    if wrong := [name for name in options if name not in known]:
        raise UnknownNameError("option", wrong[0], known)
    kind = options.get("cluster", "local")
    own: dict[str, Any] = {name: options.get(name) for name in ("num_cpus", "num_gpus", "address", "nice")}
    given = {name: value for name, value in own.items() if value is not None}
    taken = catalog.parameters("cluster", kind)
    if wrong := [name for name in given if name not in taken]:
        allowed = ", ".join(taken) or "none"
        raise InputError(f"{', '.join(wrong)} cannot be used with cluster='{kind}', which takes: {allowed}. Leave it out.")
    return kind, given


@contextlib.contextmanager
def _kernel_signals() -> Iterator[None]:
    """Leave nothing changed that a notebook's kernel goes on with: Ray and Tune set what SIGINT and SIGTERM do."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # one that was not set by Python
                signal.signal(number, handler)
