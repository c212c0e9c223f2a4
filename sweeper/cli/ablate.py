"""The command ``ablate``: how much of a result is the seed?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._running import run, with_cluster_options
from sweeper.cli._shared import (
    json_option,
    open_named,
    out_option,
    print_json,
    results_of,
    results_option,
    study_argument,
)
from sweeper.cli.figures import FIGURES, save_figure
from sweeper.service.facts import status_of
from sweeper.service.repeating import announcement, best_of_arms, check_at_rest, slots_of
from sweeper.service.stored import folder_of_studies

if TYPE_CHECKING:
    from sweeper.driver.opened import OpenedStudy
    from sweeper.storage import Place


@click.command(short_help="Repeat trials with other seeds: means and intervals.")
@study_argument
@click.option(
    "--trial",
    "trials",
    metavar="TRIAL",
    multiple=True,
    default=("best",),
    show_default=True,
    help="A trial of the study, 'best' of each arm, or the 'defaults' of each arm; may be repeated.",
)
@click.option("--seeds", "num_seeds", type=click.IntRange(1, 1000), default=3, show_default=True, help="Seeds for each.")
@click.option(
    "--vary",
    type=click.Choice(["training", "init", "order", "augmentation", "split", "all"]),
    default="training",
    show_default=True,
    help="What the seeds set: one source of chance alone; 'training' is all but the carve of validation images.",
)
@results_option
@with_cluster_options
@out_option(FIGURES)
@json_option
def ablate(
    study: str,
    trials: tuple[str, ...],
    num_seeds: int,
    vary: str,
    results_folder: Place,
    out: Place | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train trials of STUDY again with the seeds 1 to N, the same for every arm, and say what a result owes to its seed.

    The search of the study must have ended. Repetitions are trained to their end and stored in the same study; called again, it
    goes on where it was left, and more seeds are added to those there are.
    """
    from sweeper.search import repetition

    opened = open_named(results_folder, study)
    spec, search = opened.first, opened.search
    check_at_rest(opened)
    repetition.check_searched(search)
    data = results_of(opened)
    asked = [trial for name in trials for trial in (best_of_arms(data) if name == "best" else [name])]
    varies = None if vary == "training" else vary
    planned = repetition.plan(search, asked, num_seeds, varies)
    opening = announcement(data, planned, num_known=len(search.planned), slots=slots_of(spec.shapes, **options))

    def closing(now: OpenedStudy, facts: dict[str, Any]) -> None:
        if varies is None:
            _print_closing(now, facts, out or now.folder / "figures", as_json)
        else:
            _print_sources(now, facts, as_json)

    if not planned and search.is_finished:
        if not options["quiet"]:
            click.echo(opening, err=True)
        closing(opened, status_of(opened))
        return
    run(
        spec,
        folder_of_studies(opened),
        as_json,
        opened=opened,
        repeat=lambda search: repetition.plan(search, asked, num_seeds, varies),
        opening=opening,
        closing=closing,
        **options,
    )


def _print_sources(study: OpenedStudy, facts: dict[str, Any], as_json: bool) -> None:
    """The standard deviation over seeds by what they vary."""
    from sweeper.analysis.sources import sources_of_variance
    from sweeper.cli._shared import table

    data = results_of(study)
    found = sources_of_variance(data)
    if as_json:
        print_json({**facts, "sources": found.to_dict("records")})
        return
    title = f"standard deviation of {data.objective} by what varies, with 95 % intervals"
    table(title, list(found.columns), found.astype(object).to_numpy().tolist())


def _print_closing(study: OpenedStudy, facts: dict[str, Any], figures: Place, as_json: bool) -> None:
    from sweeper.analysis.seeds import paired_differences, seeds_table
    from sweeper.cli._shared import table
    from sweeper.plots.seed_strip import seed_strip

    data = results_of(study)
    seeds, pairs = seeds_table(data), paired_differences(data)
    files: list[Place] = []
    if seeds["n"].any():
        files = save_figure(seed_strip(data, stage="ablation"), figures, "seed_strip")
    else:
        click.echo("no repetition was completed, so there is nothing to draw; sweeper export has the reasons.", err=True)
    if as_json:
        print_json(
            {
                **facts,
                "seeds": seeds.to_dict("records"),
                "differences": pairs.to_dict("records"),
                "files": [str(file) for file in files],
            }
        )
        return
    column = data.objective
    table(f"{column} over seeds, 95 % intervals of the mean", list(seeds.columns), seeds.astype(object).to_numpy().tolist())
    if len(pairs):
        columns = ["first", "second", "n", "difference", "low", "high", "p", "p_holm"]
        table("paired differences", columns, pairs[columns].astype(object).to_numpy().tolist())
    for gain in facts["gains"]:
        click.echo(gain)
    for file in files:
        click.echo(file)
