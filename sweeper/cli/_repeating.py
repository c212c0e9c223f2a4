"""What commands say before they train trials again: how many, and how long that takes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sweeper.analysis.results import Results
    from sweeper.driver.opened import OpenedStudy
    from sweeper.search.details import Repetition
    from sweeper.study.spec import ResourcesSpec


def slots_of(
    resources: ResourcesSpec, *, cluster: str, max_concurrent: int | None, num_cpus: int | None, **other: Any
) -> int | None:
    """Trials that run at once; None where that is not known before Ray is asked: on a cluster, and with GPUs."""
    if cluster != "local" or resources.gpus_per_trial:
        return max_concurrent
    fit = max((num_cpus or os.cpu_count() or 1) // resources.cpus_per_trial, 1)
    return min(fit, max_concurrent or fit)


def check_at_rest(study: OpenedStudy) -> None:
    """Raise `InputError` if a driver is at work on the search of a study, whose end is to be waited for."""
    from sweeper.errors import InputError

    if study.files.owner is not None and not study.search.is_searched:
        name = study.first.name
        raise InputError(f"study '{name}' is searching now. Wait until that has ended: sweeper status {name} --watch")


def announcement(data: Results, planned: Sequence[Repetition], *, num_known: int, slots: int | None) -> str:
    """What is about to be trained, and how long that will take, going by how long the trials to be repeated took."""
    from sweeper.analysis.summary import expected_seconds
    from sweeper.cli._shared import counted

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
