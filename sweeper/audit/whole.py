"""The audit of a stored study: everything is read, then checked, and looked at twice while a driver is at work."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sweeper.audit import checkpoints, decisions, derived, given_up, ledger, trials
from sweeper.audit.findings import Audit, Finding, Found
from sweeper.driver.opened import first_spec
from sweeper.errors import DamagedPartError, LedgerError, StorageError, SweeperError
from sweeper.ledger import parts, tables
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind, Reason, Status
from sweeper.study.spec import StudySpec
from sweeper.training import checkpoint
from sweeper.training.checkpoint import Listed

if TYPE_CHECKING:
    import pyarrow as pa

AGAIN_AFTER_S = 2.0
"""While a driver works, findings are checked again after this time: only those that remain are reported."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Material:
    """What was read of a study, in this order: the ledger is read last, so nothing else can mention what it does not know yet.

    Args:
        study: The study.
        is_driven: Whether a driver was at work.
        derived: Its tables, by name, or why one cannot be read.
        listing: Every file among its checkpoints.
        parts: The rows of every readable part of its ledger.
        unreadable: Why others cannot be read.
    """

    study: StudyFolder
    is_driven: bool
    derived: dict[str, pa.Table | str]
    listing: list[Listed]
    parts: dict[str, pa.Table]
    unreadable: dict[str, LedgerError]


def audit(study: StudyFolder) -> Audit:
    """What a study holds and what is wrong with it; nothing is changed, and a driver may be at work.

    Args:
        study: A study that exists.

    Raises:
        LedgerError: The ledger's folder cannot be read.
    """
    first = examine(gather(study))
    if not first.findings or not first.is_driven:
        return first
    time.sleep(AGAIN_AFTER_S)
    second = examine(gather(study))
    before = {(finding.kind, finding.where) for finding in first.findings}
    return dataclasses.replace(
        second, findings=tuple(finding for finding in second.findings if (finding.kind, finding.where) in before)
    )


def gather(study: StudyFolder, *, is_held: bool = False) -> Material:
    """Everything an audit looks at, except the content of checkpoints.

    Args:
        study: The study.
        is_held: Whether this process holds its lock, so that no driver works.
    """
    is_driven = not is_held and study.owner is not None
    found = derived.read(study.folder)
    listing = checkpoint.listing(study.folder / "checkpoints")
    unreadable: dict[str, LedgerError] = {}
    rows = parts.read_all(study.ledger_folder, unreadable=unreadable)
    return Material(
        study=study,
        is_driven=is_driven or (not is_held and study.owner is not None),
        derived=found,
        listing=listing,
        parts=rows,
        unreadable=unreadable,
    )


def examine(material: Material) -> Audit:
    """What the material says."""
    study = material.study
    read = ledger.check(material.parts, study.ledger_folder, material.unreadable, given_up.read(study.folder))
    histories = trials.histories(read.events)
    has_holes = any(finding.kind in (Found.LOST, Found.GIVEN_UP) for finding in read.findings)
    findings = [*_unreadable(material), *read.findings, *trials.check(histories.values(), has_holes=has_holes)]
    trial_table, epoch_table = tables.tables(read.events)
    expected = {"trials": trial_table, "epochs": epoch_table}
    if not material.is_driven:
        findings += derived.check(material.derived, expected, study.folder)
    findings += _follow(study, read.events, findings)
    statuses = _statuses(trial_table, is_driven=material.is_driven)
    findings += checkpoints.check(material.listing, histories, statuses, checkpoint.problem)
    begun = [history for history in histories.values() if history.suggested]
    counts = Counter(statuses[history.trial].value for history in begun)
    infeasible = trial_table.column("reason").to_pylist().count(Reason.INFEASIBLE.value)
    counts.update({Status.FAILED.value: -infeasible, Reason.INFEASIBLE.value: infeasible})
    outcomes = [*(status.value for status in Status if status is not Status.PENDING), Reason.INFEASIBLE.value]
    sizes = study.ledger_folder.tree()
    return Audit(
        findings=tuple(sorted(findings, key=lambda finding: list(Found).index(finding.kind))),
        is_driven=material.is_driven,
        suggested=len(begun),
        by_status={outcome: counts[outcome] for outcome in outcomes},
        retried=sum(history.last_attempt > 1 + history.paused for history in begun),
        events=len(read.events),
        epochs=sum(event.kind is Kind.EPOCH for event in read.events),
        late=read.late,
        parts=len(material.parts) + len(material.unreadable),
        checkpoints=sum(file.attempt is not None for file in material.listing),
        ledger_bytes=sum(sizes.get(name, 0) for name in material.parts),
        checkpoint_bytes=sum(file.size for file in material.listing),
    )


def _unreadable(material: Material) -> Iterable[Finding]:
    for name, error in material.unreadable.items():
        path = material.study.ledger_folder / name
        if isinstance(error, DamagedPartError):
            what, repair = f"not a readable part ({error.why})", "restore it from a copy; --repair moves it to damaged/"
            yield Finding(kind=Found.UNREADABLE, where=str(path), what=what, repair=repair, files=(path,))
        else:
            yield Finding(kind=Found.UNREADABLE, where=str(path), what=str(error).removeprefix(f"{path} "))


def _follow(study: StudyFolder, events: tuple[Event, ...], findings: list[Finding]) -> list[Finding]:
    try:
        spec = first_spec(study, events)
    except StorageError:
        raise
    except SweeperError as error:
        path = study.folder / "study.yaml"
        return [
            Finding(kind=Found.CHANGED, where=str(path), what=str(error).removeprefix(f"{path} ")),
            Finding(kind=Found.UNCHECKED, where="decisions", what="they follow from the study's file"),
        ]
    return _decisions(spec, events, findings)


def _decisions(spec: StudySpec, events: tuple[Event, ...], findings: list[Finding]) -> list[Finding]:
    if any(finding.kind in (Found.LOST, Found.GIVEN_UP, Found.UNREADABLE, Found.REPEATED) for finding in findings):
        what = "decisions follow from all rows before them, and some rows are missing or unreliable"
        return [Finding(kind=Found.UNCHECKED, where="decisions", what=what)]
    return decisions.check(spec, events)


def _statuses(trial_table: pa.Table, *, is_driven: bool) -> dict[str, Status]:
    """The status of every trial: interrupted where a dead driver left it running."""
    columns = (trial_table.column(name).to_pylist() for name in ("trial", "status"))
    statuses = {trial: Status(status) if status else Status.RUNNING for trial, status in zip(*columns, strict=True)}
    if not is_driven:
        statuses = {name: Status.INTERRUPTED if status is Status.RUNNING else status for name, status in statuses.items()}
    return statuses
