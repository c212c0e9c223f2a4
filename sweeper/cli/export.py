"""The command ``export``: the results of a study as tables, or in the formats of other tools."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

import click

from sweeper.cli._completing import formats
from sweeper.cli._shared import (
    find_study,
    json_option,
    out_option,
    print_json,
    results_option,
    study_argument,
    study_to_come,
)
from sweeper.errors import InputError, unknown

if TYPE_CHECKING:
    from sweeper.ledger.ledger import StudyFolder
    from sweeper.storage import Place

LOOK_S = 5.0
"""Seconds between two looks at a study that is followed."""


@click.command(short_help="Write results as tables, or for TensorBoard and other tools.")
@study_argument
@results_option
@click.option(
    "--to",
    "file_format",
    default="csv",
    show_default=True,
    shell_complete=formats,
    help="csv, parquet, tensorboard, mlflow, optuna or wandb. All are files on this machine; nothing is sent anywhere.",
)
@out_option("Where to write; default: export/ in the study's folder.")
@click.option("--live", is_flag=True, help="With tensorboard: follow the study until it is finished, from any machine.")
@json_option
def export(study: str, results_folder: Place, file_format: str, out: Place | None, live: bool, as_json: bool) -> None:
    """Write the trials and the epochs of STUDY, as two tables or for another tool."""
    from sweeper.exports.tools import TOOLS
    from sweeper.ledger import tables

    if file_format not in (*tables.FORMATS, *TOOLS):
        raise InputError(unknown("format", file_format, [*tables.FORMATS, *TOOLS]))
    if live and file_format != "tensorboard":
        raise InputError(f"--live follows a study for TensorBoard; {file_format} is written once. Write --to tensorboard --live")
    if live:
        written = _follow(_awaited(results_folder, study), out)
    elif file_format in TOOLS:
        written = _for_a_tool(find_study(results_folder, study), out, file_format)
    else:
        files = find_study(results_folder, study)  # whose events are all that is needed, whatever became of its file
        written = [str(path) for path in tables.export(files.read(), out or files.folder / "export", file_format)]
    if as_json:
        print_json(written)
    else:
        for path in written:
            click.echo(path)


def _for_a_tool(files: StudyFolder, out: Place | None, name: str) -> list[str]:
    """The paths written for a tool; how to open them is told on stderr."""
    from sweeper.driver.opened import open_study
    from sweeper.exports.tools import TOOLS
    from sweeper.exports.trials import local_folder, study_of

    opened = open_study(files)
    folder = local_folder(out or files.folder / "export", name)
    written = TOOLS[name].write(study_of(opened.spec, opened.first.study_id, opened.events), folder)
    _tell(name, folder, written)
    return written


def _tell(name: str, folder: str, written: list[str]) -> None:
    from sweeper.exports.tools import TOOLS

    if written:
        path, folder = shlex.quote(written[0]), shlex.quote(folder)
        click.echo(f"open it with: {TOOLS[name].opened.format(path=path, folder=folder)}", err=True)


def _awaited(results_folder: Place, study: str) -> StudyFolder:
    """The stored study, waited for where it is to come."""
    is_told = False
    while study_to_come(results_folder, study) is not None:
        if not is_told:
            click.echo(f"there is no study '{study}' in {results_folder} yet; waiting for it", err=True)
        is_told = True
        time.sleep(LOOK_S)
    return find_study(results_folder, study)


def _follow(files: StudyFolder, out: Place | None) -> list[str]:
    """The path of the runs of TensorBoard, to which everything that happens is added until the study is finished.

    Only reads the study: no lock is taken, and parts of its ledger are read again only where there are new ones.
    """
    from sweeper.driver.opened import open_study
    from sweeper.exports import tensorboard
    from sweeper.exports.trials import local_folder, study_of

    folder = local_folder(out or files.folder / "export", "tensorboard")
    seen: frozenset[str] | None = None
    written: list[str] = []
    is_finished = False
    while True:
        is_driven, parts = files.owner is not None, files.part_names()
        if parts != seen:
            opened = open_study(files)
            written = tensorboard.write(study_of(opened.spec, opened.first.study_id, opened.events), folder)
            if seen is None:
                _tell("tensorboard", folder, written)
                click.echo("following the study until it is finished; Ctrl-C ends this, not the study", err=True)
            seen, is_finished = parts, opened.search.is_finished
        if is_finished and not is_driven:
            return written
        time.sleep(LOOK_S)
