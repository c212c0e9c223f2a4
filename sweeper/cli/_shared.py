"""What several commands need: options, finding a study, printing, a quiet Keras."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from sweeper.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from rich.console import Console

    from sweeper.analysis.results import Results
    from sweeper.catalog import Parameter
    from sweeper.driver.opened import OpenedStudy, RecordedStudy
    from sweeper.ledger.ledger import StudyFolder
    from sweeper.storage import Place

RESULTS = "results"
"""Folder of studies where none is named."""

UNBROKEN = 5000
"""Width of what is not a terminal: no line is broken there."""


class _Folder(click.Path):
    """A folder that need not exist, or ``s3://BUCKET/PREFIX``, as a `Place`."""

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
    help="Folder of all studies, or s3://BUCKET/PREFIX.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print facts as JSON.")
study_argument = click.argument("study")


def out_option(meaning: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--out DIR`` with what is written there and where it goes otherwise."""
    return click.option("--out", type=_Folder(file_okay=False), help=meaning)


def find_study(results_folder: Place, study: str) -> StudyFolder:
    """The stored study: a folder that holds one, or a name under the results folder.

    Raises:
        InputError: There is none.
        UnknownNameError: There is none of this name; the ones that exist are listed.
    """
    from sweeper.ledger.ledger import StudyFolder, study_folder

    direct = StudyFolder(study)
    if study and direct.exists:
        return direct
    is_name = os.sep not in study and study not in (".", "..")
    if is_name and (stored := StudyFolder(study_folder(results_folder, study))).exists:
        return stored
    existing = sorted(name for name in results_folder.names() if (results_folder / name / "study.yaml").is_file())
    listed = f"Studies in {results_folder}: {', '.join(existing)}." if existing else f"There is no study in {results_folder} yet."
    if study.endswith((".yaml", ".yml")):
        raise InputError(f"{study} is a study file. Give the name of a study that was launched, or its folder. {listed}")
    if not is_name:
        raise InputError(f"{study} is not the folder of a study: it holds no study.yaml. {listed}")
    if not existing:
        raise InputError(f"unknown study '{study}'. {listed} Start one with: sweeper launch STUDY.yaml")
    raise UnknownNameError("study", study, existing, where=results_folder)


def study_to_come(results_folder: Place, study: str) -> StudyFolder | None:
    """Where a study of this name, or in this folder, would lie; None where there is one, or it can be no study.

    Raises:
        InputError: It cannot be the name of a study.
    """
    from sweeper.ledger.ledger import StudyFolder, study_folder

    if not study or study in (".", "..") or study.endswith((".yaml", ".yml")) or StudyFolder(study).exists:
        return None
    found = StudyFolder(study if os.sep in study else study_folder(results_folder, study))
    return None if found.exists else found


def open_named(results_folder: Place, study: str) -> OpenedStudy:
    """The stored study that `find_study` finds, opened; raises as that does, and as `sweeper.driver.opened.open_study`."""
    from sweeper.driver.opened import open_study

    return open_study(find_study(results_folder, study))


def recorded_named(results_folder: Place, study: str, **wanted: bool) -> RecordedStudy:
    """The results of the stored study that `find_study` finds; takes and raises what `sweeper.driver.opened.recorded` does."""
    from sweeper.driver.opened import recorded

    return recorded(find_study(results_folder, study), **wanted)


def results_of(study: OpenedStudy | RecordedStudy, *, with_predictions: bool = False) -> Results:
    """The result tables of a stored study, also while it runs; its predictions where asked for."""
    from sweeper.analysis.results import Results
    from sweeper.driver.opened import OpenedStudy
    from sweeper.ledger import predictions

    derived = study.derived() if isinstance(study, OpenedStudy) else study.derived
    found, class_names = predictions.read(study.folder) if with_predictions else (None, ())
    own: dict[str, Any] = {} if found is None else {"predictions": found.to_pandas(), "class_names": class_names}
    return Results(
        study=study.first.name,
        objectives=study.first.goals,
        trials=derived.trials.to_pandas(),
        epochs=derived.epochs.to_pandas(),
        runs=derived.runs.to_pandas(),
        looks=derived.looks,
        timed_while_busy=derived.timed_while_busy,
        limits=study.first.limits,
        baseline=study.first.baseline,
        typed="" if _is_found_by_name(study) else str(study.folder),
        **own,
    )


def _is_found_by_name(study: OpenedStudy | RecordedStudy) -> bool:
    """Whether commands find a study in the folder of results that they look in by themselves."""
    from sweeper.storage import place

    return str(study.folder.resolve()) == str((place(RESULTS) / study.first.name).resolve())


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


def console(to_stderr: bool = False) -> Console:
    """Where tables go; without a terminal lines are not broken and nothing is coloured."""
    from rich.console import Console

    made = Console(stderr=to_stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=to_stderr, highlight=False, width=UNBROKEN)


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


def shown(value: object) -> str:
    """A value for a person: four decimals, thousands separated, nothing for what does not exist."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)


def counted(number: int, noun: str) -> str:
    """``1 epoch``, ``3,000 epochs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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


def plain_data(data: Any) -> Any:
    """The same with plain numbers, and None for those that are not finite, so that it can be JSON."""
    if isinstance(data, dict):
        return {str(key): plain_data(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain_data(value) for value in data]
    if hasattr(data, "item"):
        data = data.item()
    return None if isinstance(data, float) and (data != data or data in (float("inf"), float("-inf"))) else data
