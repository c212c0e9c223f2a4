"""Command ``audit``: what a study holds, and whether anything of it is lost, repeated or damaged."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._shared import counted, find_study, json_option, print_json, results_option, study_argument, table

if TYPE_CHECKING:
    from sweeper.audit.findings import Audit, Finding
    from sweeper.storage import Place

MOST_LINES = 50
"""Findings of one kind that are printed."""


@click.command(short_help="Prove that a study lost nothing, or say what is wrong.")
@study_argument
@results_option
@click.option("--repair", is_flag=True, help="Move unreadable parts away, remove useless checkpoints, write the tables anew.")
@json_option
def audit(study: str, results_folder: Place, repair: bool, as_json: bool) -> None:
    """Prove that STUDY lost nothing and repeated nothing, or say what is wrong; also while it runs.

    Nothing is changed without --repair, which no driver may be at work for; no row is ever deleted. Exit code 1 when anything is
    wrong, after --repair when anything still is.
    """
    from sweeper.audit import repair as repairing
    from sweeper.audit import whole

    stored = find_study(results_folder, study)
    done, found = repairing.repair(stored) if repair else ([], whole.audit(stored))
    if as_json:
        print_json({**facts(found), **({"repaired": done} if repair else {})})
    else:
        for line in done:
            click.echo(line)
        _print(stored.folder, found)
    if found.faults:
        sys.exit(1)


def facts(found: Audit) -> dict[str, Any]:
    """An audit as JSON has it."""
    from sweeper.audit.findings import Found

    return {
        **_counts(found),
        **{kind.value: found.number(kind) for kind in Found},
        "is_clean": not found.faults,
        "is_running": found.is_driven,
        "late": found.late,
        "events": found.events,
        "epochs": found.epochs,
        "parts": found.parts,
        "checkpoints": found.checkpoints,
        "ledger_bytes": found.ledger_bytes,
        "checkpoint_bytes": found.checkpoint_bytes,
        "findings": [
            {"kind": one.kind, "where": one.where, "what": one.what, "repair": one.repair, "is_fault": one.kind.is_fault}
            for one in found.findings
        ],
    }


def _counts(found: Audit) -> dict[str, int]:
    from sweeper.ledger.records import Reason, Status

    final = [*(status.value for status in Status if status.is_final), Reason.INFEASIBLE.value]
    finished = sum(found.by_status[outcome] for outcome in final)
    return {"suggested": found.suggested, "finished": finished, **found.by_status, "retried": found.retried}


def _print(folder: Place, found: Audit) -> None:
    counts = _counts(found)
    table(f"{folder}: trials", list(counts), [list(counts.values())])
    stored = {
        "parts": found.parts,
        "rows": found.events,
        "epochs": found.epochs,
        "late rows": found.late,
        "MB": found.ledger_bytes / 1e6,
        "checkpoints": found.checkpoints,
        "MB of checkpoints": found.checkpoint_bytes / 1e6,
    }
    table("stored", list(stored), [list(stored.values())])
    for kind in dict.fromkeys(finding.kind for finding in found.findings):
        of_kind = [finding for finding in found.findings if finding.kind is kind]
        for finding in of_kind[:MOST_LINES]:
            click.echo(_line(finding))
        if len(of_kind) > MOST_LINES:
            click.echo(f"{kind}: {len(of_kind) - MOST_LINES:,} more; --json lists all")
    click.echo(_closing(found))


def _line(finding: Finding) -> str:
    name = finding.kind.value if finding.kind.is_fault else f"note, {finding.kind.value}"
    return f"{name}: {finding.where}: {finding.what}" + (f" ({finding.repair})" if finding.repair else "")


def _closing(found: Audit) -> str:
    if found.faults:
        return f"{counted(len(found.faults), 'finding')}; something is wrong with this study"
    kinds = {finding.kind.value for finding in found.findings}
    but = ", but for what a repair noted as lost" if "given_up" in kinds else ""
    unproven = ", as far as schema 1 can tell" if "unproven" in kinds else ""
    return f"nothing lost{but}, nothing repeated, everything readable{unproven}"
