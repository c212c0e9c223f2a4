"""Commands about studies: ``schema``, ``check``, ``launch``, ``resume``, ``status``, ``export``."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._shared import (
    find_study,
    json_option,
    out_option,
    print_json,
    results_from,
    results_of,
    results_option,
    study_argument,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sweeper.search.repetition import Repetition
    from sweeper.search.study import Search
    from sweeper.spec import StudySpec
    from sweeper.storage import Place
    from sweeper.store import StudyStore


class _Amount(click.FloatRange):
    """A finite number in a range; click lets NaN into every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


cluster_options = (
    click.option("--cluster", default="local", show_default=True, help="Where to run; see `sweeper list cluster`."),
    click.option("--max-concurrent", type=click.IntRange(min=1), help="Most trials at once; default: as many as fit."),
    click.option("--num-cpus", type=click.IntRange(min=1), help="local: CPUs to use on this machine; default: all."),
    click.option("--num-gpus", type=_Amount(min=0), help="local: GPUs to use on this machine; default: all."),
    click.option(
        "--address", help="attach: HOST:PORT of the running cluster's head; default: RAY_ADDRESS, or the one on this machine."
    ),
    click.option(
        "--keep-checkpoints",
        "keep_best",
        type=click.IntRange(min=0),
        default=3,
        show_default=True,
        help="Completed trials of each arm that keep their last checkpoint.",
    ),
    click.option(
        "--checkpoint-minutes",
        type=_Amount(min=0),
        default=0.0,
        help="Least time between two checkpoints of a trial; default: one after every epoch.",
    ),
    click.option("--quiet", is_flag=True, help="No progress, only the closing table."),
)


def with_cluster_options(command: Any) -> Any:
    """The options that say where and how a study runs."""
    for option in reversed(cluster_options):
        command = option(command)
    return command


