"""What an audit finds, and its totals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum

from sweeper.storage import Place


class Found(StrEnum):
    """What a finding says. The first group are faults, the second are notes: nothing is lost and nothing has to be done."""

    LOST = "lost"
    """Rows were stored once and are not there."""
    REPEATED = "repeated"
    """There are two different rows where there can be only one."""
    UNREADABLE = "unreadable"
    """A part of the ledger, or a row, cannot be read."""
    TORN = "torn"
    """A checkpoint cannot be read whole."""
    ORPHANED = "orphaned"
    """A checkpoint of an attempt the ledger does not know, although attempts are in the ledger before they begin."""
    MISJUDGED = "misjudged"
    """A recorded decision is not the one that follows from the rows before it."""
    UNTOLD = "untold"
    """Samplers do not have a finished trial exactly once."""
    CHANGED = "changed"
    """The study's file cannot be read, or is not what the study began with."""

    DIFFERING = "differing"
    """Two attempts measured the same epoch of a trial differently, as another device may."""
    GIVEN_UP = "given_up"
    """Known to be lost since a repair; the next resume does it again."""
    UNPROVEN = "unproven"
    """A hole in what schema 1 wrote: a compaction, or a loss."""
    UNCHECKED = "unchecked"
    """A check could not be made."""
    USELESS = "useless"
    """A checkpoint of a trial that ended, which a killed driver left."""
    LEFTOVER = "leftover"
    """A checkpoint that a killed worker left half written."""
    STALE = "stale"
    """The tables do not match the ledger: a driver writes them when it ends."""

    @property
    def is_fault(self) -> bool:
        """Whether something is wrong."""
        return list(Found).index(self) < list(Found).index(Found.DIFFERING)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing an audit found.

    Args:
        kind: What it says.
        where: What it is about: a file, a place in the ledger, a trial.
        what: What is wrong with it.
        repair: How to repair it; empty when nothing has to be done.
        count: How many of it, at least: rows, commits, epochs.
        files: What ``--repair`` moves away or removes for it.
        commits: Generation, first and last sequence of lost commits.
    """

    kind: Found
    where: str
    what: str
    repair: str = ""
    count: int = 1
    files: tuple[Place, ...] = ()
    commits: tuple[int, int, int] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """What a study holds, and everything that is wrong with it.

    Args:
        findings: What was found, faults first.
        is_driven: Whether a driver was at work meanwhile.
        suggested: Trials that were begun.
        by_status: How many of those have which status; ``running`` only while a driver is at work. Draws that a network refused
            are ``infeasible``, and not among the failed.
        retried: Trials with more than one attempt; going on from a rung is none.
        events: Rows of the ledger that count.
        epochs: Rows of epochs among them.
        late: Rows that a dead driver wrote after its successor had begun; they never counted.
        parts: Parts of the ledger.
        checkpoints: Checkpoints.
        ledger_bytes: Size of the readable parts, as far as it is known.
        checkpoint_bytes: Size of everything among the checkpoints.
    """

    findings: tuple[Finding, ...]
    is_driven: bool
    suggested: int
    by_status: Mapping[str, int]
    retried: int
    events: int
    epochs: int
    late: int
    parts: int
    checkpoints: int
    ledger_bytes: int
    checkpoint_bytes: int

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The findings that say something is wrong."""
        return tuple(finding for finding in self.findings if finding.kind.is_fault)

    def number(self, kind: Found) -> int:
        """How many of a kind were found, at least."""
        return sum(finding.count for finding in self.findings if finding.kind is kind)
