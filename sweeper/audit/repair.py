"""Mends what an audit found, as far as that can be done without losing a row."""

from __future__ import annotations

from sweeper import parts, tables
from sweeper.audit import given_up
from sweeper.audit.findings import Audit, Found
from sweeper.audit.whole import examine, gather
from sweeper.errors import LedgerError
from sweeper.store import StudyStore

MOVED = (Found.UNREADABLE, Found.LOST)
REMOVED = (Found.TORN, Found.ORPHANED, Found.USELESS, Found.LEFTOVER)


def repair(study: StudyStore) -> tuple[list[str], Audit]:
    """What was done, a line each, and the audit after it.

    Unreadable parts are moved to ``damaged/`` in the study's folder, so no row is ever deleted; checkpoints that cannot be used
    are removed; the tables are written anew. What is lost stays lost, which is taken note of; the next resume does it again.

    Args:
        study: A study that nobody drives.

    Raises:
        StudyLockedError: A driver is at work.
        SweeperError: The folder cannot be written.
    """
    done = []
    with study.hold():
        findings = examine(gather(study, is_held=True)).findings
        moved = [path for finding in findings if finding.kind in MOVED for path in finding.files]
        parts.set_aside(study.folder, moved)
        done += [f"moved {path} to {study.folder / 'damaged'}" for path in moved]
        removed = [path for finding in findings if finding.kind in REMOVED for path in finding.files]
        for path in removed:
            path.remove()
        done += [f"removed {path}" for path in removed]
        lost = [one for one in examine(gather(study, is_held=True)).findings if one.commits is not None]
        if lost:
            given_up.add(study.folder, [one.commits for one in lost if one.commits is not None])
            done += [f"took note that lost is: {one.where}" for one in lost]
        if moved or any(finding.kind is Found.STALE for finding in findings):
            try:
                tables.write_tables(study.folder, study.read())
                done.append(f"wrote {study.folder / 'tables'} anew")
            except LedgerError as error:
                done.append(f"did not write {study.folder / 'tables'}: {error}")
        after = examine(gather(study, is_held=True))
    return done, after
