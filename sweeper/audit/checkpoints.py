"""Whether every checkpoint is whole and still needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from sweeper.audit.findings import Finding, Found
from sweeper.audit.trials import History
from sweeper.ledger.records import Status
from sweeper.storage import Place
from sweeper.training.checkpoint import Listed

REMOVED = "--repair removes it"


def check(
    listing: Sequence[Listed],
    trials: Mapping[str, History],
    statuses: Mapping[str, Status],
    problem: Callable[[Place], str | None],
) -> Iterable[Finding]:
    """What is wrong with the checkpoints of a study.

    Args:
        listing: Every file among them, listed before the ledger was read: an attempt is in the ledger before it writes.
        trials: What the ledger says of every trial.
        statuses: The status of every trial.
        problem: Why a checkpoint cannot be read; None when it can.
    """
    newest: set[str] = set()
    for file in sorted(listing, key=lambda file: (file.attempt or 0, file.epoch or 0), reverse=True):
        kind, what = _judge(file, trials.get(file.trial), statuses.get(file.trial))
        if kind is None and file.trial in newest and statuses[file.trial] is Status.COMPLETED:
            kind, what = Found.USELESS, "the trial is complete, and there is a newer one"
        elif kind is None and (damage := problem(file.path)) is not None:
            kind, what = Found.TORN, f"it cannot be read: {damage}"
        if kind is None:
            newest.add(file.trial)
        else:
            yield Finding(kind=kind, where=str(file.path), what=what, repair=REMOVED, files=(file.path,))


def _judge(file: Listed, trial: History | None, status: Status | None) -> tuple[Found | None, str]:
    """What is wrong with a checkpoint, whatever its content."""
    if file.attempt is None:
        return Found.LEFTOVER, "a worker was killed while it wrote it"
    if trial is None:
        return Found.ORPHANED, "the ledger knows no such trial"
    if file.attempt > trial.last_attempt:
        return Found.ORPHANED, f"the ledger knows no attempt {file.attempt} of this trial"
    if status in (Status.STOPPED, Status.FAILED):
        return Found.USELESS, f"the trial has {status}"
    return None, ""
