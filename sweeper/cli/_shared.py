"""What several commands need: options, finding a study, printing, a quiet Keras."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeper.errors import UnknownNameError

if TYPE_CHECKING:
    from rich.console import Console

    from sweeper.analysis.results import Results
    from sweeper.spec import StudySpec
    from sweeper.store import StudyStore

results_option = click.option(
    "--results",
    type=click.Path(file_okay=True, path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder of all studies.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print facts as JSON.")
study_argument = click.argument("study")


def out_option(meaning: str) -> Any:
    """``--out DIR`` with what is written there and where it goes otherwise."""
    return click.option("--out", type=click.Path(file_okay=False, path_type=Path), help=meaning)


def find_study(results: Path, study: str) -> StudyStore:
    """The stored study: a folder that holds one, or a name under the results folder.

    Raises:
        UnknownNameError: There is none; the ones that exist are listed.
    """
    from sweeper.store import StudyStore, study_folder

    direct = StudyStore(Path(study))
    if direct.exists:
        return direct
    stored = StudyStore(study_folder(results, study))
    if not stored.exists:
        raise UnknownNameError(f"study in {results}", study, [path.parent.name for path in results.glob("*/study.yaml")])
    return stored


def spec_of(stored: StudyStore) -> StudySpec:
    """The study file kept with a stored study."""
    from sweeper.spec import parse

    return parse(stored.study_yaml(), stored.folder / "study.yaml")


def results_of(stored: StudyStore) -> Results:
    """The result tables of a stored study, computed from its ledger, so also while it runs."""
    from sweeper.analysis.results import Results
    from sweeper.tables import tables

    spec = spec_of(stored)
    trials, epochs = tables(stored.read())
    return Results(study=spec.name, objectives=spec.goals, trials=trials.to_pandas(), epochs=epochs.to_pandas())


def print_json(data: object) -> None:
    """Print facts as JSON on stdout; a number that does not exist (NaN) is null."""
    click.echo(json.dumps(_plain(data), indent=2))


def console(to_stderr: bool = False) -> Console:
    """Where tables go; without a terminal lines are not broken and nothing is coloured."""
    from rich.console import Console

    made = Console(stderr=to_stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=to_stderr, highlight=False, width=200)


def table(title: str, columns: list[str], rows: list[list[object]]) -> None:
    """Print a table on stdout; numbers are aligned to the right."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for index, name in enumerate(columns):
        is_number = all(isinstance(row[index], int | float) or row[index] is None for row in rows)
        drawn.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(shown(cell)) for cell in row))
    console().print(drawn)


def shown(value: object) -> str:
    """A value for a person: four decimals, thousands separated, nothing for what does not exist."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)


def quiet_keras(backend: str = "tensorflow") -> None:
    """Prepare this process for importing Keras: its backend, no messages, no file in the user's home, no GPU."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_HOME", os.path.join(tempfile.gettempdir(), f"sweeper-keras-{os.getuid()}"))
    os.environ["KERAS_BACKEND"] = backend
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if hasattr(data, "item"):
        data = data.item()
    return None if isinstance(data, float) and (data != data or data in (float("inf"), float("-inf"))) else data
