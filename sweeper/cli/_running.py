"""What commands share that run a study: their options, the run itself, what is printed at its end."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._shared import (
    cache_option,
    print_json,
    results_of,
)
from sweeper.cli.log import log_option
from sweeper.cli.status import print_further
from sweeper.service.extending import hand_over
from sweeper.service.facts import status_of
from sweeper.service.log import NO_LOG, Log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sweeper.driver.launch import Outcome
    from sweeper.driver.opened import OpenedStudy
    from sweeper.search.details import Repetition
    from sweeper.search.study import Search
    from sweeper.storage import Place
    from sweeper.study.spec import ConfirmSpec, StudySpec


class _Amount(click.FloatRange):
    """A finite number in a range; click lets NaN into every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


cluster_options = (
    click.option("--cluster", default="local", show_default=True, help="Where to run: see `sweeper list cluster`, or a file."),
    click.option("--max-concurrent", type=click.IntRange(min=1), help="Most trials at once; default: as many as fit."),
    click.option("--num-cpus", type=click.IntRange(min=1), help="local: CPUs to use on this machine; default: all."),
    click.option("--num-gpus", type=_Amount(min=0), help="local: GPUs to use on this machine; default: all."),
    click.option(
        "--address", help="attach: HOST:PORT of the running cluster's head; default: RAY_ADDRESS, or the one on this machine."
    ),
    click.option(
        "--keep-checkpoints",
        "keep_best",
        type=click.IntRange(min=0),
        default=3,
        show_default=True,
        help="Completed trials of each arm that keep their last checkpoint.",
    ),
    click.option(
        "--checkpoint-minutes",
        type=_Amount(min=0),
        default=0.0,
        help="Least time between two checkpoints of a trial; default: one after every epoch.",
    ),
    click.option(
        "--seeds-together",
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        help="With JAX: most repetitions of one trial that a worker trains as one program.",
    ),
    cache_option,
    click.option(
        "--nice",
        type=click.IntRange(0, 19),
        help="local: niceness of the workers; 0 lets them compete with all else.  [default: Ray's, 15]",
    ),
    click.option("--quiet", is_flag=True, help="Nothing but the closing table."),
    log_option,
)


def with_cluster_options(command: Any) -> Any:
    """The options that say where and how a study runs."""
    for option in reversed(cluster_options):
        command = option(command)
    return command


