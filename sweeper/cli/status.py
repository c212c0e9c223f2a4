"""The command ``status``: where a study stands."""

from __future__ import annotations

import dataclasses
import datetime
import time
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._shared import (
    find_study,
    json_option,
    print_json,
    results_of,
    results_option,
    study_argument,
    study_to_come,
)

if TYPE_CHECKING:
    from sweeper.analysis.results import Results
    from sweeper.driver.opened import OpenedStudy
    from sweeper.ledger.lock import Owner
    from sweeper.ledger.records import Stage
    from sweeper.search.study import Search
    from sweeper.storage import Place


@click.command(short_help="Where a study stands, also while it runs.")
@study_argument
@results_option
@click.option("--watch", is_flag=True, help="Look again every two seconds until the study ends; wait for one that is to come.")
@json_option
def status(study: str, results_folder: Place, watch: bool, as_json: bool) -> None:
    """Where STUDY stands: trials by status, arms, epochs so far, the best trial, gains over defaults; also while it runs."""
    is_told = False
    while True:
        facts = _look(results_folder, study, may_come=watch)
        if facts is None:
            if not is_told:
                click.echo(f"there is no study '{study}' in {results_folder} yet; waiting for it", err=True)
            is_told = True
        elif as_json:
            print_json(facts)
        elif "trials" in facts:
            _print_status(facts)
        else:
            click.echo(f"study '{facts['study']}': {_state(facts)}")
        if not watch or (facts is not None and not facts["is_running"]):
            return
        time.sleep(2)


def _look(results_folder: Place, study: str, *, may_come: bool) -> dict[str, Any] | None:
    """Where a study stands now. Of one that does not exist yet, what its driver does; None while there is no driver either.

    Raises:
        InputError: There is no such study, and none may come.
    """
    from sweeper.driver.opened import open_study

    coming = study_to_come(results_folder, study)
    owner = None if coming is None else coming.owner
    if coming is None or (owner is None and not may_come):
        return status_of(open_study(find_study(results_folder, study)))
    if owner is None:
        return None
    return {"study": coming.folder.name, "folder": str(coming.folder), "is_running": True, "is_finished": False} | _driver(owner)


def _driver(owner: Owner | None, last_started: float | None = None) -> dict[str, Any]:
    """Who drives a study, and whether that driver still gets ready: it has not begun a generation of the ledger.

    Args:
        owner: Of the study's lock.
        last_started: When the newest generation began, in seconds since 1970.
    """
    if owner is None:
        return {"driver": None}
    is_ready = last_started is not None and last_started >= datetime.datetime.fromisoformat(owner.started).timestamp()
    return {"driver": {"host": owner.host, "pid": owner.pid, "since": owner.started, "is_ready": is_ready}}


def status_of(study: OpenedStudy) -> dict[str, Any]:
    """Where a study stands, from its events alone: the trials of its search, and the repetitions."""
    from sweeper.analysis.gain import gains, words
    from sweeper.analysis.summary import validation_images
    from sweeper.ledger.records import Kind, Stage
    from sweeper.search.lessons import sources_in
    from sweeper.training import checkpoint

    search, owner = study.search, study.files.owner
    kept = checkpoint.listing(study.folder / "checkpoints")
    goal, column = study.first.goals[0]
    arms = {arm: _counts(search, arm) for arm in study.spec.arms}
    counts = {status: sum(arm[status] for arm in arms.values()) for status in next(iter(arms.values()))}
    repetitions, confirmations = _repetitions(search, Stage.ABLATION), _repetitions(search, Stage.CONFIRM)
    results = results_of(study)
    best, best_of_arm = _best(results)
    images = validation_images(best.pop("dataset")) if best else None
    gained = gains(results)
    return {
        "study": study.first.name,
        "study_id": study.first.study_id,
        "folder": str(study.folder),
        "is_running": owner is not None,
        "is_finished": search.is_finished,
        **_driver(owner, max((event.time or 0.0 for event in study.events if event.kind is Kind.DRIVER_STARTED), default=None)),
        "trials": counts,
        "repetitions": repetitions,
        "confirmations": confirmations,
        "arms": {
            arm: {**arms[arm], "best": best_of_arm.get(arm), "gain": dataclasses.asdict(gained[arm]) if arm in gained else None}
            for arm in arms
        },
        "learned": [source.facts() for event in study.events if event.kind is Kind.LEARNED for source in sources_in(event)],
        "gains": [words(arm, gained[arm]) for arm in arms if arm in gained],
        "ended_early": [why for arm in arms if (why := search.why_early(arm))],
        "out_of_race": {arm: dataclasses.asdict(why) for arm, why in search.out.items()},
        "refusals": {arm: why for arm, why in _refusals(results).items() if arms.get(arm, {}).get("infeasible")},
        "epochs": sum(trial.epoch for trial in search.of_stage(Stage.SEARCH)),
        "checkpoints": {"files": len(kept), "trials": len({one.trial for one in kept}), "bytes": sum(one.size for one in kept)},
        "objective": f"{goal} {column}",
        "best": best,
        "validation_images": images,
        "time": _time(results),
    }


