"""What events tell of how results came about, which the tables have no columns for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

from sweeper.ledger.records import Event, Kind, Stage, Status

BUSY = 1.5
"""Processes per CPU of the machine, in the minute before, from which on it is busy: a study's own workers alone are about one."""


def looks(events: Iterable[Event]) -> int:
    """How often the confirmed arms could be judged: once, and once more for every time seeds were added to what had been judged.

    Seeds that a later driver plans for a configuration with two completed seeds were added; those that a race plans after its
    first look were not, because the driver that looks is the one that plans.

    Args:
        events: In order of their keys.
    """
    count, planner = 0, None
    parents: dict[str, str] = {}
    completed: Counter[str] = Counter()
    for event in events:
        if event.kind is Kind.PLANNED:
            asked = {row["parent"] for row in json.loads(event.detail or "[]") if row["stage"] == Stage.CONFIRM}
            if asked and (not count or (event.generation != planner and any(completed[parent] > 1 for parent in asked))):
                count += 1
            planner = event.generation if asked else planner
        elif event.kind is Kind.SUGGESTED and event.stage is Stage.CONFIRM:
            parents[event.trial or ""] = event.parent or ""
        elif event.status is Status.COMPLETED and event.trial in parents:
            completed[parents[event.trial]] += 1
    return count


def timed_while_busy(events: Iterable[Event]) -> tuple[str, ...]:
    """The trials whose latency was last measured on a busy machine, see `BUSY`, sorted.

    Args:
        events: In order of their keys.
    """
    busy: dict[str, bool] = {}
    for event in events:
        if event.kind is Kind.MEASURED and event.trial is not None:
            told = json.loads(event.detail or "{}")
            busy[event.trial] = told.get("load", 0.0) > BUSY * told.get("cpus", float("inf"))
    return tuple(sorted(trial for trial, is_busy in busy.items() if is_busy))