def kind_and_options(cluster: str, flags: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The kind of cluster to run on, and its options: those of its file, where one is named, and flags over them.

    Args:
        cluster: Name of the kind, or a file.
        flags: Options of kinds from the command line, None where not given.

    Raises:
        InputError: The kind takes whole studies, or not these options.
    """
    from sweeper.errors import InputError
    from sweeper.service.clusters import named

    where = named(cluster)
    if where.submits:
        raise InputError(
            f"--cluster {cluster}: a whole study is submitted to {where.kind}, and nothing else runs there. Write what the study "
            f"is to do in its file, such as confirm: {{seeds: 5}}, then: sweeper launch STUDY.yaml --cluster {cluster}"
        )
    given = {name: value for name, value in flags.items() if value is not None}
    check_kind_options(where.kind, given)
    return where.kind, {**where.options, **given}


def check_kind_options(cluster: str, given: Iterable[str]) -> None:
    """Check that a kind of cluster takes the options given: those its function has as arguments.

    Args:
        cluster: Name of the kind.
        given: Names of the arguments, for example ``num_cpus``.

    Raises:
        UnknownNameError: No such kind.
        InputError: It does not take one of them; all of those are named.
    """
    from sweeper import catalog
    from sweeper.errors import InputError

    taken = catalog.parameters("cluster", cluster)
    wrong = [name for name in given if name not in taken]
    if not wrong:
        return
    named = ", ".join(_flag(name) for name in wrong)
    kinds = [kind for kind in catalog.names("cluster") if not catalog.submits(kind)]
    others = [kind for kind in kinds if set(wrong) & set(catalog.parameters("cluster", kind))]
    raise InputError(
        f"{named} cannot be used with --cluster {cluster} ({catalog.summary('cluster', cluster)}), which takes: "
        f"{', '.join(map(_flag, taken)) or 'none'}. Leave it out, or choose --cluster {' or '.join(others)}."
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def run(
    study: StudySpec,
    results_folder: Place,
    as_json: bool,
    *,
    cluster: str,
    max_concurrent: int | None,
    keep_best: int,
    checkpoint_minutes: float,
    seeds_together: int,
    quiet: bool,
    log: Log = NO_LOG,
    opened: OpenedStudy | None,
    confirms: ConfirmSpec | None = None,
    repeat_decayed: bool = False,
    repeat: Callable[[Search], Sequence[Repetition]] = lambda search: (),
    opening: str = "",
    closing: Callable[[OpenedStudy, dict[str, Any]], None] | None = None,
    **kind_options: Any,
) -> None:
    """Run a study, print what came out and end the process with 130 if a signal ended it.

    Args:
        study: The study.
        results_folder: Folder of all studies.
        as_json: Print the facts instead of sentences.
        cluster: Kind of cluster.
        max_concurrent: Most trials at once; None for as many as fit.
        keep_best: As for `sweeper.driver.launch`.
        checkpoint_minutes: Least time between two checkpoints of a trial.
        seeds_together: As for `sweeper.driver.launch`.
        quiet: Nothing but the closing table, and why the study was interrupted.
        log: Gets a line for everything that happens.
        opened: The study as it is stored; None where it is not.
        confirms: What the caller confirms once this has ended; the time left that is shown includes it.
        repeat_decayed: As `repeats_decayed` of `sweeper.driver.launch`.
        repeat: As for `sweeper.driver.launch`.
        opening: What to say before anything begins, once the options are found to be right.
        closing: Prints what came out, given the study as it is stored now and the facts; None for a table of arms.
        **kind_options: Options of the kind of cluster, None where not given.
    """
    from sweeper.driver.extending import opening_of
    from sweeper.driver.launch import launch as drive
    from sweeper.driver.opened import open_study
    from sweeper.service.progress import progress

    cluster, given = kind_and_options(cluster, kind_options)
    opening = opening or ("" if opened is None else opening_of(opened, study, repeat_decayed))
    log.write(f"study '{study.name}' in {results_folder}")

    def say(line: str) -> None:
        log.write(line)
        if not quiet:
            click.echo(line, err=True)

    if opening:
        say(opening)
    if opened is not None and opening and not closing and hand_over(opened, study, repeat_decayed, say):
        if as_json:
            print_json(status_of(open_study(opened.files)))
        return
    started = time.monotonic()
    events = [] if opened is None else opened.events
    with log.errors(), progress(study.name, quiet, events=events, confirm=confirms, log=log) as watch:
        outcome = drive(
            study,
            results_folder,
            cluster=cluster,
            max_concurrent=max_concurrent,
            watch=watch,
            tell=lambda note: say(f"note: {note}"),
            repeat=repeat,
            repeats_decayed=repeat_decayed,
            keep_best=keep_best,
            checkpoint_every_s=60 * checkpoint_minutes,
            seeds_together=seeds_together,
            opened=opened,
            **given,
        )
    facts = status_of(outcome.study)
    facts["seconds"] = round(time.monotonic() - started, 1)
    where = "" if cluster == "local" else f" --cluster {cluster}"
    ending = _ending(outcome, facts, where)
    log.write(ending)
    if closing is not None and not outcome.is_interrupted:
        closing(outcome.study, facts)
    elif as_json:
        print_json(facts)
    else:
        if outcome.is_interrupted or not quiet:
            click.echo(ending)
        _print_closing(outcome.study, facts, quiet)
    if outcome.is_interrupted:
        sys.exit(130)


def _ending(outcome: Outcome, facts: dict[str, Any], where: str) -> str:
    """How a run ended, in a sentence."""
    from sweeper.cli._shared import counted

    counts = ", ".join(f"{count} {status}" for status, count in facts["trials"].items() if count)
    spent = f"{counted(facts['epochs'], 'epoch')} in {outcome.folder}"
    if outcome.was_finished:
        return f"study '{facts['study']}' is finished already: {counts}; {spent}"
    if outcome.is_interrupted:
        return f"interrupted, everything is saved: {counts}. Go on with: sweeper resume {outcome.folder}{where}"
    return f"study '{facts['study']}' finished in {facts['seconds']:.0f} s: {counts}; {spent}"


def _print_closing(study: OpenedStudy, facts: dict[str, Any], quiet: bool) -> None:
    from sweeper.analysis.summary import arms_table
    from sweeper.cli._shared import table

    if not quiet:
        print_further(facts)
    if facts["epochs"]:
        frame = arms_table(results_of(study))
        table("", list(frame.columns), frame.astype(object).to_numpy().tolist())