def check_kind_options(cluster: str, given: Iterable[str]) -> None:
    """Check that a kind of cluster takes the options given: those its function has as arguments.

    Args:
        cluster: Name of the kind.
        given: Names of the arguments, for example ``num_cpus``.

    Raises:
        UnknownNameError: No such kind.
        InputError: It does not take one of them; all of those are named.
    """
    from sweeper import catalog
    from sweeper.errors import InputError

    taken = catalog.parameters("cluster", cluster)
    wrong = [name for name in given if name not in taken]
    if not wrong:
        return
    named = ", ".join(_flag(name) for name in wrong)
    others = [kind for kind in catalog.names("cluster") if set(wrong) & set(catalog.parameters("cluster", kind))]
    raise InputError(
        f"{named} cannot be used with --cluster {cluster} ({catalog.summary('cluster', cluster)}), which takes: "
        f"{', '.join(map(_flag, taken)) or 'none'}. Leave it out, or choose --cluster {' or '.join(others)}."
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@click.command(short_help="The study file as a JSON Schema, for editors.")
def schema() -> None:
    """Print the study file as a JSON Schema, with which an editor completes and checks YAML while it is written."""
    from sweeper.schema import study_schema

    print_json(study_schema())


@click.command(short_help="Find every fault of a study file, or say what it will train.")
@click.argument("study_file", type=click.Path(path_type=Path))
@json_option
def check(study_file: Path, as_json: bool) -> None:
    """Find every fault of STUDY_FILE, or say what it will train: arms, trials, epochs and the size of each arm's default."""
    from sweeper import runner, spec
    from sweeper.cli._shared import build, counted, prepare_keras, table
    from sweeper.errors import KnobError, StudyFileError

    study = spec.load(study_file)
    dataset = runner.load_dataset(study)
    prepare_keras(study.training.backend)
    from sweeper.space import TRAINING

    arms, faults = [], []
    for name, arm in study.arms.items():
        space = study.space_of(name)
        configuration = space.default(arm.fixed)
        arguments = {knob: value for knob, value in configuration.items() if knob not in TRAINING}
        try:
            model = build(arm.architecture, dataset.input_shape, dataset.num_classes, arguments)
        except KnobError as error:
            faults.append(f"arms.{name}: {error}")
            continue
        from sweeper.training import measure

        arms.append(
            {
                "arm": name,
                "architecture": arm.architecture,
                "trials": study.trials_of(name),
                "knobs": sum(knob not in arm.fixed for knob in space.knobs),
                "parameters": measure.trainable_parameters(model),
                "macs": measure.count_macs(model),
            }
            | ({} if (grid := study.grid_of(name)) is None else {"grid_points": grid.size})
        )
    if faults:
        raise StudyFileError(study_file, faults)
    facts = {
        "study": study.name,
        "study_id": study.study_id,
        "dataset": study.dataset.name,
        "train_images": len(dataset.train),
        "validation_images": len(dataset.validation),
        "input_shape": dataset.input_shape,
        "classes": dataset.num_classes,
        "trials": study.budget.trials,
        "max_epochs": study.budget.max_epochs,
        "total_epochs": study.budget.trials * study.budget.max_epochs,
        "objectives": study.objectives,
        "arms": arms,
    }
    if as_json:
        print_json(facts)
        return
    click.echo(f"{study_file}: no fault. Study '{study.name}' ({study.study_id})")
    shape = "x".join(map(str, dataset.input_shape))
    click.echo(
        f"{study.dataset.name}: {len(dataset.train):,} training and {len(dataset.validation):,} validation images of {shape}, "
        f"{dataset.num_classes} classes"
    )
    for note in dataset.notes:
        click.echo(f"note: {note}")
    can_stop = study.stopping.rule != "none" and study.stopping.grace_epochs < study.budget.max_epochs
    stopping = f"{study.stopping.rule} may stop some early" if can_stop else "no early stopping"
    click.echo(
        f"{counted(study.budget.trials, 'trial')} of at most {counted(study.budget.max_epochs, 'epoch')}: "
        f"up to {counted(study.budget.trials * study.budget.max_epochs, 'epoch')} ({stopping})"
    )
    columns = list(arms[0])
    table("arms, each at its default configuration", columns, [[arm[column] for column in columns] for arm in arms])


repeat_decayed_option = click.option(
    "--repeat-decayed",
    is_flag=True,
    help="After or with an extension to more epochs: train completed trials whose learning rate decays anew, as new trials.",
)


@click.command(short_help="Run a study file; a study that exists goes on.")
@click.argument("study_file", type=click.Path(path_type=Path))
@repeat_decayed_option
@results_option
@with_cluster_options
@json_option
def launch(study_file: Path, results: Place, as_json: bool, **options: Any) -> None:
    """Run the study in STUDY_FILE; a study that exists goes on where it was left.

    A file that asks for more trials, more epochs or more arms than the study has extends it; nothing else may have changed.
    """
    from sweeper import spec

    run(spec.load(study_file), results, as_json, **options)


@click.command(short_help="Go on with a study, also with more trials or epochs.")
@study_argument
@click.option("--trials", type=click.IntRange(min=1), help="Extend the study to so many trials over all arms together.")
@click.option("--max-epochs", type=click.IntRange(min=1), help="Extend the study to so many epochs of a whole training.")
@repeat_decayed_option
@results_option
@with_cluster_options
@json_option
def resume(study: str, results: Place, as_json: bool, trials: int | None, max_epochs: int | None, **options: Any) -> None:
    """Go on with STUDY, a name under the results folder or a folder; the same as launching its file again.

    With more epochs, trials whose learning rate is constant go on from their checkpoints, unless a rung would stop them where
    they ended. The others keep their row.
    """
    from sweeper.stored import current_spec, extended, first_spec

    stored = find_study(results, study)
    wanted = first_spec(stored)  # which asks for what the study has become
    if trials is not None or max_epochs is not None:
        wanted = extended(current_spec(stored, stored.read()), trials=trials, max_epochs=max_epochs)
    run(wanted, folder_of_studies(stored), as_json, **options)


def folder_of_studies(stored: StudyStore) -> Place:
    """The folder a stored study is launched in again.

    Raises:
        ResultsFolderError: Launching by name would find no such folder there, and begin the study anew beside it.
    """
    from sweeper.errors import ResultsFolderError
    from sweeper.stored import first_spec

    name, folder = first_spec(stored).name, stored.folder.resolve()
    if folder.name != name:
        raise ResultsFolderError(f"{stored.folder} holds the study '{name}' under another name. Rename it to {name}.")
    return folder.parent


def run(
    study: StudySpec,
    results: Place,
    as_json: bool,
    *,
    cluster: str,
    max_concurrent: int | None,
    keep_best: int,
    checkpoint_minutes: float,
    quiet: bool,
    repeat_decayed: bool = False,
    repeat: Callable[[Search], Sequence[Repetition]] = lambda search: (),
    opening: str = "",
    closing: Callable[[StudyStore, dict[str, Any]], None] | None = None,
    **kind_options: Any,
) -> None:
    """Run a study, print what came out and end the process with 130 if a signal ended it.

    Args:
        study: The study.
        results: Folder of all studies.
        as_json: Print the facts instead of sentences.
        cluster: Kind of cluster.
        max_concurrent: Most trials at once; None for as many as fit.
        keep_best: As for `sweeper.runner.launch`.
        checkpoint_minutes: Least time between two checkpoints of a trial.
        quiet: No progress.
        repeat_decayed: As `repeats_decayed` of `sweeper.runner.launch`.
        repeat: As for `sweeper.runner.launch`.
        opening: What to say before anything begins, once the options are found to be right.
        closing: Prints what came out, given the stored study and the facts; None for a table of arms.
        **kind_options: Options of the kind of cluster, None where not given.
    """
    from sweeper import runner
    from sweeper.cli.progress import progress
    from sweeper.store import StudyStore, study_folder

    given = {name: value for name, value in kind_options.items() if value is not None}
    check_kind_options(cluster, given)
    opening = opening or _opening(study, results, repeat_decayed)
    if opening:
        click.echo(opening, err=True)
        if not closing and _hand_over(study, results, repeat_decayed):
            if as_json:
                print_json(status_of(StudyStore(study_folder(results, study.name))))
            return
    started = time.monotonic()
    with progress(study.name, quiet) as watch:
        outcome = runner.launch(
            study,
            results,
            cluster=cluster,
            max_concurrent=max_concurrent,
            watch=watch,
            repeat=repeat,
            repeats_decayed=repeat_decayed,
            keep_best=keep_best,
            checkpoint_every_s=60 * checkpoint_minutes,
            **given,
        )
    stored = StudyStore(outcome.folder)
    facts = status_of(stored)
    facts["seconds"] = round(time.monotonic() - started, 1)
    if closing is not None and not outcome.is_interrupted:
        closing(stored, facts)
    elif as_json:
        print_json(facts)
    else:
        _print_closing(
            stored, facts, outcome.was_finished, outcome.is_interrupted, "" if cluster == "local" else f" --cluster {cluster}"
        )
    if outcome.is_interrupted:
        sys.exit(130)


def _opening(study: StudySpec, results: Place, repeat_decayed: bool) -> str:
    """What is about to be added to a stored study; nothing where nothing is."""
    from sweeper.search import extension
    from sweeper.search.study import Search
    from sweeper.store import StudyStore, study_folder
    from sweeper.stored import extension_to, first_spec

    stored = StudyStore(study_folder(results, study.name))
    if not stored.exists or (study == first_spec(stored) and not repeat_decayed):
        return ""
    search = Search(first_spec(stored)).fold(stored.read())
    added = extension_to(search, study, stored, repeats_decayed=repeat_decayed)
    return "" if added is None else extension.words(search.spec, added)


def _hand_over(study: StudySpec, results: Place, repeat_decayed: bool) -> bool:
    """Whether the driver that is at work on the study, if there is one, took over its extension."""
    from sweeper import requests
    from sweeper.errors import InputError, ResultsFolderError
    from sweeper.storage import explain
    from sweeper.store import StudyStore, study_folder

    stored = StudyStore(study_folder(results, study.name))
    if (owner := stored.owner) is None:
        return False
    try:
        request = requests.post(stored.folder, study, repeats_decayed=repeat_decayed)
    except OSError as error:
        raise ResultsFolderError(explain(error, stored.folder)) from error
    while request.exists():
        if stored.owner is None:
            return False  # it ended meanwhile, and whoever drives next takes the request
        time.sleep(0.2)
    if _opening(study, results, repeat_decayed=False):
        raise InputError(
            f"the driver at work, process {owner.pid} on {owner.host}, cannot extend the study so. Does it see the same "
            "architectures and search spaces? Otherwise resume the study from here once that driver has ended."
        )
    click.echo(f"the driver at work, process {owner.pid} on {owner.host}, goes on with it", err=True)
    return True


def _print_closing(stored: StudyStore, facts: dict[str, Any], was_finished: bool, is_interrupted: bool, where: str) -> None:
    from sweeper.analysis.summary import arms_table
    from sweeper.cli._shared import counted, table

    counts = ", ".join(f"{count} {status}" for status, count in facts["trials"].items() if count)
    spent = f"{counted(facts['epochs'], 'epoch')} in {stored.folder}"
    if was_finished:
        click.echo(f"study '{facts['study']}' is finished already: {counts}; {spent}")
    elif is_interrupted:
        click.echo(f"interrupted, everything is saved: {counts}. Go on with: sweeper resume {stored.folder}{where}")
    else:
        click.echo(f"study '{facts['study']}' finished in {facts['seconds']:.0f} s: {counts}; {spent}")
    _print_further(facts)
    if facts["epochs"]:
        frame = arms_table(results_of(stored))
        table("", list(frame.columns), frame.astype(object).to_numpy().tolist())


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
    _print_further(facts)


def _print_further(facts: dict[str, Any]) -> None:
    from sweeper.cli._shared import counted

    kept = facts["checkpoints"]
    if kept["files"]:
        click.echo(f"checkpoints of {counted(kept['trials'], 'trial')}: {kept['bytes'] / 1e6:,.1f} MB on disk")
    if any(facts["repetitions"].values()):
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
