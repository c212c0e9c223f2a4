"""Commands about a study file: ``schema`` and ``check``."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._shared import cache_option, counted, json_option, print_json, table

if TYPE_CHECKING:
    from sweeper.datasets import Dataset
    from sweeper.driver.rehearsal import Forecast, Piece
    from sweeper.study.spec import StudySpec


@click.command(short_help="The study file as a JSON Schema, for editors.")
def schema() -> None:
    """Print the study file as a JSON Schema, with which an editor completes and checks YAML while it is written."""
    from sweeper.study.schema import study_schema

    print_json(study_schema())


@click.command(short_help="Find every fault of a study file, or say what it will train.")
@click.argument("study_file", type=click.Path(path_type=Path))
@click.option("--measure", "is_measured", is_flag=True, help="Train a short piece of each arm here; forecast time, memory, disk.")
@cache_option
@json_option
def check(study_file: Path, is_measured: bool, as_json: bool) -> None:
    """Find every fault of STUDY_FILE, or say what it will train: arms, trials, epochs and the size of each arm's default.

    With --measure it also says how long that will take on this machine: half a minute of training decides.
    """
    from sweeper.cli._networks import prepare_keras
    from sweeper.driver import learning
    from sweeper.driver.inputs import load_dataset
    from sweeper.driver.nodes import words as words_of
    from sweeper.errors import StudyFileError
    from sweeper.search.lessons import words
    from sweeper.study import spec

    study = spec.load(study_file)
    dataset = load_dataset(study)
    prepare_keras(study.training.backend)
    faults, files = _weight_files(study, dataset)
    sources, untaught = learning.read(study)
    faults += untaught
    arms = []
    for name in study.arms:
        arm, wrong = _arm(study, name, dataset)
        faults += wrong
        if arm:
            arms.append(arm | ({"weights": ", ".join(files[name])} if name in files else {}) | _points_of(study, name))
            arms[-1] |= {"occupies": words_of(study.resources_of(name))} if len(study.shapes) > 1 else {}
    if faults:
        raise StudyFileError(study_file, faults)
    measured = _measured(study, dataset) if is_measured else None
    if as_json:
        facts = _facts(study, dataset, arms) | {"learns": [source.facts() for source in sources]}
        print_json(facts if measured is None else facts | _forecast_facts(*measured))
    else:
        _print(study_file, study, dataset, arms, is_fetched=bool(files) and study.training.weights_folder is None)
        for source in sources:
            click.echo(f"note: {words(source.facts())}")
        if measured is not None:
            print_forecast(study, *measured)


def _measured(study: StudySpec, dataset: Dataset) -> tuple[list[Piece], Forecast]:
    """A piece of each arm, and what it says of the study, with as many workers as would run here."""
    from sweeper.driver import rehearsal
    from sweeper.service.repeating import slots_of

    workers = slots_of(study.shapes, cluster="local", max_concurrent=None, num_cpus=None) or 1
    pieces = rehearsal.rehearse(study, dataset, workers)
    return pieces, rehearsal.forecast_of(study, pieces, workers, dataset)


def _forecast_facts(pieces: list[Piece], forecast: Forecast) -> dict[str, Any]:
    return {"measured": [dataclasses.asdict(piece) for piece in pieces], "forecast": dataclasses.asdict(forecast)}


def print_forecast(study: StudySpec, pieces: list[Piece], forecast: Forecast) -> None:
    """What short pieces of the arms say of a study, in words."""
    from sweeper.service.repeating import duration

    rows: list[list[object]] = [[one.arm, f"{one.epoch_s:.2f}", f"{one.start_s:.1f}"] for one in pieces]
    table("measured here", ["arm", "epoch (s)", "start (s)"], rows)
    time, memory, disk = forecast.seconds, forecast.memory_mb, forecast.disk_mb
    confirming = f", {duration(forecast.confirm_s)} of it to confirm" if forecast.confirm_s else ""
    click.echo(
        f"time: about {duration(time.expected)} with {counted(forecast.workers, 'worker')}{confirming}; "
        f"probably {duration(time.low)} to {duration(time.high)}"
    )
    if forecast.epochs < forecast.most_epochs:
        share = forecast.epochs / forecast.most_epochs
        click.echo(f"early stopping ({study.stopping.rule}) leaves about {share:.0%} of {counted(forecast.most_epochs, 'epoch')}")
    click.echo(f"memory of a worker: about {memory.expected:,.0f} MB; probably {memory.low:,.0f} to {memory.high:,.0f} MB")
    click.echo(f"disk: about {disk.expected:,.1f} MB; probably {disk.low:,.1f} to {disk.high:,.1f} MB")


def _weight_files(study: StudySpec, dataset: Dataset) -> tuple[list[str], dict[str, Any]]:
    """Faults of the weights that arms ask for, and the files each of these arms needs."""
    from sweeper.cli._networks import quiet
    from sweeper.driver.weights import asking, unused_folder

    asks, folder = asking(study), study.training.weights_folder
    faults = [fault] if (fault := unused_folder(study, asks)) else []
    if not asks:
        return faults, {}
    with quiet():
        from sweeper.training.weights import files

        found = files.find(asks, dataset.input_shape, dataset.num_classes, folder=folder, may_download=False)
    return [*faults, *found.faults], dict(found.files)


def _arm(study: StudySpec, name: str, dataset: Dataset) -> tuple[dict[str, Any], list[str]]:
    """What is to be said of an arm at its default configuration, and the faults of what it begins with."""
    from sweeper.driver import networks
    from sweeper.errors import KnobError

    arm, space = study.arms[name], study.space_of(name)
    models, faults = {}, []
    for place, configuration in networks.first_of(study, name).items():
        try:
            models[place] = networks.build_arm(
                place, arm.architecture, configuration, dataset.input_shape, dataset.num_classes, study.limits
            )
        except KnobError as error:
            faults.append(str(error))
    if name not in models:
        return {}, faults
    from sweeper.training.measuring import measure

    model = measure.inference_network(models[name])
    facts = {
        "arm": name,
        "architecture": arm.architecture,
        "trials": study.trials_of(name),
        "knobs": sum(knob not in arm.fixed for knob in space.knobs),
        "parameters": measure.trainable_parameters(model),
        "macs": measure.count_macs(model),
    }
    return facts, faults


def _points_of(study: StudySpec, name: str) -> dict[str, int]:
    """How many points the grid of an arm has, or how many configurations its space, where that ends it early."""
    if (grid := study.grid_of(name)) is not None:
        return {"grid_points": grid.size}
    size = study.configurations_of(name)
    is_early = size is not None and size < study.trials_of(name) and not study.search.repeats
    return {"configurations": size} if size is not None and is_early else {}


def _facts(study: StudySpec, dataset: Dataset, arms: list[dict[str, Any]]) -> dict[str, Any]:
    return {
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
        "allocation": study.search.allocation,
        "objectives": study.objectives,
        "arms": arms,
    }


def _print(study_file: Path, study: StudySpec, dataset: Dataset, arms: list[dict[str, Any]], *, is_fetched: bool) -> None:
    from sweeper.search.arm import used_up

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
    if study.search.allocation == "racing":
        click.echo(_race(study))
    if is_fetched:
        click.echo("weights are fetched by Keras at launch, unless it has kept them ($KERAS_HOME/models, else ~/.keras/models)")
    for arm in arms:
        if "configurations" in arm:
            why = used_up(study.search, arm["configurations"])
            click.echo(f"note: arm '{arm['arm']}' ends after {arm['configurations']} of {arm['trials']} trials: {why}")
    for arm in arms:
        if (asked := study.resources_of(arm["arm"]).cpus_per_trial) > (here := os.cpu_count() or 1):
            click.echo(f"note: arm '{arm['arm']}' asks for {asked} CPUs, and this machine has {here}: it needs a cluster")
    columns = list(dict.fromkeys(column for arm in arms for column in arm))
    table("arms, each at its default configuration", columns, [[arm.get(column) for column in columns] for arm in arms])


def _race(study: StudySpec) -> str:
    """What a race means for the trials of the arms."""
    from sweeper.search.allocation import LEAST

    share, needed = min(map(study.trials_of, study.arms)), (LEAST + 1) * len(study.arms)
    if share <= LEAST:
        return (
            f"note: racing needs {LEAST} trials of an arm before it can be out, and a share has {share}: arms get equal shares. "
            f"With budget.trials {needed} or more they race"
        )
    return f"arms race: from {LEAST} trials on, one that can hardly become the best leaves its share to the others"
