"""What the figures of repeated configurations share: their rows or the error that there are none, and their names."""

from __future__ import annotations

import pandas as pd

from sweeper.analysis.chances import stage_of_seeds
from sweeper.analysis.results import Results, arm_labels, status_counts
from sweeper.analysis.seeds import seeds_table
from sweeper.analysis.verdicts import headline_column
from sweeper.errors import NoDataError
from sweeper.ledger.records import Stage
from sweeper.plots import _quantities, _style


def stage_or_default(results: Results, stage: str | None) -> str:
    """The stage asked for, or the one whose seeds say most."""
    return stage_of_seeds(results) if stage is None else stage


def asked(results: Results, stage: str | None, column: str | None) -> tuple[str, str]:
    """Stage and column asked for, or the stage whose seeds say most, and what confirmed trials are judged by."""
    stage = stage_or_default(results, stage)
    return stage, column or (headline_column(results) if stage == Stage.CONFIRM else results.objective)


def several(results: Results, *, stage: str, column: str | None) -> pd.DataFrame:
    """The table of repeated configurations that have a value, best first; at least two of them.

    Raises:
        UnknownNameError: No such stage or column.
        NoDataError: Fewer than two configurations have a value.
    """
    table = seeds_table(results, stage=stage, column=column)
    rows = table[table["n"] > 0].reset_index(drop=True)
    if len(rows) > 1:
        return rows
    have = f"{len(rows)} of {_quantities.count(len(table), 'repeated configuration')}"
    raise NoDataError(
        f"study '{results.study}' has no two configurations with values of {column or results.objective} over seeds to compare "
        f"({have} has one at the stage {stage}). Repeat trials with: sweeper ablate {results.named} --seeds 3"
    )


def names(results: Results, rows: pd.DataFrame) -> dict[str, str]:
    """What to call each repeated configuration, by parent: its arm, and the trial too where an arm has several."""
    labels = arm_labels(results)
    is_alone = ~rows["arm"].duplicated(keep=False)
    return {
        str(parent): labels[arm] if alone else str(parent)
        for parent, arm, alone in zip(rows["parent"], rows["arm"], is_alone, strict=True)
    }


def looks(results: Results, rows: pd.DataFrame) -> dict[str, _style.Look]:
    """Colour and marker of each repeated configuration, by parent: those of its arm, unless an arm has several."""
    if not rows["arm"].duplicated().any():
        by_arm = _style.looks(arm_labels(results))
        return {str(parent): by_arm[arm] for parent, arm in zip(rows["parent"], rows["arm"], strict=True)}
    return _style.looks({parent: parent for parent in sorted(map(str, rows["parent"]))})


def caption(results: Results, stage: str) -> str:
    """How many repetitions there are at a stage, and which stage that is."""
    counts = status_counts(results.trials[results.trials["stage"] == stage])
    return f"Stage {stage}: " + _quantities.counts_line(counts, failed="not shown", unfinished="not shown")
