"""The command ``init``: a first study for data of one's own."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweeper.cli._shared import cache_option, is_anybody_there, json_option, print_json

if TYPE_CHECKING:
    from sweeper.datasets import Dataset
    from sweeper.datasets._recognise import Recognised
    from sweeper.driver.rehearsal import Forecast, Piece
    from sweeper.study.beginning import Data, Plan

NEVER_MIRRORED = {"mnist": "a mirror makes something else of digits", "digits": "a mirror makes something else of digits"}


@click.command(short_help="Look at data, and write a study file that suits them.")
@click.argument("data")
@click.option(
    "--minutes", type=click.FloatRange(1, 100_000), default=30.0, show_default=True, help="What the study may take here."
)
@click.option("--name", help="Name of the study; default: that of the file or folder.")
@click.option("--out", type=click.Path(dir_okay=False), help="Where the study file goes; default: NAME.yaml.")
@click.option("--yes", is_flag=True, help="Ask nothing: images are not mirrored.")
@cache_option
@json_option
def init(data: str, minutes: float, name: str | None, out: str | None, yes: bool, as_json: bool) -> None:
    """Look at DATA and write a study file for them: networks, batches, epochs and trials that suit, each with its reason.

    DATA is a folder with one folder of images per class (or such folders in train, validation, test), an .npz file, fer2013.csv
    or its folder, a folder of idx files, or CIFAR. Training a short piece of each network, half a minute, decides how many trials
    fit into the time; other configurations take more or less, so the study takes about that long, and the range is told.
    """
    from sweeper import catalog
    from sweeper.cli._networks import check_backend
    from sweeper.service.repeating import slots_of
    from sweeper.study import beginning
    from sweeper.study.spec import ResourcesSpec

    check_backend("tensorflow")
    file = _target(out or f"{_name(name, data)}.yaml")
    known, loaded = _look(data)
    plan = beginning.begun(_name(name, data), str(file), _facts(known, loaded, yes))
    workers = slots_of([ResourcesSpec()], cluster="local", max_concurrent=None, num_cpus=None) or 1
    plan, pieces, forecast = _filled(_buildable(plan, loaded), loaded, minutes, workers)
    if (part := _part(plan, known, forecast, minutes)) is not None:
        click.echo(f"all images leave no time for a search in {minutes:g} minutes; now with {part:.0%} of them", err=True)
        known = dataclasses.replace(known, options={**known.options, "fraction": part})
        loaded = catalog.load("dataset", known.name)(**known.options)
        plan = beginning.begun(plan.name, plan.file, _reduced(plan.data, loaded, part, minutes))
        plan, pieces, forecast = _filled(_buildable(plan, loaded), loaded, minutes, workers)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(beginning.text_of(plan))
    except OSError as error:
        from sweeper.errors import InputError

        raise InputError(f"{file} cannot be written: {error.strerror}. Choose another place with --out.") from error
    if as_json:
        facts = {"measured": [dataclasses.asdict(piece) for piece in pieces], "forecast": dataclasses.asdict(forecast)}
        print_json({"file": str(file), "study": plan.study.model_dump(mode="json"), "read_by": known.name, **facts})
    else:
        _tell(plan, known, loaded, pieces, forecast, minutes)


def _name(name: str | None, data: str) -> str:
    """The name of the study.

    Raises:
        InputError: It cannot be one.
    """
    import re

    from sweeper.errors import InputError
    from sweeper.study.beginning import study_name
    from sweeper.study.faults import STUDY_NAME
    from sweeper.study.spec import NAME_PATTERN

    if name is not None and not re.fullmatch(NAME_PATTERN, name):
        raise InputError(f"--name {name!r} cannot be the name of a study; allowed: {STUDY_NAME}.")
    return name or study_name(data)


def _target(out: str) -> Path:
    """The file to be written.

    Raises:
        InputError: It exists, or its folder does not.
    """
    from sweeper.errors import InputError

    file = Path(out)
    if file.exists():
        raise InputError(f"{file} exists, and is not overwritten. Choose another file with --out, or remove it.")
    if not file.parent.is_dir():
        raise InputError(f"there is no folder {file.parent}. Make it, or choose another file with --out.")
    return file


def _look(path: str) -> tuple[Recognised, Dataset]:
    """Which dataset reads the data, with the options that suit, and the data."""
    from sweeper import catalog
    from sweeper.datasets._recognise import recognise
    from sweeper.datasets._sizes import own_sizes
    from sweeper.errors import DatasetError
    from sweeper.study.beginning import side_for

    known = recognise(path)
    if known.name == "image_folder":
        defaults = {key: one.default for key, one in catalog.parameters("dataset", known.name).items()}
        own = own_sizes(known.name, defaults | known.options)
        if own is None:
            raise DatasetError(f"{path}: no image in it can be opened.")
        size, why = side_for(own.shorter_side[1], is_one=own.is_one, num_images=own.images)
        known = dataclasses.replace(known, options={**known.options, "size": size}, reasons={"size": why})
    function = catalog.load("dataset", known.name)
    try:
        return known, function(**known.options)
    except DatasetError as error:
        if "unreadable: skip" not in str(error):
            raise
        click.echo(f"note: {error}", err=True)
        skipping = {**known.options, "unreadable": "skip"}
        why = "some files cannot be used: sweeper describe-data says how many"
        return dataclasses.replace(known, options=skipping, reasons={**known.reasons, "unreadable": why}), function(**skipping)


def _facts(known: Recognised, loaded: Dataset, yes: bool) -> Data:
    """What a study is begun with; asks whether images may be mirrored, where somebody is there to answer."""
    from sweeper.study.beginning import Data

    is_mirrored, why = False, NEVER_MIRRORED.get(known.name, "nobody said that left and right mean the same in them")
    if known.name not in NEVER_MIRRORED and not yes and is_anybody_there():
        question = "Does a mirrored image show the same class? (photographs, faces: yes; letters, digits, signs: no)"
        is_mirrored = click.confirm(question, default=False, err=True)
        why = "you said that left and right mean the same" if is_mirrored else "you said that left and right differ"
    return Data(
        options={"name": known.name, **known.options},
        reasons={"name": known.why, **known.reasons},
        shape=loaded.input_shape,
        counts=_counts(loaded),
        is_mirrored=is_mirrored,
        why_mirrored=why,
    )


def _counts(loaded: Dataset) -> tuple[int, ...]:
    """Training images of each class."""
    found = Counter(loaded.train.labels.tolist())
    return tuple(found[label] for label in range(loaded.num_classes))


def _part(plan: Plan, known: Recognised, forecast: Forecast, minutes: float) -> float | None:
    """The part of the training images that leaves time for a search, where all of them do not and the dataset can take one."""
    from sweeper import catalog
    from sweeper.study.beginning import part_for

    expected = forecast.seconds.expected
    if expected <= 60 * minutes or "fraction" not in catalog.parameters("dataset", known.name):
        return None
    return part_for(plan, 60 * minutes, expected)


def _reduced(data: Data, loaded: Dataset, part: float, minutes: float) -> Data:
    """What a study is begun with on a part of the training images."""
    why = f"all {data.num_train:,} leave no time for a search in {minutes:g} minutes; what wins on a part may not win on all"
    options, reasons = {**data.options, "fraction": part}, {**data.reasons, "fraction": why}
    return dataclasses.replace(data, options=options, reasons=reasons, counts=_counts(loaded))


def _buildable(plan: Plan, loaded: Dataset) -> Plan:
    """The plan without arms whose networks do not fit the images.

    Raises:
        InputError: None does.
    """
    from sweeper.driver import networks
    from sweeper.errors import InputError

    study = plan.study
    with networks.building(study, [*study.arms]) as faults_of:
        faults = faults_of(loaded)
    wrong = {name: why for name in plan.arms for why in faults if why.startswith((f"arms.{name}:", f"arms.{name}."))}
    if len(wrong) == len(plan.arms):
        raise InputError("\n".join([f"no network fits images of {'x'.join(map(str, loaded.input_shape))}:", *faults]))
    return plan.without({name: why.partition(": ")[2] for name, why in wrong.items()})


def _filled(plan: Plan, loaded: Dataset, minutes: float, workers: int) -> tuple[Plan, list[Piece], Forecast]:
    """The plan with as much as fits into the time, and why."""
    from sweeper.driver import rehearsal
    from sweeper.service.repeating import duration
    from sweeper.study.beginning import MOST_OF_AN_ARM, filled

    click.echo("training a short piece of each network, to see how long it takes here", err=True)
    pieces = rehearsal.rehearse(plan.study, loaded, workers)

    def forecast(tried: Plan) -> Forecast:
        return rehearsal.forecast_of(tried.study, pieces, workers, loaded)

    plan, fits = filled(plan, 60 * minutes, lambda tried: forecast(tried).seconds.expected)
    found = forecast(plan)
    expected, low, high = (duration(value) for value in dataclasses.astuple(found.seconds))
    held = f"what {minutes:g} minutes hold" if fits else f"the least that is a search; more than {minutes:g} minutes"
    held = "as many as a first study needs" if plan.trials_of_an_arm == MOST_OF_AN_ARM else held
    why = f"{plan.trials_of_an_arm} for each arm, {held}: about {expected} here, probably {low} to {high}"
    return dataclasses.replace(plan, why_trials=why), pieces, found


def _tell(plan: Plan, known: Recognised, loaded: Dataset, pieces: list[Piece], forecast: Forecast, minutes: float) -> None:
    from sweeper.cli.check import print_forecast

    click.echo(f"{known.name} ({known.why}): {len(loaded.train):,} training and {len(loaded.validation):,} validation images")
    for note in loaded.notes:
        click.echo(f"note: {note}")
    print_forecast(plan.study, pieces, forecast)
    if forecast.seconds.expected > 60 * minutes:
        click.echo(
            f"note: not even {plan.trials_of_an_arm} trials of each arm fit into {minutes:g} minutes. Fewer arms do, or smaller "
            "images"
        )
    click.echo(f"{plan.file} is written; read it, then: sweeper launch {plan.file}")