def _counts(search: Search, arm: str) -> dict[str, int]:
    """How many trials of an arm's search stand where, those to come included; draws that its network refused are none of them."""
    from sweeper.ledger.records import Reason, Stage, Status

    own = [trial for trial in search.of_stage(Stage.SEARCH) if trial.arm == arm]
    counts = {status.value: sum(trial.status is status for trial in own) for status in Status}
    infeasible = sum(trial.reason is Reason.INFEASIBLE for trial in own)
    counts |= {"failed": counts["failed"] - infeasible, "infeasible": infeasible}
    counts["pending"] += search.to_come(arm)
    counts["pending"] += sum(trial.arm == arm and trial.stage is Stage.SEARCH for trial in search.planned)
    return counts


def _repetitions(search: Search, stage: Stage) -> dict[str, int]:
    """How many repetitions of a stage stand where. They are no part of the budget."""
    from sweeper.ledger.records import Status

    begun = search.of_stage(stage)
    counts = {status.value: sum(trial.status is status for trial in begun) for status in Status}
    counts["pending"] += sum(trial.stage is stage for trial in search.planned)
    return counts


def _best(results: Results) -> tuple[dict[str, Any] | None, dict[str, float]]:
    """Facts of the best completed trial of the search, and the best value of each arm.

    Of repetitions the luckiest would pass for the best trial, so they do not count.
    """
    from sweeper.analysis.results import at_stage, ranked
    from sweeper.ledger.records import Stage

    ranking = ranked(at_stage(results, Stage.SEARCH)).dropna(subset=results.objective)
    if ranking.empty:
        return None, {}
    row = ranking.iloc[0]
    best = {name: row[name] for name in ("trial", "arm", results.objective, "parameters", "epoch", "configuration", "dataset")}
    best |= {name: None if row[name] != row[name] else int(row[name]) for name in ("parameters", "epoch")}
    return best, {str(arm): float(value) for arm, value in ranking.groupby("arm")[results.objective].first().items()}


def _refusals(results: Results) -> dict[str, str]:
    """Why the network of an arm refused a draw, the last time it did."""
    from sweeper.ledger.records import Reason

    refused = results.trials[results.trials["reason"] == Reason.INFEASIBLE]
    return {str(arm): str(own["detail"].iloc[-1]) for arm, own in refused.groupby("arm", sort=False)}


def _time(results: Results) -> dict[str, Any]:
    """Where the time went: of the drivers, and of the workers by arm and by worker, repetitions included."""
    from sweeper.analysis.time_use import time_shares, utilisation

    def seconds(by: str) -> list[dict[Any, Any]]:
        table = time_shares(results, by=by, stage="all")
        return table[[by, "epochs", *(name for name in table.columns if name.endswith("_s"))]].to_dict("records")

    runs = results.runs
    return {
        "wall_s": float((runs["ended"] - runs["started"]).sum()),
        "ray_s": float(runs["ray_s"].sum()),
        "workers": None if runs["workers"].isna().all() else int(runs["workers"].max()),
        "utilisation": utilisation(results),
        "arms": seconds("arm"),
        "by_worker": seconds("worker"),
    }


