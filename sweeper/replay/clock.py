"""A virtual clock: workers that train by looking up what was recorded, driven by the search of a study."""

from __future__ import annotations

import dataclasses
import heapq
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from sweeper.errors import InputError
from sweeper.ledger.records import Event, Kind, Status
from sweeper.replay.curves import Task
from sweeper.search.distinct import key_of
from sweeper.search.study import Search
from sweeper.streams import seed_of
from sweeper.study.space import Configuration
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
        objectives: `objectives`; of those after the first, a task may know `parameters`.
        prior: `search.prior`; ``default`` matters only where a task has defaults, to a sampler that learns.
    """

    sampler: str
    rule: str
    grace_epochs: int
    reduction_factor: int
    workers: int
    trials: int | None = None
    prior: str = "default"
    objectives: tuple[str, ...] = ("max val_accuracy",)


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


class Searcher(Protocol):
    """What decides in a replay: a search of ours, or one of another library."""

    def propose(self) -> tuple[str, Task, int] | None:
        """A trial that begins or goes on, its task and its row there; None when there is nothing to start now."""

    def tell(self, trial: str, epoch: int, value: float) -> bool:
        """Learn how an epoch ended, counted from 1; whether the trial trains another one now."""


def replay(task: Task, policy: Policy, *, budget_s: float, seed: int) -> Iterator[Observed]:
    """Search a task as a study does, until the time is spent or nothing is left.

    Seeds differ from task to task: the same configurations in two tasks would otherwise make two searches alike.

    Args:
        task: Recorded trainings.
        policy: How to search.
        budget_s: Seconds until the end; an epoch that would end later is not finished.
        seed: Of the search.
    """
    return run(Study(_spec(task, policy, seed), {ARM: task}), workers=policy.workers, budget_s=budget_s)


def run(searcher: Searcher, *, workers: int, budget_s: float = math.inf) -> Iterator[Observed]:
    """Every epoch that workers finish for a searcher, in the order of time.

    Args:
        searcher: Says what is trained; it ends a trial at its last epoch at the latest.
        workers: Trials that run at once.
        budget_s: As for `replay`.
    """
    running: list[tuple[float, int, str]] = []
    place: dict[str, tuple[Task, int]] = {}
    epochs: Counter[str] = Counter()
    now, order = 0.0, 0

    def begin_epoch(trial: str) -> None:
        nonlocal order
        (task, row), epoch = place[trial], epochs[trial]
        times = task.times[row]
        order += 1
        heapq.heappush(running, (now + times[epoch] - (times[epoch - 1] if epoch else 0.0), order, trial))

    while True:
        while len(running) < workers and (proposed := searcher.propose()) is not None:
            name, task, row = proposed
            place[name] = task, row
            begin_epoch(name)
        if not running or running[0][0] > budget_s:
            return
        now, _, name = heapq.heappop(running)
        epochs[name] += 1
        (task, row), epoch = place[name], epochs[name]
        value = float(task.values[row][epoch - 1])
        goes_on = searcher.tell(name, epoch, value)
        is_unanswered = epoch == len(task.values[row]) and task.is_cut[row] and math.isfinite(value)
        yield Observed(sim_time_s=now, trial=name, row=row, epoch=epoch, value=value, is_unanswered=is_unanswered)
        if goes_on:
            begin_epoch(name)


class Study:
    """The search of a study whose arms take their configurations from recorded tasks.

    Args:
        spec: The study.
        tasks: Recorded trainings of each arm.
    """

    def __init__(self, spec: StudySpec, tasks: Mapping[str, Task]):
        tables = {arm: task.table for arm, task in tasks.items()}
        self.search = Search(spec, {arm: task.space for arm, task in tasks.items()}, tables)
        self._tasks, self._places = tasks, {arm: table.place for arm, table in tables.items()}

    def propose(self) -> tuple[str, Task, int] | None:
        """As `Searcher.propose`."""
        event = self.search.propose()
        if event is None:
            return None
        task, row = self._place(event.arm or "", json.loads(event.configuration or "{}"))
        self.search.apply(event.replace(max_epochs=len(task.values[row])))
        return event.trial or "", task, row

    def tell(self, trial: str, epoch: int, value: float) -> bool:
        """As `Searcher.tell`."""
        own = self.search.trials[trial]
        task, row = self._place(own.arm, own.configuration)
        told = Event(kind=Kind.EPOCH, trial=trial, epoch=epoch, train_loss=0.0, val_accuracy=value)
        event = self.search.judge(told.replace(parameters=task.parameters[row] if task.parameters else None))
        self.search.apply(event)
        return event.status is Status.RUNNING

    def _place(self, arm: str, configuration: Configuration) -> tuple[Task, int]:
        return self._tasks[arm], self._places[arm][key_of(configuration)]


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


def _spec(task: Task, policy: Policy, seed: int) -> StudySpec:
    is_near = policy.prior == "default" and task.has_defaults and policy.sampler in LEARNING
    return StudySpec(
        name="replay",
        dataset=DatasetSpec(name="curves"),
        arms={ARM: ArmSpec(architecture=ARM, space=ARM)},
        objectives=policy.objectives,
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
