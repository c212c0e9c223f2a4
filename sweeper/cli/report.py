"""Commands that answer in words: ``report`` and ``recommend``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sweeper.cli._limits import read_limits
from sweeper.cli._shared import (
    json_option,
    out_option,
    print_json,
    recorded_named,
    results_of,
    results_option,
    study_argument,
)
from sweeper.service.reporting import notes_of, written

if TYPE_CHECKING:
    from sweeper.storage import Place


@click.command(short_help="Which architecture to choose, why, how surely: a page.")
@study_argument
@results_option
@out_option("Where to write; default: report/ in the study's folder.")
@json_option
def report(study: str, results_folder: Place, out: Place | None, as_json: bool) -> None:
    """Write the report of STUDY: a page that needs no network (report.html), Markdown (report.md) and facts (report.json).

    It says which architecture to choose and why, what to choose below a size, what cannot be told apart and how many more seeds
    would settle it. It also works while the study runs, and without confirmation: then it says so.
    """
    from sweeper.report.parts import plain

    stored = recorded_named(results_folder, study, with_num_to_come=True)
    told, data, files = written(stored, out)
    if as_json:
        print_json({**data, "files": [str(file) for file in files]})
        return
    click.echo(" ".join(plain(sentence) for sentence in told.answer))
    for caveat in told.caveats:
        click.echo(f"note: {plain(caveat)}")
    for file in files:
        click.echo(file)


@click.command(short_help="Which architecture to choose, in three lines.")
@study_argument
@click.option(
    "--max",
    "limits",
    metavar="COLUMN=NUMBER",
    multiple=True,
    help="Only what needs at most so much, for example parameters=1e6 or latency_ms=5; may be repeated.",
)
@results_option
@json_option
def recommend(study: str, limits: tuple[str, ...], results_folder: Place, as_json: bool) -> None:
    """Say what to choose from STUDY, how surely, and what to do next.

    The best confirmed configuration within the limits is named; where none is, the best completed trial of the search.
    """
    from sweeper.report.choices import LIMITABLE
    from sweeper.report.parts import plain
    from sweeper.report.recommend import recommend

    asked = read_limits(limits, LIMITABLE)
    stored = recorded_named(results_folder, study, with_num_to_come=True)
    told, notes = recommend(results_of(stored), asked), notes_of(stored)
    if as_json:
        print_json({**told.facts, "notes": notes})
        return
    for line in told.lines:
        click.echo(plain(line))
    for note in notes:
        click.echo(f"note: for now; {note[0].lower()}{note[1:]}")