def _print_status(facts: dict[str, Any]) -> None:
    from sweeper.cli._shared import counted, table
    from sweeper.ledger.records import Status

    click.echo(f"study '{facts['study']}' ({facts['study_id']}): {_state(facts)}; {counted(facts['epochs'], 'epoch')}")
    columns = [status for status, count in facts["trials"].items() if count or status != Status.PAUSED]
    rows = [[arm, *(counts[column] for column in [*columns, "best"])] for arm, counts in facts["arms"].items()]
    rows.append(["all", *(facts["trials"][status] for status in columns), None])
    table("", ["arm", *columns, f"best ({facts['objective']})"], rows)
    if facts["best"]:
        best = facts["best"]
        value = best[facts["objective"].split()[1]]
        size = "" if best["parameters"] is None else f", {best['parameters']:,} parameters"
        click.echo(f"best so far: {best['trial']} with {value:.4f} at epoch {best['epoch']}{size}")
    print_further(facts)


def _state(facts: dict[str, Any]) -> str:
    """What happens to a study now."""
    if not facts["is_running"]:
        return "finished" if facts["is_finished"] else "not running; sweeper resume goes on"
    driver = facts["driver"]
    if driver["is_ready"]:
        return "running"
    return f"reading the data, then starting Ray, since {driver['since']} (process {driver['pid']} on {driver['host']})"


def print_further(facts: dict[str, Any]) -> None:
    """What follows the table of a study's arms: what was not trained, how far the best values can be trusted, time, disk used."""
    from sweeper.analysis.summary import sampling_error
    from sweeper.cli._shared import counted
    from sweeper.search.lessons import words

    for source in facts["learned"]:
        click.echo(words(source))
    for why in facts["ended_early"]:
        click.echo(why)
    for arm, why in facts["refusals"].items():
        click.echo(f"{counted(facts['arms'][arm]['infeasible'], 'draw')} of arm '{arm}' refused, the last one: {why}")
    num_images = facts["validation_images"]
    if num_images and "val_accuracy" in facts["best"]:
        points = 100 * sampling_error(facts["best"]["val_accuracy"], num_images)
        click.echo(
            f"{facts['best']['trial']} was validated on {num_images:,} images, which leaves its accuracy uncertain by about "
            f"{points:.1f} points (95 %)"
        )
    for gain in facts["gains"]:
        click.echo(gain)
    if facts["best"] and facts["is_finished"] and not any([*facts["repetitions"].values(), *facts["confirmations"].values()]):
        click.echo(f"other seeds tell what chance does besides: sweeper confirm {facts['study']}")
    _print_time(facts["time"])
    kept = facts["checkpoints"]
    if kept["files"]:
        click.echo(f"checkpoints of {counted(kept['trials'], 'trial')}: {kept['bytes'] / 1e6:,.1f} MB on disk")
    for kind, title, command in (("repetitions", "repetitions", "ablate"), ("confirmations", "confirmation", "confirm")):
        counts = ", ".join(f"{count} {status}" for status, count in facts[kind].items() if count)
        if counts:
            click.echo(f"{title} with other seeds: {counts}; sweeper {command} shows them")


def _print_time(time: dict[str, Any]) -> None:
    """Where the time of the sweep went, in a line and a table."""
    from sweeper.cli._shared import counted, table

    if not any(row["total_s"] for row in time["arms"]):
        return
    workers = f" with {counted(time['workers'], 'worker')}" if time["workers"] else ""
    share = time["utilisation"]
    training = "" if share != share else f"; {share:.0%} of the workers' time was training"
    click.echo(f"time: {time['wall_s']:,.0f} s{workers}, {time['ray_s']:.0f} s of them the start of Ray{training}")
    columns = {name.removesuffix("_s"): name for name in time["arms"][0] if name.endswith("_s")}
    columns["validate"] = columns.pop("evaluate")
    shown = ["import", "build", "train", "validate", "checkpoint", "wait", "total"]
    rows = [[row["arm"], row["epochs"], *(f"{row[columns[name]]:,.1f}" for name in shown)] for row in time["arms"]]
    table("seconds of workers", ["arm", "epochs", *shown], rows)
