"""Commands that answer in words: ``report`` and ``recommend``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._limits import read_limits
from sweeper.cli._shared import (
    json_option,
    out_option,
    plain_data,
    print_json,
    recorded_named,
    results_of,
    results_option,
    study_argument,
)

if TYPE_CHECKING:
    from sweeper.driver.opened import RecordedStudy
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
    from sweeper.report.build import facts, report
    from sweeper.report.page import page
    from sweeper.report.parts import plain
    from sweeper.report.text import markdown

    stored = recorded_named(results_folder, study, with_num_to_come=True)
    told = report(results_of(stored, with_predictions=True), notes=_notes(stored))
    data = plain_data(facts(told))
    texts = {"report.html": page(told), "report.md": markdown(told), "report.json": json.dumps(data, indent=2) + "\n"}
    files = _write(texts, out or stored.folder / "report")
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
    told, notes = recommend(results_of(stored), asked), _notes(stored)
    if as_json:
        print_json({**told.facts, "notes": notes})
        return
    for line in told.lines:
        click.echo(plain(line))
    for note in notes:
        click.echo(f"note: for now; {note[0].lower()}{note[1:]}")


def _notes(stored: RecordedStudy) -> list[str]:
    """Caveats that the tables of results do not tell."""
    notes = []
    if not stored.derived.num_events:
        return ["The ledger of the study holds nothing: nothing has begun, or the folder ledger/ was lost."]
    if stored.files.owner is not None:
        notes.append("A driver is at work on the study now.")
    if to_come := stored.derived.num_to_come:
        notes.append(f"{to_come:,} planned trial{' has' if to_come == 1 else 's have'} not begun.")
    return notes


def _write(texts: dict[str, str], folder: Place) -> list[Any]:
    """Write files whole, in place of older ones; a folder that cannot be written is the user's to change."""
    from sweeper.errors import ResultsFolderError, StorageError

    files = [folder / name for name in texts]
    try:
        folder.make_folder()
        for file, text in zip(files, texts.values(), strict=True):
            file.write_whole(text.encode(), may_replace=True)
    except StorageError:
        raise
    except OSError as error:
        raise ResultsFolderError(f"{folder} cannot be written ({error.strerror}). Give another folder with --out.") from None
    return files
