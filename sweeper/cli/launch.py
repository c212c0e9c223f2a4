"""Commands that run studies: ``launch`` and ``resume``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._running import run, with_cluster_options
from sweeper.cli._shared import json_option, open_named, print_json, results_option, study_argument
from sweeper.cli._submitting import submitted
from sweeper.service.facts import status_of
from sweeper.service.stored import folder_of_studies, open_if_stored

if TYPE_CHECKING:
    from sweeper.driver.opened import OpenedStudy
    from sweeper.storage import Place
    from sweeper.study.spec import ConfirmSpec, StudySpec


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
def launch(study_file: Path, results_folder: Place, as_json: bool, **options: Any) -> None:
    """Run the study in STUDY_FILE; a study that exists goes on where it was left.

    With a kind of cluster that studies are submitted to, such as slurm, it is submitted there: see `sweeper cluster`.

    A file that asks for more trials, more epochs or more arms than the study has extends it; nothing else may have changed.
    """
    from sweeper.service.clusters import named
    from sweeper.study import spec

    where = named(options["cluster"])
    wanted = spec.load(study_file)
    if where.submits:
        submitted(where, wanted, study_file, results_folder, options)
        return
    opened = open_if_stored(results_folder, wanted.name)
    _run_and_confirm(wanted, results_folder, as_json, opened=opened, asked=wanted.confirm, **options)


@click.command(short_help="Go on with a study, also with more trials or epochs.")
@study_argument
@click.option("--trials", type=click.IntRange(min=1), help="Extend the study to so many trials over all arms together.")
@click.option("--max-epochs", type=click.IntRange(min=1), help="Extend the study to so many epochs of a whole training.")
@repeat_decayed_option
@results_option
@with_cluster_options
@json_option
def resume(study: str, results_folder: Place, as_json: bool, trials: int | None, max_epochs: int | None, **options: Any) -> None:
    """Go on with STUDY, a name under the results folder or a folder; the same as launching its file again.

    With more epochs, trials whose learning rate is constant go on from their checkpoints, unless a rung would stop them where
    they ended. The others keep their row.
    """
    from sweeper.driver import own
    from sweeper.driver.extending import extended

    opened = open_named(results_folder, study)
    own.check_known(opened)
    wanted = opened.first  # which asks for what the study has become
    if trials is not None or max_epochs is not None:
        wanted = extended(opened.spec, trials=trials, max_epochs=max_epochs)
    _run_and_confirm(wanted, folder_of_studies(opened), as_json, opened=opened, asked=opened.first.confirm, **options)


def _run_and_confirm(
    wanted: StudySpec,
    results_folder: Place,
    as_json: bool,
    *,
    opened: OpenedStudy | None,
    asked: ConfirmSpec | None,
    repeat_decayed: bool,
    **options: Any,
) -> None:
    """Run a study, then confirm it where that is asked for; the facts are printed once."""
    is_last = asked is None
    silent = None if is_last or not as_json else lambda study, facts: None
    run(
        wanted,
        results_folder,
        as_json,
        opened=opened,
        confirms=asked,
        repeat_decayed=repeat_decayed,
        closing=silent,
        **options,
    )
    stored = None if is_last else open_if_stored(results_folder, wanted.name)
    if asked is None or stored is None:
        return
    from sweeper.cli.confirm import confirm_study

    if stored.search.is_searched:
        confirm_study(stored, asked, as_json, **options)
    elif as_json:
        print_json(status_of(stored))
