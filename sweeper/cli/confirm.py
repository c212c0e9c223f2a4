"""Commands that make a study's result sure: ``confirm`` and ``measure``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._running import run, with_cluster_options
from sweeper.cli._shared import counted, json_option, open_named, print_json, results_of, results_option, study_argument
from sweeper.service.facts import status_of
from sweeper.service.repeating import announcement, confirmations, slots_of, timed
from sweeper.service.stored import folder_of_studies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sweeper.analysis.results import Results
    from sweeper.driver.opened import OpenedStudy
    from sweeper.search.details import Repetition
    from sweeper.service.log import Log
    from sweeper.storage import Place
    from sweeper.study.spec import ConfirmSpec


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
    plan = confirmations(opened, asked)
    planned = plan(opened.search)
    data = results_of(opened)
    slots = slots_of(opened.first.shapes, **options)
    opening = announcement(data, planned, num_known=len(opened.search.planned), slots=slots) + _disk(data, planned)

    def closing(now: OpenedStudy, facts: dict[str, Any]) -> None:
        _close(timed(now, _teller(options["quiet"], options["log"])), as_json, options["log"])

    if not planned and opened.search.is_finished:
        if not options["quiet"]:
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
    from sweeper.driver.retention import BYTES_KEPT

    parameters = data.trials.set_index("trial")["parameters"]
    total = sum(float(parameters[one.parent]) for one in planned) * BYTES_KEPT
    return f", at most {total / 1e6:,.0f} MB of weights on disk" if total == total and total else ""


def _teller(quiet: bool, log: Log) -> Callable[[str], None]:
    """Says a line on stderr, unless that is to be quiet, and in the log."""

    def say(line: str) -> None:
        log.write(line)
        if not quiet:
            click.echo(line, err=True)

    return say


def _close(study: OpenedStudy, as_json: bool, log: Log) -> None:
    from sweeper.analysis.verdicts import confirmed, headline_column, verdicts, words
    from sweeper.cli._shared import table

    data = results_of(study)
    column, found, pairs = headline_column(data), confirmed(data), verdicts(data)
    names = {parent: arm for parent, arm in zip(found["parent"], found["arm"], strict=True) if (found["arm"] == arm).sum() == 1}
    told = [words(pair, column=column, names=names) for pair in pairs.to_dict("records")]
    if data.looks > 1:
        told.append(
            f"seeds were added after a look: the arms were judged {data.looks} times, so a false 'better' is more frequent than "
            "5 % (9 % with a second look)"
        )
    log.write("\n".join(told))
    if as_json:
        facts = {"column": column, "confirmed": found.to_dict("records"), "pairs": pairs.to_dict("records")}
        print_json({**status_of(study), **facts})
        return
    shown = [name for name in found.columns if name != "configuration"]
    table(f"{column} over fresh seeds, 95 % intervals of the mean", shown, found[shown].astype(object).to_numpy().tolist())
    for line in told:
        click.echo(line)
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
