"""Mends what an audit found, as far as that can be done without losing a row."""

from __future__ import annotations

from sweeper import parts, tables
from sweeper.audit.findings import Audit, Found
from sweeper.audit.whole import examine, gather
from sweeper.errors import LedgerError
from sweeper.store import StudyStore

MOVED = (Found.UNREADABLE, Found.LOST)
REMOVED = (Found.TORN, Found.ORPHANED, Found.USELESS, Found.LEFTOVER)


def repair(study: StudyStore) -> tuple[list[str], Audit]:
    """What was done, a line each, and the audit after it.

    Unreadable parts are moved to ``damaged/`` in the study's folder, so no row is ever deleted; checkpoints that cannot be used
    are removed; the tables are written anew. What is lost stays lost; the next resume does it again.

    Args:
        study: A study that nobody drives.

    Raises:
        StudyLockedError: A driver is at work.
        SweeperError: The folder cannot be written.
    """
    done = []
    with study.held():
        findings = examine(gather(study)).findings
        moved = [path for finding in findings if finding.kind in MOVED for path in finding.files]
        parts.set_aside(study.folder, moved)
        done += [f"moved {path} to {study.folder / 'damaged'}" for path in moved]
        removed = [path for finding in findings if finding.kind in REMOVED for path in finding.files]
        for path in removed:
            path.unlink(missing_ok=True)
        done += [f"removed {path}" for path in removed]
        if moved or any(finding.kind is Found.STALE for finding in findings):
            try:
                tables.write_tables(study.folder, study.read())
                done.append(f"wrote {study.folder / 'tables'} anew")
            except LedgerError as error:
                done.append(f"did not write {study.folder / 'tables'}: {error}")
        after = examine(gather(study))
    return done, after
