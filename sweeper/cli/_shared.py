"""What several commands need: options, printing; and, from `sweeper.service`, finding a study and its results."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._completing import studies
from sweeper.errors import InputError, UnknownNameError
from sweeper.service.stored import RESULTS
from sweeper.service.stored import find_study as find_study
from sweeper.service.stored import open_named as open_named
from sweeper.service.stored import recorded_named as recorded_named
from sweeper.service.stored import results_of as results_of
from sweeper.service.stored import study_to_come as study_to_come
from sweeper.service.words import console as console
from sweeper.service.words import counted as counted
from sweeper.service.words import plain_data
from sweeper.service.words import shown as shown

if TYPE_CHECKING:
    from sweeper.catalog import Parameter


class _Folder(click.Path):
    """A folder that need not exist, or an address in a bucket such as ``s3://BUCKET/PREFIX``, as a `Place`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from sweeper.storage import LocalPlace, place

        named = place(value)
        if isinstance(named, LocalPlace):
            super().convert(str(named), param, ctx)
        return named


results_option = click.option(
    "--results",
    "results_folder",
    type=_Folder(file_okay=False),
    default=RESULTS,
    show_default=True,
    help="Folder of all studies, or s3://BUCKET/PREFIX, gs://..., az://...",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print facts as JSON.")
study_argument = click.argument("study", shell_complete=studies)


def out_option(meaning: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--out DIR`` with what is written there and where it goes otherwise."""
    return click.option("--out", type=_Folder(file_okay=False), help=meaning)


def is_anybody_there() -> bool:
    """Whether a question can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def print_json(data: object) -> None:
    """Print facts as JSON on stdout; a number that does not exist (NaN) is null."""
    click.echo(json.dumps(plain_data(data), indent=2))


def _use_cache(context: click.Context, parameter: click.Parameter, folder: str | None) -> None:
    """Make a folder the cache of this process."""
    if folder:
        from sweeper.datasets._mapped import CACHE

        os.environ[CACHE] = folder


cache_option = click.option(
    "--cache",
    metavar="DIR",
    expose_value=False,
    callback=_use_cache,
    help="Folder for the decoded images of splits above 2 GiB; default: $SWEEPER_CACHE, or ~/.cache/sweeper.",
)


def table(title: str, columns: list[str], rows: list[list[object]]) -> None:
    """Print a table on stdout; numbers are aligned to the right."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for index, name in enumerate(columns):
        is_number = all(_is_number(row[index]) for row in rows)
        drawn.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(shown(cell)) for cell in row))
    out = console()
    if out.is_terminal:
        out.print(drawn)
        return
    with out.capture() as capture:
        out.print(drawn)
    click.echo("\n".join(line.rstrip() for line in capture.get().strip("\n").splitlines()))


def _is_number(cell: object) -> bool:
    return cell is None or isinstance(cell, int | float) or (isinstance(cell, str) and cell.endswith("%"))


def read_settings(settings: tuple[str, ...], known: Mapping[str, Parameter], kind: str, owner: str) -> dict[str, Any]:
    """The values in options ``--set NAME=VALUE``, each read by the type of the argument it names.

    Args:
        settings: What stands behind ``--set``, once for every time it was given.
        known: The arguments there are.
        kind: What they are called: ``knob`` or ``option``.
        owner: Whose they are, for example ``cnn``.

    Raises:
        InputError: No ``=``, an unknown or repeated name, a value of another type.
    """
    from sweeper.study.faults import allowed_words, argument_problem
    from sweeper.study.written import parse_value

    given: dict[str, Any] = {}
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator:
            example = next((f"{key}={shown(value.default)}" for key, value in known.items() if key != "path"), f"{kind}=1")
            raise InputError(f"--set {setting}: write {kind.upper()}=VALUE, for example --set {example}")
        if name not in known:
            raise UnknownNameError(f"{kind} of {owner}", name, known)
        if name in given:
            raise InputError(f"--set {setting}: '{name}' is set twice; keep one.")
        is_list = known[name].annotation.startswith("tuple[")
        given[name] = tuple(filter(None, text.split(","))) if is_list else parse_value(text, known[name])
        if argument_problem(known[name], given[name]) is not None:
            raise InputError(f"--set {setting}: '{text}' cannot be read as {allowed_words(known[name])}.")
    return given
