"""Whether every checkpoint is whole and of use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sweeper.audit.findings import Finding, Found
from sweeper.audit.trials import History
from sweeper.records import Status
from sweeper.training.checkpoint import Listed

REMOVED = "--repair removes it"


def check(
    listing: Sequence[Listed],
    trials: Mapping[str, History],
    statuses: Mapping[str, Status],
    problem: Callable[[Path], str | None],
) -> Iterable[Finding]:
    """What is wrong with the checkpoints of a study.

    Args:
        listing: Every file among them, listed before the ledger was read: an attempt is in the ledger before it writes.
        trials: What the ledger says of every trial.
        statuses: Where every trial stands.
        problem: Why a checkpoint cannot be read; None when it can.
    """
    newest: dict[str, tuple[int, int]] = {}
    for file in listing:
        if file.attempt is not None and file.epoch is not None:
            newest[file.trial] = max(newest.get(file.trial, (0, 0)), (file.attempt, file.epoch))
    for file in listing:
        kind, what = _judge(file, trials.get(file.trial), statuses.get(file.trial), newest.get(file.trial), problem)
        if kind is not None:
            yield Finding(kind=kind, where=str(file.path), what=what, repair=REMOVED, files=(file.path,))


def _judge(
    file: Listed,
    trial: History | None,
    status: Status | None,
    newest: tuple[int, int] | None,
    problem: Callable[[Path], str | None],
) -> tuple[Found | None, str]:
    if file.attempt is None:
        return Found.LEFTOVER, "a worker was killed while it wrote it"
    if trial is None:
        return Found.ORPHANED, "the ledger knows no such trial"
    if file.attempt > trial.last_attempt:
        return Found.ORPHANED, f"the ledger knows no attempt {file.attempt} of this trial"
    if status in (Status.STOPPED, Status.FAILED):
        return Found.USELESS, f"the trial has {status}"
    if status is Status.COMPLETED and (file.attempt, file.epoch) != newest:
        return Found.USELESS, "the trial is complete, and there is a newer one"
    damage = problem(file.path)
    return (None, "") if damage is None else (Found.TORN, f"it cannot be read: {damage}")
