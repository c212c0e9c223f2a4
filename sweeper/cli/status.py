"""Commands that say what is stored of a study: ``status`` and ``export``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._shared import (
    find_study,
    json_option,
    out_option,
    print_json,
    results_from,
    results_option,
    study_argument,
)

if TYPE_CHECKING:
    from sweeper.storage import Place
    from sweeper.store import StudyStore


@click.command(short_help="Where a study stands, also while it runs.")
@study_argument
@results_option
@click.option("--watch", is_flag=True, help="Look again every two seconds until the study ends.")
@json_option
def status(study: str, results: Place, watch: bool, as_json: bool) -> None:
    """Where STUDY stands: trials by status, arms, epochs so far, the best trial; also while it runs."""
    stored = find_study(results, study)
    while True:
        facts = status_of(stored)
        if as_json:
            print_json(facts)
        else:
            _print_status(facts)
        if not watch or not facts["is_running"]:
            return
        time.sleep(2)


def status_of(stored: StudyStore) -> dict[str, Any]:
    """Where a study stands, read from its ledger alone: its search, and beside it the repetitions."""
    from sweeper import tables
    from sweeper.analysis.results import at_stage, ranked
    from sweeper.records import Kind, Stage, Status
    from sweeper.search import repetition
    from sweeper.stored import current_spec, first_spec
    from sweeper.training import checkpoint

    events = stored.read()
    study = current_spec(stored, events)
    trial_table, epoch_table = tables.tables(events)
    # Repetitions are no part of the budget, and the luckiest of them would pass for the best trial.
    rows = trial_table.to_pylist()
    trials = [trial for trial in rows if trial["stage"] == Stage.SEARCH]
    repeated = [trial for trial in rows if trial["stage"] != Stage.SEARCH]
    asked = {asked.trial: asked for event in events if event.kind is Kind.PLANNED for asked in repetition.read(event)}
    begun = {trial["trial"] for trial in rows}
    to_come = [planned for name, planned in asked.items() if name not in begun and planned.arm in study.arms]
    repetitions = {status.value: sum(trial["status"] == status for trial in repeated) for status in Status}
    repetitions["pending"] += sum(planned.stage is not Stage.SEARCH for planned in to_come)
    owner = stored.owner
    kept = checkpoint.listing(stored.folder / "checkpoints")
    counts = {status.value: sum(trial["status"] == status for trial in trials) for status in Status}
    goal, column = study.goals[0]
    done = [trial for trial in trials if trial["status"] == Status.COMPLETED and trial[column] is not None]
    ranking = ranked(at_stage(results_from(study, trial_table, epoch_table), Stage.SEARCH))["trial"]
    best = next((trial for trial in done if trial["trial"] == next(iter(ranking), None)), None)
    arms: dict[str, dict[str, Any]] = {}
    for arm in study.arms:
        own = [trial for trial in trials if trial["arm"] == arm]
        own_done = [trial[column] for trial in done if trial["arm"] == arm]
        arms[arm] = {status.value: sum(trial["status"] == status for trial in own) for status in Status}
        arms[arm]["pending"] += max(study.trials_of(arm) - sum(trial["parent"] is None for trial in own), 0)
        arms[arm]["pending"] += sum(planned.arm == arm and planned.stage is Stage.SEARCH for planned in to_come)
        counts["pending"] += arms[arm]["pending"]
        arms[arm]["best"] = (max if goal == "max" else min)(own_done, default=None)
    return {
        "study": study.name,
        "study_id": first_spec(stored).study_id,
        "folder": str(stored.folder),
        "is_running": owner is not None,
        "is_finished": not any(part[name] for part in (counts, repetitions) for name in ("pending", "running", "interrupted")),
        "driver": None if owner is None else {"host": owner.host, "pid": owner.pid, "since": owner.started},
        "trials": counts,
        "repetitions": repetitions,
        "arms": arms,
        "epochs": epoch_table["stage"].to_pylist().count(Stage.SEARCH),
        "checkpoints": {"files": len(kept), "trials": len({one.trial for one in kept}), "bytes": sum(one.size for one in kept)},
        "objective": f"{goal} {column}",
        "best": None
        if best is None
        else {key: best[key] for key in ("trial", "arm", column, "parameters", "epoch", "configuration")},
        "validation_images": None
        if best is None or not best["dataset"]
        else json.loads(best["dataset"]).get("validation_images"),
    }


def _print_status(facts: dict[str, Any]) -> None:
    from sweeper.cli._shared import counted, table

    state = "running" if facts["is_running"] else "finished" if facts["is_finished"] else "not running; sweeper resume goes on"
    click.echo(f"study '{facts['study']}' ({facts['study_id']}): {state}; {counted(facts['epochs'], 'epoch')}")
    columns = [*facts["trials"], "best"]
    rows = [[arm, *(counts[column] for column in columns)] for arm, counts in facts["arms"].items()]
    table("", ["arm", *columns[:-1], f"best ({facts['objective']})"], [*rows, ["all", *facts["trials"].values(), None]])
    if facts["best"]:
        best = facts["best"]
        value = best[facts["objective"].split()[1]]
        size = "" if best["parameters"] is None else f", {best['parameters']:,} parameters"
        click.echo(f"best so far: {best['trial']} with {value:.4f} at epoch {best['epoch']}{size}")
    print_further(facts)


def print_further(facts: dict[str, Any]) -> None:
    """What follows the table of a study's arms: how far the best value can be trusted, disk used, repetitions."""
    from sweeper.analysis.summary import sampling_error
    from sweeper.cli._shared import counted

    num_images, has_repetitions = facts["validation_images"], any(facts["repetitions"].values())
    if num_images and "val_accuracy" in facts["best"]:
        points = 100 * sampling_error(facts["best"]["val_accuracy"], num_images)
        advice = "" if has_repetitions else f": sweeper ablate {facts['study']} --seeds 3"
        click.echo(
            f"{facts['best']['trial']} was validated on {num_images:,} images, which leaves its accuracy uncertain by about "
            f"{points:.1f} points (95 %); other seeds tell what chance does besides{advice}"
        )

    kept = facts["checkpoints"]
    if kept["files"]:
        click.echo(f"checkpoints of {counted(kept['trials'], 'trial')}: {kept['bytes'] / 1e6:,.1f} MB on disk")
    if has_repetitions:
        counts = ", ".join(f"{count} {status}" for status, count in facts["repetitions"].items() if count)
        click.echo(f"repetitions with other seeds: {counts}; sweeper ablate shows them")


@click.command(short_help="Write the tables of a study as CSV or Parquet.")
@study_argument
@results_option
@click.option("--to", "file_format", default="csv", show_default=True, help="csv or parquet.")
@out_option("Where to write; default: export/ in the study's folder.")
@json_option
def export(study: str, results: Place, file_format: str, out: Place | None, as_json: bool) -> None:
    """Write the trials and the epochs of STUDY as two files."""
    from sweeper import tables

    stored = find_study(results, study)
    written = tables.export(stored.read(), out or stored.folder / "export", file_format)
    if as_json:
        print_json([str(path) for path in written])
    else:
        for path in written:
            click.echo(path)
