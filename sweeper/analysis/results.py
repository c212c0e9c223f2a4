"""The results of one study as two frames, and what every analysis asks of them first.

Nothing here opens a file: whoever reads the tables makes a `Results`, and every analysis and plot takes one. Which
trials may be compared is decided here, once: the objective is the value at a trial's last epoch, and only **completed**
trials (trained for all their epochs) compete. A **stopped** trial is shown, hollow or faint, and never wins, because it
was not trained to the end. A **failed** trial has no value worth comparing: it is counted. A **repetition**, of the
confirm and ablation stages, trains a trial's configuration once more: it competes with other repetitions only, never
with the trials of the search, where the luckiest seed would win.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeper.errors import InputError, NoDataError, UnknownNameError
from sweeper.ledger.records import (
    BEST_COLUMNS,
    EPOCH_COLUMNS,
    METRICS,
    OBJECTIVES,
    TRIAL_COLUMNS,
    Reason,
    Stage,
    Status,
    describe,
)

RUN_COLUMNS = ("generation", "started", "ended", "workers", "ray_s")
"""Columns of `Results.runs`."""

ALL_STAGES = "all"
"""Name that stands for every stage at once."""


DIRECTIONS = OBJECTIVES | {"test_accuracy": "max", "test_loss": "min", "latency_ms": "min", "latency_ms_batch32": "min"}
"""What trials can be compared by and which way is better: what a study may optimise, and what is measured later."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
    """The two result tables of one study.

    Args:
        study: Name of the study.
        objectives: What the study optimises, for example ``(("max", "val_accuracy"), ("min", "parameters"))``; the
            first one ranks.
        trials: One row per trial, with the columns `TRIAL_COLUMNS` and `BEST_COLUMNS` of `sweeper.ledger.records`. Missing
            values are NaN or None.
        epochs: One row per (trial, epoch), with the columns `sweeper.ledger.records.EPOCH_COLUMNS`.
        runs: One row per start of a driver, see `sweeper.ledger.tables.runs`; empty where that is not known.
        looks: How often the confirmed arms could be judged, see `sweeper.ledger.asides.looks`.
        timed_while_busy: Trials whose latency was measured on a busy machine, see `sweeper.ledger.asides`.
        limits: The largest value of each column that is constrained.
        predictions: One row per image and trial of the confirm stage, see `sweeper.ledger.predictions`; a numpy array of
            probabilities each.
        class_names: One per class, in label order; empty without predictions.
        images: From a split and the numbers of its images, as predictions have them, each image (height, width, channels) and
            its class; raises `NoDataError` where they are gone. None where nobody can read them.
        baseline: The arm that others are compared with, where the study names one.
        resources: What a trial of each arm occupied, in words, where that differs from arm to arm.
        typed: What a command has to be given for the study, where that is not its name: its folder.

    Raises:
        InputError: A table lacks columns, or there is no objective.
    """

    study: str
    objectives: tuple[tuple[str, str], ...]
    trials: pd.DataFrame
    epochs: pd.DataFrame
    runs: pd.DataFrame = dataclasses.field(default_factory=lambda: pd.DataFrame(columns=list(RUN_COLUMNS), dtype=float))
    looks: int = 1
    timed_while_busy: tuple[str, ...] = ()
    limits: Mapping[str, int] = dataclasses.field(default_factory=dict)
    predictions: pd.DataFrame = dataclasses.field(
        default_factory=lambda: pd.DataFrame(columns=["trial", "split", "row", "label", "probabilities"])
    )
    class_names: tuple[str, ...] = ()
    images: Callable[[str, Sequence[int]], list[tuple[npt.NDArray[Any], int]]] | None = None
    baseline: str | None = None
    resources: Mapping[str, str] = dataclasses.field(default_factory=dict)
    typed: str = ""

    def __post_init__(self) -> None:
        if not self.objectives:
            raise InputError(f"study '{self.study}' has no objective; at least one is needed, for example 'max val_accuracy'.")
        object.__setattr__(self, "trials", _checked(self.trials, "trials", (*TRIAL_COLUMNS, *BEST_COLUMNS)))
        object.__setattr__(self, "epochs", _checked(self.epochs, "epochs", EPOCH_COLUMNS))

    @property
    def named(self) -> str:
        """What a command has to be given for the study."""
        return self.typed or self.study

    @property
    def objective(self) -> str:
        """The column that ranks trials: the first objective's."""
        return self.objectives[0][1]


def _checked(frame: pd.DataFrame, table: str, columns: tuple[str, ...]) -> pd.DataFrame:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(f"the table of {table} lacks the columns {', '.join(missing)}; write the tables again.")
    # A column without any value arrives as objects, and comparing objects with numbers fails far from here.
    numeric = {field["name"] for field in describe() if field["type"] in ("int", "float")} | set(BEST_COLUMNS)
    return frame.assign(**{name: pd.to_numeric(frame[name]) for name in columns if name in numeric}).reset_index(drop=True)


def at_stage(results: Results, stage: str) -> Results:
    """The same results with the rows of one stage only.

    Args:
        results: The results of a study.
        stage: ``search``, ``confirm``, ``ablation``, or ``all`` for every row.

    Raises:
        UnknownNameError: No stage of that name.
    """
    if stage == ALL_STAGES:
        return results
    if stage not in tuple(Stage):
        raise UnknownNameError("stage", stage, [*Stage, ALL_STAGES])
    trials, epochs = results.trials, results.epochs
    return dataclasses.replace(results, trials=trials[trials["stage"] == stage], epochs=epochs[epochs["stage"] == stage])


