"""What ``launch`` and ``cluster`` share: a study submitted to a cluster, with the options that ``launch`` has for it there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeper.errors import InputError

if TYPE_CHECKING:
    from sweeper.service.clusters import Named
    from sweeper.storage import Place
    from sweeper.study.spec import StudySpec
    from sweeper.submission import Job, Submission

PASSED = ("max_concurrent", "keep_best", "checkpoint_minutes", "seeds_together", "repeat_decayed", "quiet")
"""Options of ``launch`` that a submitted study runs with."""


def checked(study_file: Path, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Arguments for ``launch`` on the cluster, once it is known that it takes them there.

    Raises:
        click.UsageError: It does not know one of them, or cannot have its value.
        InputError: One says what the submission says, or is about this machine.
    """
    root = click.get_current_context().find_root()
    command = root.command
    assert isinstance(command, click.Group)
    launch = command.commands["launch"]
    asked = launch.make_context("launch", [str(study_file), *arguments], parent=root)
    given = [one for one in launch.params if asked.get_parameter_source(one.name or "") is click.core.ParameterSource.COMMANDLINE]
    wrong = [one.opts[0] for one in given if one.name not in (*PASSED, "study_file")]
    if wrong:
        allowed = ", ".join(one.opts[0] for one in launch.params if one.name in PASSED)
        raise InputError(f"{', '.join(wrong)} cannot be given to a submitted study. Allowed after --: {allowed}.")
    return arguments


def submitted(where: Named, study: StudySpec, study_file: Path, results_folder: Place, options: dict[str, Any]) -> None:
    """Submit what ``sweeper launch`` was called for; its options go along."""
    from sweeper.service.clusters import job_of

    context = click.get_current_context()
    arguments: list[str] = []
    for parameter in context.command.params:
        is_given = context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        if parameter.name in PASSED and is_given:
            value = options[parameter.name]
            arguments += [parameter.opts[0]] if isinstance(value, bool) else [parameter.opts[0], str(value)]
    job = job_of(study, study_file, str(results_folder), arguments)
    submit_job(where, job, where.submission(job))


def submit_job(where: Named, job: Job, submission: Submission, out: Path | None = None) -> None:
    """Write the files of a submission, run its commands, and say how to follow the job.

    Raises:
        InputError: Nothing can be run from here; the files are written, and the error says what to do with them.
        SweeperError: A command failed.
    """
    from sweeper.service.clusters import perform, render

    folder = out or folder_of(where, job)
    tell_files(render(submission, folder), submission)
    if submission.by_hand:
        raise InputError(submission.by_hand)
    click.echo(perform(submission.submit, folder, say), nl=False)
    click.echo(
        f"the job is known there as {job.name}. Follow the study with: sweeper status {job.study} --results {job.results} --watch"
    )


def folder_of(where: Named, job: Job) -> Path:
    """Folder of a job's files unless another one is named."""
    return Path(f"{job.name}-{where.kind}")


def say(line: str) -> None:
    """Say a line on stderr."""
    click.echo(line, err=True)


def tell_files(files: Sequence[Path], submission: Submission) -> None:
    """Say which files were written, and what to know of the submission."""
    for file in files:
        click.echo(f"wrote {file}")
    for note in submission.notes:
        say(f"note: {note}")
