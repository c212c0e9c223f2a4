"""Commands that answer: ``pareto`` and ``plot``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from sweeper.cli._completing import named
from sweeper.cli._limits import read_limits
from sweeper.cli._shared import (
    json_option,
    out_option,
    print_json,
    recorded_named,
    results_of,
    results_option,
    shown,
    study_argument,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sweeper.storage import Place, Where

FIGURES = "Where to write; default: figures/ in the study's folder."


@click.command(short_help="Which trials no other trial beats: a table and a figure.")
@study_argument
@results_option
@click.option("-x", "x", default="parameters", show_default=True, help="What a choice costs: a column of the trials.")
@click.option("-y", "y", default="val_accuracy", show_default=True, help="What a choice is worth: a column of the trials.")
@click.option("-z", "z", help="A third column, shown as the size of the markers.")
@click.option(
    "--max",
    "largest",
    multiple=True,
    metavar="COLUMN=NUMBER",
    help="Largest value allowed, for example parameters=1e6: what exceeds it is shaded, and the best trial within is told.",
)
@out_option(FIGURES)
@json_option
def pareto(
    study: str, results_folder: Place, x: str, y: str, z: str | None, largest: tuple[str, ...], out: Place | None, as_json: bool
) -> None:
    """The trials of STUDY that no other trial beats in both X and Y: a figure (PNG and SVG) and a table.

    Where trials were repeated with several seeds, a second figure shows how surely each configuration is on the front.
    """
    from sweeper.analysis.doubt import best_within
    from sweeper.analysis.pareto import front_table
    from sweeper.analysis.results import DIRECTIONS, at_stage
    from sweeper.analysis.verdicts import headline_column
    from sweeper.cli._shared import table
    from sweeper.errors import NoDataError
    from sweeper.plots import pareto as plot
    from sweeper.plots.pareto_seeds import pareto_seeds

    limits = read_limits(largest, DIRECTIONS)
    opened = recorded_named(results_folder, study, with_epochs=False)
    data = results_of(opened)
    front = front_table(data, x=x, y=y)
    folder = out or opened.folder / "figures"
    name = "_".join(["pareto", x, y, *([z] if z else [])])
    files = save_figure(plot.pareto(data, x=x, y=y, z=z, limits=limits), folder, name)
    is_given = click.get_current_context().get_parameter_source("y") is not ParameterSource.DEFAULT
    measured = y if is_given else headline_column(data)
    with contextlib.suppress(NoDataError):
        files += save_figure(pareto_seeds(data, x=x, y=measured), folder, f"pareto_seeds_{x}_{measured}")
    if as_json:
        print_json(
            {
                "study": data.study,
                "x": x,
                "y": y,
                "front": _with_objects(front.to_dict("records")),
                "within": limits,
                "best_within": best_within(at_stage(data, "search"), limits, y=y) if limits else None,
                "files": [str(file) for file in files],
            }
        )
        return
    front["configuration"] = front["configuration"].map(_in_short)
    table(f"Pareto front of {data.study}: {y} against {x}", list(front.columns), front.astype(object).to_numpy().tolist())
    if limits:
        click.echo(plot.within(data, limits, y=y))
    for file in files:
        click.echo(file)


@click.command(short_help="Draw the figures of a study.")
@study_argument
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=named("plot"))
@results_option
@out_option(FIGURES)
@json_option
def plot(study: str, names: tuple[str, ...], results_folder: Place, out: Place | None, as_json: bool) -> None:
    """Draw STUDY: those named, or all for which it has data; see `sweeper list plot`."""
    from sweeper import catalog
    from sweeper.errors import NoDataError

    for name in names:
        catalog.check("plot", name)
    opened = recorded_named(results_folder, study)
    data = results_of(opened, with_predictions=True)
    written, skipped = [], {}
    for name in names or catalog.names("plot"):
        try:
            figure = catalog.load("plot", name)(data)
        except NoDataError as error:
            if names:
                raise
            skipped[name] = error
            continue
        written += save_figure(figure, out or opened.folder / "figures", name)
    if not written:
        raise next(iter(skipped.values()))
    for name, reason in skipped.items():
        click.echo(f"not drawn: {name}: {reason}", err=True)
    if as_json:
        print_json([str(file) for file in written])
        return
    for file in written:
        click.echo(file)


def _with_objects(rows: list[dict[Hashable, Any]]) -> list[dict[Hashable, Any]]:
    """The rows with their configurations as objects instead of JSON text."""
    return [{**row, "configuration": json.loads(row["configuration"])} for row in rows]


def _in_short(configuration: str) -> str:
    """A configuration for a person: ``width=32 dropout=0.1418``; `--json` has every digit."""
    knobs = json.loads(configuration)
    return " ".join(f"{name}={f'{value:.4g}' if isinstance(value, float) else shown(value)}" for name, value in knobs.items())


def save_figure(figure: Figure, folder: Where, name: str) -> list[Place]:
    """Write a figure as PNG and SVG; a folder that cannot be written is the user's to change."""
    from sweeper.errors import ResultsFolderError, StorageError
    from sweeper.plots._style import save

    try:
        return save(figure, folder, name)
    except StorageError:
        raise
    except OSError as error:
        raise ResultsFolderError(f"{folder} cannot be written ({error.strerror}). Give another folder with --out.") from None