def arms(results: Results) -> tuple[str, ...]:
    """Every arm that has a trial, sorted by name, so that the order, and each arm's colour, survives new trials."""
    return tuple(sorted(str(arm) for arm in results.trials["arm"].dropna().unique()))


def arm_labels(results: Results) -> dict[str, str]:
    """What to call each arm in a legend: its name, then the architecture unless the name begins with it."""
    labels = {}
    for arm in arms(results):
        architectures = results.trials.loc[results.trials["arm"] == arm, "architecture"].dropna()
        architecture = str(architectures.iloc[0]) if len(architectures) else arm
        labels[arm] = arm if arm.startswith(architecture) else f"{arm} ({architecture})"
    return labels


def goal(results: Results, column: str) -> str:
    """``max`` or ``min``: which way is better in a column, as the study says, or else as `DIRECTIONS` says.

    Raises:
        UnknownNameError: Nothing that trials can be compared by.
    """
    for direction, name in results.objectives:
        if name == column:
            return direction
    if column not in DIRECTIONS:
        raise UnknownNameError("column", column, DIRECTIONS)
    return DIRECTIONS[column]


def metric_or_objective(results: Results, metric: str | None) -> str:
    """The metric asked for, or the study's first objective for None.

    Raises:
        UnknownNameError: Not one of `sweeper.ledger.records.METRICS`, so epoch rows do not have it.
    """
    chosen = results.objective if metric is None else metric
    if chosen not in METRICS:
        raise UnknownNameError("metric", chosen, METRICS)
    return chosen


def finished(results: Results) -> pd.DataFrame:
    """The trials that will not run again: completed, stopped or failed."""
    return results.trials[results.trials["status"].isin([status for status in Status if status.is_final])]


def comparable(results: Results, column: str | None = None) -> pd.DataFrame:
    """The trials that may be compared: completed, with a finite value; of the search stage only where it is among the stages.

    Args:
        results: The results of a study, of one stage or of several.
        column: The column that must have a value; None means the first objective.
    """
    is_search = results.trials["stage"] == Stage.SEARCH
    trials = results.trials[is_search] if is_search.any() else results.trials
    is_finite = np.isfinite(trials[column or results.objective].to_numpy(dtype=float, na_value=np.nan))
    is_completed = (trials["status"] == Status.COMPLETED).to_numpy(dtype=bool, na_value=False)
    chosen: pd.DataFrame = trials.loc[is_completed & is_finite]
    return chosen


def ranked(results: Results, column: str | None = None) -> pd.DataFrame:
    """The comparable trials, best first.

    Args:
        results: The results of a study.
        column: What to rank by; None means the first objective. The objectives in their order break ties, then arm and
            number.
    """
    first = column or results.objective
    keys = [first, *(name for _, name in results.objectives if name != first)]
    ascending = [goal(results, name) == "min" for name in keys]
    return comparable(results, first).sort_values(
        [*keys, "arm", "number"], ascending=[*ascending, True, True], na_position="last"
    )


def best_trials(results: Results, column: str | None = None) -> pd.DataFrame:
    """The best comparable trial of each arm, in the order of `arms`; an arm without a comparable trial has no row."""
    return ranked(results, column).drop_duplicates("arm").sort_values("arm").reset_index(drop=True)


def status_counts(trials: pd.DataFrame) -> dict[str, int]:
    """Number of ``completed``, ``stopped``, ``failed``, ``infeasible`` and ``unfinished`` (all other) trials, in this order.

    Infeasible ones are draws that the arm's network refused. They are not among the failed.
    """
    final = (Status.COMPLETED, Status.STOPPED, Status.FAILED)
    counts = {str(status): int((trials["status"] == status).sum()) for status in final}
    infeasible = int((trials["reason"] == Reason.INFEASIBLE).sum())
    counts |= {"failed": counts["failed"] - infeasible, "infeasible": infeasible}
    return counts | {"unfinished": len(trials) - sum(counts.values())}


def columns_with_data(frame: pd.DataFrame, columns: Iterable[str] = tuple(DIRECTIONS)) -> list[str]:
    """Those of the columns that have at least one finite number."""
    return [name for name in columns if np.isfinite(frame[name].to_numpy(dtype=float, na_value=np.nan)).any()]


def require_data(results: Results, frame: pd.DataFrame, columns: Iterable[str]) -> None:
    """Check that every one of the columns has a finite number in the frame.

    Args:
        results: Where the frame comes from; its study is named in the message.
        frame: The rows that are to be shown.
        columns: The columns that are needed.

    Raises:
        NoDataError: Some column has none; the message names the columns that have.
    """
    missing = [name for name in columns if not columns_with_data(frame, [name])]
    if not missing:
        return
    available = columns_with_data(frame, [name for name in DIRECTIONS if name in frame.columns])
    counts = status_counts(results.trials)
    rows = ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "none"
    if all(name.startswith("latency_ms") for name in missing) and counts["completed"]:
        raise NoDataError(f"study '{results.study}' has no latencies to show. Measure them with: sweeper measure {results.named}")
    raise NoDataError(
        f"study '{results.study}' has no values of {' or '.join(missing)} to show (trials at this stage: {rows}). "
        f"Columns with data: {', '.join(available) or 'none'}. "
        f"{'Choose one of these, or let' if available else 'Let'} more trials finish."
    )
