"""Commands that run studies: ``schema``, ``check``, ``launch``, ``resume``."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._extending import hand_over, opening_of
from sweeper.cli._shared import (
    find_study,
    json_option,
    print_json,
    results_of,
    results_option,
    study_argument,
)
from sweeper.cli.status import print_further, status_of

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
    from sweeper.cli._shared import build, counted, prepare_keras, quiet, table
    from sweeper.errors import KnobError, StudyFileError
    from sweeper.training.pretrained import wants_weights
    from sweeper.transfer import asking, unused_folder

    study = spec.load(study_file)
    dataset = runner.load_dataset(study)
    prepare_keras(study.training.backend)
    from sweeper.space import TRAINING

    asks, folder = asking(study), study.training.weights_folder
    faults = [fault] if (fault := unused_folder(study, asks)) else []
    arms, files = [], {}
    if asks:
        with quiet():
            from sweeper.training import weight_files

            found = weight_files.find(asks, dataset.input_shape, dataset.num_classes, folder=folder, may_download=False)
        faults += found.faults
        files = found.files
    for name, arm in study.arms.items():
        space = study.space_of(name)
        configuration = space.default(arm.fixed)
        arguments = {knob: value for knob, value in configuration.items() if knob not in TRAINING}
        height, width, channels = dataset.input_shape
        shape = (height, width, 3 if wants_weights(configuration) else channels)  # grey images are repeated for weights
        try:
            model = build(arm.architecture, shape, dataset.num_classes, arguments)
        except KnobError as error:
            faults.append(f"arms.{name}: {error}")
            continue
        from sweeper.training import measure

        model = measure.inference_network(model)
        arms.append(
            {
                "arm": name,
                "architecture": arm.architecture,
                "trials": study.trials_of(name),
                "knobs": sum(knob not in arm.fixed for knob in space.knobs),
                "parameters": measure.trainable_parameters(model),
                "macs": measure.count_macs(model),
            }
            | ({"weights": ", ".join(files[name])} if name in files else {})
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
    size = "x".join(map(str, dataset.input_shape))
    click.echo(
        f"{study.dataset.name}: {len(dataset.train):,} training and {len(dataset.validation):,} validation images of {size}, "
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
    if files and folder is None:
        click.echo("weights are fetched by Keras at launch, unless it has kept them ($KERAS_HOME/models, else ~/.keras/models)")
    columns = list(dict.fromkeys(column for arm in arms for column in arm))
    table("arms, each at its default configuration", columns, [[arm.get(column) for column in columns] for arm in arms])


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
    opening = opening or opening_of(study, results, repeat_decayed)
    if opening:
        click.echo(opening, err=True)
        if not closing and hand_over(study, results, repeat_decayed):
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
    print_further(facts)
    if facts["epochs"]:
        frame = arms_table(results_of(stored))
        table("", list(frame.columns), frame.astype(object).to_numpy().tolist())
