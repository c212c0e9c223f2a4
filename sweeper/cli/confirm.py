"""Commands that make a study's result sure: ``confirm`` and ``measure``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._repeating import announcement, check_at_rest, slots_of
from sweeper.cli._running import folder_of_studies, run, with_cluster_options
from sweeper.cli._shared import counted, json_option, open_named, print_json, results_of, results_option, study_argument
from sweeper.cli.status import status_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sweeper.analysis.results import Results
    from sweeper.driver.opened import OpenedStudy
    from sweeper.search.details import Repetition
    from sweeper.search.study import Search
    from sweeper.storage import Place
    from sweeper.study.spec import ConfirmSpec

BYTES_KEPT = 12
"""Of a parameter in a checkpoint: itself, and two more of the optimizer."""


@click.command(short_help="Train the best of each arm on fresh seeds, and test them.")
@study_argument
@click.option("--per-arm", type=click.IntRange(1, 100), help="Best configurations of each arm.  [default: the study's, or 1]")
@click.option("--seeds", "num_seeds", type=click.IntRange(1, 1000), help="Seeds for each.  [default: the study's, or 5]")
@click.option(
    "--racing/--equal",
    "is_racing",
    default=None,
    help="After two seeds, leave out what cannot win any more.  [default: the study's, or equal]",
)
@results_option
@with_cluster_options
@json_option
def confirm(
    study: str,
    per_arm: int | None,
    num_seeds: int | None,
    is_racing: bool | None,
    results_folder: Place,
    as_json: bool,
    **options: Any,
) -> None:
    """Train the best configurations of each arm of STUDY again, on fresh seeds that are the same for every arm.

    The search of the study must have ended. Each training carves its validation images anew, where they were carved from train,
    predicts the test split once, at its end, and keeps its weights. Then the networks are timed, alone on the machine. These runs
    alone say how good an arm is: the best trial of a search was chosen for its score. Called again, it goes on where it was left.
    """
    from sweeper.study.spec import ConfirmSpec

    opened = open_named(results_folder, study)
    asked = opened.first.confirm or ConfirmSpec()
    given = {
        "per_arm": per_arm,
        "seeds": num_seeds,
        "allocation": None if is_racing is None else "racing" if is_racing else "equal",
    }
    asked = asked.model_copy(update={name: value for name, value in given.items() if value is not None})
    confirm_study(opened, asked, as_json, **options)


def confirm_study(opened: OpenedStudy, asked: ConfirmSpec, as_json: bool, **options: Any) -> None:
    """Confirm a stored study and print what came out; ends the process with 130 if a signal ended it."""
    from sweeper.search import confirmation

    def plan(search: Search) -> list[Repetition]:
        return confirmation.plan(search, per_arm=asked.per_arm, num_seeds=asked.seeds, is_racing=asked.allocation == "racing")

    check_at_rest(opened)
    planned = plan(opened.search)
    if not any(confirmation.best(opened.search, arm) for arm in opened.spec.arms):
        from sweeper.errors import InputError

        raise InputError(f"no arm of study '{opened.first.name}' has a completed trial, so there is nothing to confirm.")
    data = results_of(opened)
    slots = slots_of(opened.first.resources, **options)
    opening = announcement(data, planned, num_known=len(opened.search.planned), slots=slots) + _disk(data, planned)

    def closing(now: OpenedStudy, facts: dict[str, Any]) -> None:
        _close(_timed(now, quiet=options["quiet"]), as_json)

    if not planned and opened.search.is_finished:
        click.echo(opening, err=True)
        closing(opened, {})
        return
    run(
        opened.first,
        folder_of_studies(opened),
        as_json,
        opened=opened,
        repeat=plan,
        opening=opening,
        closing=closing,
        **options,
    )


def _disk(data: Results, planned: Sequence[Repetition]) -> str:
    """What the weights of these trials take on the disk, as the end of a sentence; empty where that is not known."""
    parameters = data.trials.set_index("trial")["parameters"]
    total = sum(float(parameters[one.parent]) for one in planned) * BYTES_KEPT
    return f", at most {total / 1e6:,.0f} MB of weights on disk" if total == total and total else ""


def _timed(study: OpenedStudy, *, quiet: bool) -> OpenedStudy:
    """The study with the networks of its confirm stage timed."""
    from sweeper.driver import timing
    from sweeper.ledger.records import Stage

    networks = timing.to_time(study, [Stage.CONFIRM])
    if not networks:
        return study
    if not quiet:
        click.echo(f"timing {counted(len(networks), 'network')}, alone on this machine", err=True)
    return timing.time_networks(study, networks, tell=lambda line: None if quiet else click.echo(f"  {line}", err=True))


def _close(study: OpenedStudy, as_json: bool) -> None:
    from sweeper.analysis.verdicts import confirmed, headline_column, verdicts, words
    from sweeper.cli._shared import table

    data = results_of(study)
    column, found, pairs = headline_column(data), confirmed(data), verdicts(data)
    if as_json:
        facts = {"column": column, "confirmed": found.to_dict("records"), "pairs": pairs.to_dict("records")}
        print_json({**status_of(study), **facts})
        return
    shown = [name for name in found.columns if name != "configuration"]
    table(f"{column} over fresh seeds, 95 % intervals of the mean", shown, found[shown].astype(object).to_numpy().tolist())
    names = {parent: arm for parent, arm in zip(found["parent"], found["arm"], strict=True) if (found["arm"] == arm).sum() == 1}
    for pair in pairs.to_dict("records"):
        click.echo(words(pair, column=column, names=names))
    if data.looks > 1:
        click.echo(
            f"seeds were added after a look: the arms were judged {data.looks} times, so a false 'better' is more frequent than "
            "5 % (9 % with a second look)"
        )
    _warn(data)
    if data.baseline is not None and data.baseline in set(found["arm"]):
        from sweeper.analysis.effects import effects

        rows = effects(data)
        title = f"what each change does to {data.baseline}, in {column}"
        table(title, list(rows.columns), rows.astype(object).to_numpy().tolist())


def _warn(data: Results) -> None:
    """Say what makes latencies unsure, and how to measure them again."""
    from sweeper.analysis.latency import warning

    if unsure := warning(data):
        click.echo(f"{unsure} Let nothing else run, then: sweeper measure {data.named} --anew", err=True)


@click.command(short_help="Time the networks of completed trials, alone on the machine.")
@study_argument
@click.option("--anew", is_flag=True, help="Also those that were timed before.")
@click.option("--runs", type=click.IntRange(10, 100_000), default=50, show_default=True, help="Timed forward passes of each.")
@results_option
@json_option
def measure(study: str, anew: bool, runs: int, results_folder: Place, as_json: bool) -> None:
    """Fill the latency of all completed trials of STUDY: of one image (latency_ms) and of 32 (latency_ms_batch32).

    Latency depends on the network alone, so no weights are needed. Let nothing else run on the machine meanwhile.
    """
    from sweeper.driver import timing
    from sweeper.ledger.records import Stage

    opened = open_named(results_folder, study)
    networks = timing.to_time(opened, list(Stage), anew=anew)
    if networks:
        click.echo(f"timing {counted(len(networks), 'network')} of study '{opened.first.name}'", err=True)
        opened = timing.time_networks(opened, networks, runs=runs, tell=lambda line: click.echo(f"  {line}", err=True))
    results = results_of(opened)
    timed = results.trials[results.trials["latency_ms"].notna()]
    _warn(results)
    if as_json:
        columns = ["trial", "latency_ms", "latency_ms_iqr", "latency_ms_batch32", "latency_ms_batch32_iqr"]
        print_json({"study": opened.first.name, "timed_now": len(networks), "trials": timed[columns].to_dict("records")})
        return
    if not len(timed):
        click.echo(f"no trial of study '{opened.first.name}' is completed, so there is nothing to time.")
        return
    click.echo(
        f"{counted(len(timed), 'trial')} of study '{opened.first.name}' have their latency; draw it with: "
        f"sweeper pareto {opened.first.name} -x latency_ms"
    )
