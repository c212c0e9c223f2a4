"""Whether the events of every trial are complete and in order: suggestion, attempts, epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from sweeper.audit.findings import Finding, Found
from sweeper.audit.ledger import ranges
from sweeper.ledger.records import METRICS, Event, Kind, Status

AGAIN = "the next resume does it again"


@dataclasses.dataclass(kw_only=True)
class History:
    """What the ledger says of one trial.

    Args:
        trial: Its id.
        suggested: Attempts that were suggested, in order.
        early: Rows before its first suggestion; a search skips them.
        attempts: Attempts that rows mention.
        epochs: Its epoch rows by epoch, in order.
        paused: How often it waited at a rung: what follows is no retry.
    """

    trial: str
    suggested: list[int] = dataclasses.field(default_factory=list)
    early: int = 0
    attempts: set[int] = dataclasses.field(default_factory=set)
    epochs: dict[int, list[Event]] = dataclasses.field(default_factory=dict)
    paused: int = 0

    @property
    def last_attempt(self) -> int:
        """The newest attempt known, 0 for none."""
        return max([0, *self.suggested, *self.attempts])


def histories(events: Iterable[Event]) -> dict[str, History]:
    """What the ledger says of every trial, in order of their first rows."""
    trials: dict[str, History] = {}
    for event in events:
        if event.trial is None or event.kind not in (Kind.SUGGESTED, Kind.EPOCH, Kind.ATTEMPT_ENDED):
            continue
        history = trials.setdefault(event.trial, History(trial=event.trial))
        assert event.attempt is not None
        if event.kind is Kind.SUGGESTED:
            history.suggested.append(event.attempt)
        elif not history.suggested:
            history.early += 1
        else:
            history.attempts.add(event.attempt)
            history.paused += event.status is Status.PAUSED
            if event.kind is Kind.EPOCH:
                assert event.epoch is not None
                history.epochs.setdefault(event.epoch, []).append(event)
    return trials


def check(trials: Iterable[History], *, has_holes: bool) -> Iterable[Finding]:
    """What is missing, repeated or contradictory in the histories of trials.

    Args:
        trials: Their histories.
        has_holes: Whether commits are known to be lost: then a missing suggestion is no further finding if its trial went on.
    """
    for history in trials:
        yield from _missing(history, has_holes)
        yield from _repeated(history)
        for epoch, rows in history.epochs.items():
            # As texts: NaN equals NaN, and the last bit counts.
            if len({event.attempt for event in rows}) > 1 and len({_metrics(event) for event in rows}) > 1:
                attempts = ", ".join(str(event.attempt) for event in rows)
                what = f"attempts {attempts} measured it differently; the first one counts"
                yield Finding(kind=Found.DIFFERING, where=f"trial {history.trial}, epoch {epoch}", what=what)


def _missing(history: History, has_holes: bool) -> Iterable[Finding]:
    where = f"trial {history.trial}"
    if not history.suggested:
        what = f"{history.early} rows of it are there, but its suggestion is missing"
        yield Finding(kind=Found.LOST, where=where, what=what, repair=AGAIN)
        return
    attempts = [attempt for attempt in range(1, history.last_attempt + 1) if attempt not in history.suggested]
    for first, last in ranges(attempts if not has_holes else ()):
        numbers = f"attempt {first}" if first == last else f"attempts {first} to {last}"
        what = "later rows are there, but its suggestion is missing"
        yield Finding(kind=Found.LOST, where=f"{where}, {numbers}", what=what, repair=AGAIN, count=last - first + 1)
    epochs = [epoch for epoch in range(1, max(history.epochs, default=0)) if epoch not in history.epochs]
    for first, last in ranges(epochs):
        numbers = f"epoch {first}" if first == last else f"epochs {first} to {last}"
        what = "later epochs are there, but it is missing"
        yield Finding(kind=Found.LOST, where=f"{where}, {numbers}", what=what, repair=AGAIN, count=last - first + 1)


def _repeated(history: History) -> Iterable[Finding]:
    for attempt in sorted({attempt for attempt in history.suggested if history.suggested.count(attempt) > 1}):
        where = f"trial {history.trial}, attempt {attempt}"
        yield Finding(kind=Found.REPEATED, where=where, what="it was suggested more than once")
    for epoch, rows in history.epochs.items():
        attempts = [event.attempt for event in rows]
        for attempt in sorted({attempt for attempt in attempts if attempt is not None and attempts.count(attempt) > 1}):
            where = f"trial {history.trial}, attempt {attempt}, epoch {epoch}"
            what = f"{attempts.count(attempt)} rows; the first one counts"
            yield Finding(kind=Found.REPEATED, where=where, what=what, count=attempts.count(attempt) - 1)


def _metrics(event: Event) -> str:
    return repr([getattr(event, name) for name in METRICS])
