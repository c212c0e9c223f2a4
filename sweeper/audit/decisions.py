"""Whether the search would make every recorded decision again, and knows every finished trial exactly once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from sweeper.audit.findings import Finding, Found
from sweeper.audit.ledger import RESTORE
from sweeper.errors import SweeperError
from sweeper.ledger.records import Event, Kind, Reason, Stage
from sweeper.search.study import Search
from sweeper.study.spec import StudySpec


def check(spec: StudySpec, events: Sequence[Event]) -> list[Finding]:
    """What differs between a ledger that lost nothing and the search that follows it.

    Args:
        spec: The study as first run.
        events: Every event that counts.
    """
    search = Search(spec, {})  # nothing is suggested, so no space is needed and none can be missing
    findings: list[Finding] = []
    try:
        for event, is_judged_as_today in zip(events, _judged_as_today(events), strict=True):
            if is_judged_as_today and event.kind in (Kind.EPOCH, Kind.ATTEMPT_ENDED):
                findings += _misjudged(search, event)
            if event.kind is Kind.SUGGESTED and event.arm not in search.spec.arms:  # the search skips it
                what = f"the search cannot follow the row: the extension that brought arm '{event.arm}' is not there"
                findings.append(Finding(kind=Found.UNREADABLE, where=f"key {event.key}", what=what, repair=RESTORE))
            search.apply(event)
    except SweeperError as error:
        return [Finding(kind=Found.UNCHECKED, where="decisions", what=f"the search cannot follow this ledger here: {error}")]
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        what = f"the search cannot follow the row: {type(error).__name__} {error}"
        return [Finding(kind=Found.UNREADABLE, where=f"key {event.key}", what=what, repair=RESTORE)]
    return [*findings, *_untold(search)]


def _misjudged(search: Search, event: Event) -> Iterable[Finding]:
    is_epoch = event.kind is Kind.EPOCH
    # For the end of an attempt the reason is what happened; for an epoch it is part of the decision.
    again = search.judge(event.replace(status=None, reason=None) if is_epoch else event.replace(status=None))
    if (again.status, again.reason) != (event.status, event.reason):
        where = f"trial {event.trial}, attempt {event.attempt}" + (f", epoch {event.epoch}" if is_epoch else ", its end")
        what = f"recorded as {_outcome(event)}, but the rows before it give {_outcome(again)}"
        yield Finding(kind=Found.MISJUDGED, where=where, what=what, repair="restore the ledger from a copy, if it was changed")


def _untold(search: Search) -> Iterable[Finding]:
    told = Counter(trial for trials in search.finished.values() for trial in trials)
    for trial in search.of_stage(Stage.SEARCH):
        if told[trial.trial] != trial.status.is_final:
            what = f"it is {trial.status}, but samplers have it {told[trial.trial]} times"
            yield Finding(kind=Found.UNTOLD, where=f"trial {trial.trial}", what=what)


def _judged_as_today(events: Sequence[Event]) -> Iterable[bool]:
    """Which decisions follow the rules of this version: under schema 1 a lost node counted against the trial."""
    schema = 1
    for event in events:
        if event.kind is Kind.DRIVER_STARTED:
            schema = int(json.loads(event.detail or "{}").get("schema", 1))
        yield schema > 1 or event.kind is not Kind.ATTEMPT_ENDED or event.reason is not Reason.NODE_LOST


def _outcome(event: Event) -> str:
    return f"{event.status}" + (f" ({event.reason})" if event.reason else "")
