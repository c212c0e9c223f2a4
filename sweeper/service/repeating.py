"""Training trials again: which, how many, and how long that takes."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sweeper.analysis.results import Results
    from sweeper.driver.opened import OpenedStudy
    from sweeper.search.details import Repetition
    from sweeper.search.study import Search
    from sweeper.study.spec import ConfirmSpec, ResourcesSpec


def slots_of(
    shapes: Sequence[ResourcesSpec], *, cluster: str, max_concurrent: int | None, num_cpus: int | None, **other: Any
) -> int | None:
    """Trials that run at once; None where that is not known before Ray is asked: on a cluster, and with GPUs.

    Args:
        shapes: What trials occupy, as `StudySpec.shapes` gives it.
        cluster: Kind of cluster.
        max_concurrent: As for `launch`.
        num_cpus: As for `launch`.
        other: Further options, which do not matter here.
    """
    from sweeper.driver.places import Offer, plan

    if cluster != "local" or any(shape.gpus_per_trial for shape in shapes):
        return max_concurrent
    here = Offer(cpus=float(num_cpus or os.cpu_count() or 1), memory_gb=math.inf)
    return max(sum(plan([here], dict.fromkeys(shapes, 1), max_concurrent).values()), 1)


def check_at_rest(study: OpenedStudy) -> None:
    """Raise `InputError` if a driver is at work on the search of a study, whose end is to be waited for."""
    from sweeper.errors import InputError

    if study.files.owner is not None and not study.search.is_searched:
        name = study.first.name
        raise InputError(f"study '{name}' is searching now. Wait until that has ended: sweeper status {name} --watch")


def announcement(data: Results, planned: Sequence[Repetition], *, num_known: int, slots: int | None) -> str:
    """What is about to be trained, and how long that will take, going by how long the trials to be repeated took."""
    from sweeper.analysis.summary import expected_seconds
    from sweeper.service.words import counted

    if not planned:
        return f"going on with {counted(num_known, 'repetition')} asked for before" if num_known else "nothing new to repeat"
    parents = list(dict.fromkeys(repetition.parent for repetition in planned))
    seconds = expected_seconds(data, [(repetition.parent, repetition.max_epochs) for repetition in planned])
    if seconds is None:
        time = "how long it takes is not known, because some of these trials never ended an epoch"
    else:
        time = f"about {duration(seconds)} of a worker's time"
        time += f", {duration(seconds / min(slots, len(planned)))} with {counted(slots, 'worker')}" if slots else ""
    epochs = sum(repetition.max_epochs for repetition in planned)
    return f"repeating {', '.join(parents)}: {counted(len(planned), 'trial')}, {counted(epochs, 'epoch')}; {time}"


def duration(seconds: float) -> str:
    """Seconds in a unit that suits them."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def best_of_arms(data: Results) -> list[str]:
    """The best completed trial of each arm that has one."""
    from sweeper.analysis.results import at_stage, best_trials
    from sweeper.errors import InputError

    best: list[str] = best_trials(at_stage(data, "search"))["trial"].to_list()
    if not best:
        raise InputError(f"no arm of study '{data.study}' has a completed trial; name the trials to repeat, or defaults.")
    return best


def confirmations(opened: OpenedStudy, asked: ConfirmSpec) -> Callable[[Search], list[Repetition]]:
    """What gives the repetitions that confirm a study, given its search.

    Raises:
        InputError: A driver searches now, or there is nothing to confirm.
    """
    from sweeper.errors import InputError
    from sweeper.search import confirmation

    def plan(search: Search) -> list[Repetition]:
        return confirmation.plan(search, per_arm=asked.per_arm, num_seeds=asked.seeds, is_racing=asked.allocation == "racing")

    check_at_rest(opened)
    plan(opened.search)  # which says how much of the search is left
    if not any(confirmation.best(opened.search, arm) for arm in opened.spec.arms):
        raise InputError(f"no arm of study '{opened.first.name}' has a completed trial, so there is nothing to confirm.")
    return plan


def timed(study: OpenedStudy, say: Callable[[str], None]) -> OpenedStudy:
    """The study with the networks of its confirm stage timed, which `say` is told of."""
    from sweeper.driver import timing
    from sweeper.ledger.records import Stage
    from sweeper.service.words import counted

    networks = timing.to_time(study, [Stage.CONFIRM])
    if not networks:
        return study
    say(f"timing {counted(len(networks), 'network')}, alone on this machine")
    return timing.time_networks(study, networks, tell=lambda line: say(f"  {line}"))
