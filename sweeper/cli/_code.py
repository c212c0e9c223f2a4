"""The option ``--code``: a user's own code, known to a command while it runs.

It is given to commands in one place, `sweeper.cli`, so that a command need not know of it.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._shared import counted, is_anybody_there
from sweeper.errors import SweeperError

if TYPE_CHECKING:
    from sweeper.owncode import Code

WITHOUT = ("audit", "status", "export", "pareto", "report", "recommend", "new", "check-code", "cluster")
"""Commands that look up nothing a user could add, or take the folder in a way of their own; a group's own take it there."""

_FOLDER = "code_folder"


def with_code(command: click.Command) -> click.Command:
    """The command with the option."""
    inner = command.callback
    assert inner is not None

    @functools.wraps(inner)
    def callback(*arguments: Any, **options: Any) -> Any:
        from sweeper import catalog

        code = _code(options.pop(_FOLDER), options.get("study_file"))
        for note in () if code is None or options.get("quiet") else code.notes:
            click.echo(f"note: {note}", err=True)
        with catalog.using(code):
            return inner(*arguments, **options)

    command.callback = callback
    command.params.append(
        click.Option(
            ["--code", _FOLDER],
            metavar="FOLDER",
            help="Your own architectures, search_spaces, datasets and plots: a folder with folders of these names. It is run.",
        )
    )
    return command


def read_code(folder: str) -> Code:
    """The code in a folder, on this machine or in a bucket; nothing of it is run.

    Raises:
        InputError: As `sweeper.owncode.read`.
    """
    from sweeper import owncode

    if "://" in folder:
        from sweeper.driver.own import fetched
        from sweeper.storage import place

        return fetched(place(folder))
    return owncode.read(folder)


def _code(folder: str | None, study_file: Path | None) -> Code | None:
    """The code in the folder that was named, or in the one that the study file names and the user agrees to run."""
    named = None if study_file is None else _named_in(study_file)
    if folder is None:
        return None if named is None else _agreed(named)
    if named is not None and named.resolve() != Path(folder).resolve():
        click.echo(f"note: --code {folder} is taken, not {named}/, which {study_file} names", err=True)
    return read_code(folder)


def _named_in(study_file: Path) -> Path | None:
    """The folder that a study file names; what is wrong with the file is found when it is read in full."""
    from sweeper.study import own
    from sweeper.study.text import text_of

    if not study_file.is_file():  # a pipe is read once
        return None
    try:
        named = own.named_in(text_of(study_file))
    except SweeperError:
        return None
    return None if named is None else own.folder_of(named, study_file)


def _agreed(folder: Path) -> Code | None:
    """The code in a folder, if somebody is there to say that it may be run."""
    if not is_anybody_there():
        return None
    code = read_code(str(folder))
    click.confirm(f"{code.origin} holds {counted(len(code.files), 'Python file')} and will be run. Go on?", abort=True, err=True)
    return code
