"""Commands for clusters that a study is submitted to: ``cluster render|submit|status|logs|down``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._code import with_code
from sweeper.cli._shared import json_option, print_json, results_option
from sweeper.cli._submitting import checked, folder_of, say, submit_job, tell_files

if TYPE_CHECKING:
    from sweeper.service.clusters import Named
    from sweeper.storage import Place
    from sweeper.submission import Job, Submission


@click.group(short_help="Submit a study to Slurm, Kubernetes and others; see it; end it.")
def cluster() -> None:
    """Submit a study to a cluster, see how it is, end it.

    KIND is a kind of cluster (`sweeper list cluster`), or a file with its options: kind: slurm, nodes: 2, and so on. What is
    submitted runs the study or resumes it, so a job that was ended goes on when it is submitted again.
    """


def _with_job(command: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments that every command about a job has; the command gets the kind, the job and what carries it there."""

    def callback(kind: str, study_file: Path, results_folder: Place, launch_arguments: tuple[str, ...], **options: Any) -> None:
        from sweeper.service.clusters import job_of, named
        from sweeper.study import spec

        where = named(kind)
        study = spec.load(study_file)
        job = job_of(study, study_file, str(results_folder), checked(study_file, launch_arguments))
        command(where, job, where.submission(job), **options)

    callback.__name__, callback.__doc__ = command.__name__, command.__doc__
    for add in (
        results_option,
        click.argument("launch_arguments", nargs=-1, type=click.UNPROCESSED),
        click.argument("study_file", type=click.Path(path_type=Path)),
        click.argument("kind"),
    ):
        callback = add(callback)
    return callback


def _out_option(command: Callable[..., Any]) -> Callable[..., Any]:
    meaning = "Folder for the job's files; default: the job's name and the kind, here."
    return click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help=meaning)(command)


@_out_option
@json_option
@_with_job
def render(where: Named, job: Job, submission: Submission, *, out: Path | None, as_json: bool) -> None:
    """Write the files with which STUDY_FILE would be submitted to KIND, and say which commands would be run.

    LAUNCH_ARGUMENTS, after --, are options of `sweeper launch` for the study there, such as --max-concurrent 4.
    """
    from sweeper.service.clusters import render as write

    folder = out or folder_of(where, job)
    files = write(submission, folder)
    commands = {name: getattr(submission, name) for name in ("submit", "status", "logs", "down")}
    if as_json:
        print_json({"job": job.name, "files": [str(file) for file in files], "notes": submission.notes} | commands)
        return
    tell_files(files, submission)
    for name, lines in commands.items():
        _tell_commands(name, lines, folder)
    if submission.by_hand:
        click.echo(submission.by_hand)


@_out_option
@_with_job
def submit(where: Named, job: Job, submission: Submission, *, out: Path | None) -> None:
    """Submit STUDY_FILE to KIND; a study that exists goes on. The same as `sweeper launch STUDY_FILE --cluster KIND`."""
    submit_job(where, job, submission, out)


def _asked(name: str) -> Callable[..., None]:
    """A command that runs those of a submission that have a name."""

    def ask(where: Named, job: Job, submission: Submission) -> None:
        import tempfile

        from sweeper.errors import InputError
        from sweeper.service.clusters import perform
        from sweeper.service.clusters import render as write

        commands = getattr(submission, name)
        if not commands:
            raise InputError(submission.by_hand or f"a cluster of kind {where.kind} has nothing for this.")
        with tempfile.TemporaryDirectory(prefix="sweeper-cluster-") as folder:
            write(submission, Path(folder))
            printed = perform(commands, Path(folder), say)
        click.echo(printed, nl=False)
        if not printed.strip() and name != "down":
            say(f"nothing: no job is known there as {job.name}")

    return ask


def _tell_commands(name: str, commands: tuple[tuple[str, ...], ...], folder: Path) -> None:
    import shlex

    for command in commands:
        click.echo(f"{name}: cd {shlex.quote(str(folder))} && {shlex.join(command)}")


_SHORT = {
    "render": "Write the files that would be submitted.",
    "submit": "Submit a study; one that exists goes on.",
    "status": "How the job is.",
    "logs": "What the job has printed.",
    "down": "End the job, and what it holds.",
}

_CALLBACKS = {"render": render, "submit": submit} | {name: _with_job(_asked(name)) for name in ("status", "logs", "down")}

for _name, _callback in _CALLBACKS.items():
    cluster.add_command(with_code(click.command(_name, short_help=_SHORT[_name])(_callback)))
