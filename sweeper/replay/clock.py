"""A virtual clock: workers that train by looking up what was recorded, driven by the search of a study."""

from __future__ import annotations

import dataclasses
import heapq
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sweeper.errors import InputError
from sweeper.ledger.records import Event, Kind, Status
from sweeper.replay.curves import Task
from sweeper.search.distinct import key_of
from sweeper.search.study import Search
from sweeper.streams import seed_of
from sweeper.study.spec import LEARNING, ArmSpec, BudgetSpec, DatasetSpec, SearchSpec, StoppingSpec, StudySpec

ARM = "curves"
"""The one arm of a replay."""

COLUMNS = ("seed", "task", "sim_time_s", "trial", "config_id", "epoch", "value")
"""Of the table of epochs that a replay writes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """How a replay searches; the fields are those of a study file.

    Args:
        sampler: `search.sampler`; a grid has no table.
        rule: `stopping.rule`.
        grace_epochs: `stopping.grace_epochs`.
        reduction_factor: `stopping.reduction_factor`.
        workers: Trials that run at once.
        trials: `budget.trials`; None for as many as there are configurations.
        prior: `search.prior`; ``default`` matters only where a task has defaults, to a sampler that learns.
    """

    sampler: str
    rule: str
    grace_epochs: int
    reduction_factor: int
    workers: int
    trials: int | None = None
    prior: str = "default"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Observed:
    """An epoch that a worker has finished.

    Args:
        sim_time_s: When, in seconds since the start.
        trial: Its id.
        row: The configuration, by its row in the task.
        epoch: From 1.
        value: The objective, higher is better.
        is_unanswered: Whether the trial was to go on, and the record ends here.
    """

    sim_time_s: float
    trial: str
    row: int
    epoch: int
    value: float
    is_unanswered: bool


def replay(task: Task, policy: Policy, *, budget_s: float, seed: int) -> Iterator[Observed]:
    """Search a task until the time is spent or nothing is left.

    Seeds differ from task to task: the same configurations in two tasks would otherwise make two searches alike.

    Args:
        task: Recorded trainings.
        policy: How to search.
        budget_s: Seconds until the end; an epoch that would end later is not finished.
        seed: Of the search.
    """
    search = Search(_study(task, policy, seed), {ARM: task.space}, {ARM: task.table})
    yield from drive(search, {ARM: task}, workers=policy.workers, budget_s=budget_s)


def drive(search: Search, tasks: Mapping[str, Task], *, workers: int, budget_s: float = math.inf) -> Iterator[Observed]:
    """Run a search until the time is spent or nothing is left.

    Args:
        search: Its arms choose from the tables of their tasks.
        tasks: Recorded trainings of each arm.
        workers: Trials that run at once.
        budget_s: As in `replay`.
    """
    places = {arm: task.table.place for arm, task in tasks.items()}
    running: list[tuple[float, int, str]] = []
    row_of: dict[str, int] = {}
    now, order = 0.0, 0

    def begin_epoch(trial: str) -> None:
        nonlocal order
        times, epoch = tasks[search.trials[trial].arm].times[row_of[trial]], search.trials[trial].epoch
        order += 1
        heapq.heappush(running, (now + times[epoch] - (times[epoch - 1] if epoch else 0.0), order, trial))

    while True:
        while len(running) < workers and (event := search.propose()) is not None:
            name, arm = event.trial or "", event.arm or ""
            row_of[name] = places[arm][key_of(json.loads(event.configuration or "{}"))]
            search.apply(event.replace(max_epochs=len(tasks[arm].values[row_of[name]])))
            begin_epoch(name)
        if not running or running[0][0] > budget_s:
            return
        now, _, name = heapq.heappop(running)
        row, epoch, arm = row_of[name], search.trials[name].epoch + 1, search.trials[name].arm
        value = float(tasks[arm].values[row][epoch - 1])
        event = search.judge(Event(kind=Kind.EPOCH, trial=name, arm=arm, epoch=epoch, train_loss=0.0, val_accuracy=value))
        is_unanswered = event.status is Status.COMPLETED and tasks[arm].is_cut[row]
        search.apply(event)
        yield Observed(sim_time_s=now, trial=name, row=row, epoch=epoch, value=value, is_unanswered=is_unanswered)
        if event.status is Status.RUNNING:
            begin_epoch(name)


def write(path: Path, searches: Iterable[tuple[int, Task, Iterable[Observed]]]) -> None:
    """Write searches, each with its seed and task, to a Parquet file: one row per epoch.

    Raises:
        InputError: The file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for seed, task, events in searches:
        for event in events:
            told = (seed, task.name, event.sim_time_s, event.trial, task.ids[event.row], event.epoch, event.value)
            for name, value in zip(COLUMNS, told, strict=True):
                rows[name].append(value)
    try:
        pq.write_table(pa.table(rows), path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error


def _study(task: Task, policy: Policy, seed: int) -> StudySpec:
    is_near = policy.prior == "default" and task.has_defaults and policy.sampler in LEARNING
    return StudySpec(
        name="replay",
        dataset=DatasetSpec(name="curves"),
        arms={ARM: ArmSpec(architecture=ARM, space=ARM)},
        objectives=("max val_accuracy",),
        budget=BudgetSpec(trials=policy.trials or len(task.table.place), max_epochs=task.max_epochs),
        search=SearchSpec(
            sampler=policy.sampler,  # type: ignore[arg-type]
            seed=seed_of(seed, task.name, "replay"),
            repeats=False,
            prior="default" if is_near else None,
        ),
        stopping=StoppingSpec(
            rule=policy.rule,  # type: ignore[arg-type]
            grace_epochs=policy.grace_epochs,
            reduction_factor=policy.reduction_factor,
        ),
    )
