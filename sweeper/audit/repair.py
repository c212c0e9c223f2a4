"""Repairs what an audit found, without losing a row."""

from __future__ import annotations

from collections.abc import Iterable

from sweeper.audit import given_up
from sweeper.audit.findings import Audit, Finding, Found
from sweeper.audit.whole import examine, gather
from sweeper.errors import ResultsFolderError
from sweeper.ledger import parts, stamp
from sweeper.ledger.ledger import StudyFolder
from sweeper.storage import Place, explain

BROKEN = (Found.TORN, Found.LEFTOVER)
NEEDLESS = (Found.ORPHANED, Found.USELESS)


def repair(study: StudyFolder) -> tuple[list[str], Audit]:
    """What was done, a line each, and the audit after it.

    Unreadable parts are moved to ``damaged/`` in the study's folder, so no row is ever deleted; checkpoints that cannot be used
    are removed; the tables are written anew. Lost rows stay lost: they are noted, and the next resume does the work again.

    Args:
        study: A study without a driver at work.

    Raises:
        StudyLockedError: A driver is at work.
        SweeperError: Something in it cannot be written or removed.
    """
    done = []
    with study.hold():
        first = examine(gather(study, is_held=True)).findings
        # Tables may hold rows of a part that cannot be read yet, because it is of a newer version or may not be read from here.
        is_all_there = all(finding.files for finding in first if finding.kind is Found.UNREADABLE)
        moved = _files(first, (Found.UNREADABLE, Found.LOST) if is_all_there else (Found.UNREADABLE,))
        parts.set_aside(study.folder, moved)
        done += [f"moved {path} to {study.folder / 'damaged'}" for path in moved]
        findings = examine(gather(study, is_held=True)).findings
        # A part that is unreadable but not damaged, as one of a newer version, may hold what looks lost or orphaned without it.
        is_whole = not any(finding.kind is Found.UNREADABLE for finding in findings)
        removed = _files(findings, (*BROKEN, *NEEDLESS) if is_whole else BROKEN)
        for path in removed:
            try:
                path.remove()
            except OSError as error:
                raise ResultsFolderError(explain(error, path)) from error
            done.append(f"removed {path}")
        # Only the first audit saw the names of the parts moved since; for a driver's last part, nothing else shows the loss.
        lost = {finding.where: finding.commits for finding in (*first, *findings) if finding.commits is not None}
        if lost and is_whole:
            given_up.add(study.folder, lost.values())
            done += [f"noted as lost: {where}" for where in lost]
        if is_whole and any(finding.kind is Found.STALE for finding in findings):
            names, events = study.part_names(), study.read()
            done += [f"wrote {path}" for path in stamp.write(study.folder, events, names)]
        return done, examine(gather(study, is_held=True))


def _files(findings: Iterable[Finding], kinds: Iterable[Found]) -> list[Place]:
    return [path for finding in findings if finding.kind in kinds for path in finding.files]
