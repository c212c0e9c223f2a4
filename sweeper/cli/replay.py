"""The command ``replay``: what would another search have found?"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._shared import console, json_option, print_json
from sweeper.errors import InputError

if TYPE_CHECKING:
    from sweeper.replay.clock import Observed
    from sweeper.replay.curves import Task

SAMPLERS, RULES = ("trees", "tpe", "random"), ("asha", "promote", "none")


@click.command(short_help="Search recorded curves again: another sampler, rule or budget.")
@click.argument("curves", type=click.Path(path_type=Path))
@click.option("--task", "names", multiple=True, help="Only this task, or arm of a study; may be repeated.")
@click.option("--sampler", type=click.Choice(SAMPLERS), default="trees", show_default=True, help="As in a study file.")
@click.option("--stopping", "rule", type=click.Choice(RULES), default="asha", show_default=True, help="As in a study file.")
@click.option("--prior", type=click.Choice(["default", "none"]), default="default", show_default=True, help="As in a study file.")
@click.option("--grace-epochs", type=click.IntRange(min=1), help="First rung; default: a 25th of the longest training.")
@click.option("--eta", type=click.IntRange(min=2, max=100), default=3, show_default=True, help="One trial in ETA goes on.")
@click.option("--workers", type=click.IntRange(min=1, max=1000), default=4, show_default=True, help="Trials at once.")
@click.option(
    "--budget-trainings", "budget", type=click.FloatRange(min=0, min_open=True), default=20, show_default=True,
    help="Time, as so many mean trainings.",
)  # fmt: skip
@click.option(
    "--seed", "seeds", type=click.IntRange(min=0), multiple=True, default=(0,), show_default=True, help="May be repeated."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write every epoch to this Parquet file.")
@json_option
def replay(
    curves: Path,
    names: tuple[str, ...],
    sampler: str,
    rule: str,
    prior: str,
    grace_epochs: int | None,
    eta: int,
    workers: int,
    budget: float,
    seeds: tuple[int, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Search CURVES as `launch` would, but look every epoch up instead of training it.

    CURVES is a table of recorded learning curves (NAME.parquet beside NAME.space.yaml), or the results folder of a study. The
    regret of a task is 0 where the best configuration of the table leads and 1 where its median does.
    """
    from sweeper.replay import clock, scores
    from sweeper.replay.curves import read

    tasks = _tasks_of_study(curves, names) if curves.is_dir() else read(curves, names)
    if out is not None and not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.absolute().parent}.")
    found: list[dict[str, Any]] = []
    searched: list[tuple[int, Task, list[Observed]]] = []
    for task in tasks:
        grace = grace_epochs or max(1, round(task.max_epochs / 25))
        policy = clock.Policy(sampler=sampler, rule=rule, grace_epochs=grace, reduction_factor=eta, workers=workers, prior=prior)
        budget_s = budget * task.mean_training_s
        for seed in seeds:
            events = list(clock.replay(task, policy, budget_s=budget_s, seed=seed))
            regret = scores.told(scores.regrets(task, events, budget_s))
            found.append(_facts(task, seed, events) | {"regret": regret})
            searched.append((seed, task, events))
    if out is not None:
        clock.write(out, searched)
    if as_json:
        print_json({"policy": dataclasses.asdict(policy), "budget_trainings": budget, "runs": found})
    else:
        _print(found)


def _facts(task: Task, seed: int, events: list[Observed]) -> dict[str, Any]:
    current = {event.row: event.value for event in events if not math.isnan(event.value)}
    best = max(current, key=lambda row: current[row], default=None)
    return {
        "task": task.name,
        "seed": seed,
        "trials": len({event.trial for event in events}),
        "epochs": len(events),
        "config_id": None if best is None else task.ids[best],
        "value": None if best is None else current[best],
        "final": None if best is None else float(task.values[best][-1]),
        "unanswered": sum(event.is_unanswered for event in events),
    }


def _print(found: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    columns = ["task", "seed", "trials", "epochs", "best", "its value", *(f"regret at {part:.0%}" for part in found[0]["regret"])]
    for column in columns:
        table.add_column(column, justify="left" if column == "task" else "right")
    for run in found:
        best = [str(run["config_id"]), "" if run["final"] is None else f"{run['final']:.4g}"]
        regret = [f"{value:.3f}" for value in run["regret"].values()]
        table.add_row(run["task"], str(run["seed"]), str(run["trials"]), str(run["epochs"]), *best, *regret)
    console().print(table)
    unanswered = sum(run["unanswered"] for run in found)
    if unanswered:
        click.echo(
            f"{unanswered} trial{'' if unanswered == 1 else 's'} would have trained on where the record ends, because the study "
            "stopped them there. What they would have come to is not known, so the search may look better or worse than it is.",
            err=True,
        )


def _tasks_of_study(folder: Path, names: tuple[str, ...]) -> list[Task]:
    """The arms of a stored study.

    Raises:
        InputError: It is no study, has no such arm, or no trial with an epoch.
    """
    from sweeper.driver.opened import open_study
    from sweeper.errors import unknown
    from sweeper.ledger.ledger import StudyFolder
    from sweeper.ledger.records import Kind, Stage, Status
    from sweeper.replay.curves import of_study

    study = open_study(StudyFolder(folder))
    for name in names:
        if name not in study.spec.arms:
            raise InputError(unknown("arm", name, study.spec.arms))
    search = study.search
    trials = [
        {
            "trial": trial.trial,
            "arm": trial.arm,
            "number": trial.number,
            "configuration": trial.configuration,
            "is_cut": trial.status is not Status.COMPLETED,
        }
        for trial in search.of_stage(Stage.SEARCH)
    ]
    epochs, known = [], set()
    for event in study.events:
        if event.kind is Kind.EPOCH and event.trial in search.trials and (event.trial, event.epoch) not in known:
            known.add((event.trial, event.epoch))
            seconds = (event.train_s or 0.0) + (event.evaluate_s or 0.0) + (event.build_s or 0.0)
            epochs.append({"trial": event.trial, "value": search.score(event), "seconds": seconds})
    arms = {arm: study.spec.space_of(arm) for arm in (names or study.spec.arms)}
    tasks = of_study(arms, trials, epochs)
    if not tasks:
        raise InputError(f"{folder}: no trial of the search has an epoch yet; there is nothing to replay.")
    return tasks
