"""The command ``status``: where a study stands."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._shared import (
    find_study,
    json_option,
    print_json,
    results_option,
    study_argument,
    study_to_come,
)
from sweeper.service.facts import driver_of, status_of
from sweeper.service.words import dashboard_words

if TYPE_CHECKING:
    from sweeper.driver.opened import OpenedStudy
    from sweeper.storage import Place


@click.command(short_help="Where a study stands, also while it runs.")
@study_argument
@results_option
@click.option("--watch", is_flag=True, help="Look again every two seconds until the study ends; wait for one that is to come.")
@click.option("--line", "is_line", is_flag=True, help="One line: trials done, the best, the time left; for `watch -n 5`.")
@json_option
def status(study: str, results_folder: Place, watch: bool, is_line: bool, as_json: bool) -> None:
    """Where STUDY stands: trials by status, arms, epochs so far, the best trial, gains over defaults; also while it runs."""
    is_told, look = False, _Look(results_folder, study, may_come=watch)
    while True:
        facts = look()
        if facts is None:
            if not is_told:
                click.echo(f"there is no study '{study}' in {results_folder} yet; waiting for it", err=True)
            is_told = True
        elif as_json:
            print_json(facts)
        elif "trials" in facts and not is_line:
            _print_status(facts)
        elif "trials" in facts:
            click.echo(_line(facts))
        else:
            click.echo(f"study '{facts['study']}': {_state(facts)}")
        if not watch or (facts is not None and not facts["is_running"]):
            return
        time.sleep(2)


class _Look:
    """Looks at a study, once or again and again; what was read of it is not read again."""

    def __init__(self, results_folder: Place, study: str, *, may_come: bool):
        self._results_folder, self._study, self._may_come = results_folder, study, may_come
        self._opened: OpenedStudy | None = None

    def __call__(self) -> dict[str, Any] | None:
        """Where the study stands now. Of one that does not exist yet, what its driver does; None while there is no driver either.

        Raises:
            InputError: There is no such study, and none may come.
        """
        from sweeper.driver.opened import looked_again, open_study

        if self._opened is not None:
            self._opened = looked_again(self._opened)
            return status_of(self._opened)
        coming = study_to_come(self._results_folder, self._study)
        owner = None if coming is None else coming.owner
        if coming is None or (owner is None and not self._may_come):
            self._opened = open_study(find_study(self._results_folder, self._study))
            return status_of(self._opened)
        if owner is None:
            return None
        facts = {"study": coming.folder.name, "folder": str(coming.folder), "is_running": True, "is_finished": False}
        return facts | driver_of(owner)


def _line(facts: dict[str, Any]) -> str:
    """Where a study stands, in a line."""
    counts, best = facts["trials"], facts["best"]
    ended = sum(counts[status] for status in ("completed", "stopped", "failed"))
    column = facts["objective"].split()[1]
    told = [f"{facts['study']}: {ended}/{sum(counts.values()) - counts['infeasible']} trials"]
    if sum(confirming := facts["confirmations"].values()):
        told.append(f"{facts['confirmations']['completed']}/{sum(confirming)} confirmed")
    told.append(f"best {best['trial']} {column} {best[column]:.4f}" if best else "none completed yet")
    return ", ".join([*told, _state(facts)])


def _print_status(facts: dict[str, Any]) -> None:
    from sweeper.cli._shared import counted, table
    from sweeper.ledger.records import Status

    click.echo(f"study '{facts['study']}' ({facts['study_id']}): {_state(facts)}; {counted(facts['epochs'], 'epoch')}")
    if facts["driver"] and facts["driver"]["dashboard"]:
        click.echo(dashboard_words(**facts["driver"]["dashboard"]))
    columns = [status for status, count in facts["trials"].items() if count or status != Status.PAUSED]
    rows = [[arm, *(counts[column] for column in [*columns, "best"])] for arm, counts in facts["arms"].items()]
    rows.append(["all", *(facts["trials"][status] for status in columns), None])
    table("", ["arm", *columns, f"best ({facts['objective']})"], rows)
    if facts["best"]:
        best = facts["best"]
        value = best[facts["objective"].split()[1]]
        size = "" if best["parameters"] is None else f", {best['parameters']:,} parameters"
        click.echo(f"best so far: {best['trial']} with {value:.4f} at epoch {best['epoch']}{size}")
    print_further(facts)


def _state(facts: dict[str, Any]) -> str:
    """What happens to a study now."""
    if not facts["is_running"]:
        return "finished" if facts["is_finished"] else "not running; sweeper resume goes on"
    driver = facts["driver"]
    if driver["is_ready"]:
        from sweeper.search.forecast import Left
        from sweeper.service.progress import left_words

        left = facts.get("left")
        return f"running, {left_words(Left(**left))}" if left else "running"
    return f"reading the data, then starting Ray, since {driver['since']} (process {driver['pid']} on {driver['host']})"


def print_further(facts: dict[str, Any]) -> None:
    """What follows the table of a study's arms: what was not trained, how far the best values can be trusted, time, disk used."""
    from sweeper.analysis.summary import sampling_error
    from sweeper.cli._shared import counted
    from sweeper.search.lessons import words

    for sentence in facts["waiting"]:
        click.echo(sentence)
    for source in facts["learned"]:
        click.echo(words(source))
    for why in facts["ended_early"]:
        click.echo(why)
    for arm, why in facts["refusals"].items():
        click.echo(f"{counted(facts['arms'][arm]['infeasible'], 'draw')} of arm '{arm}' refused, the last one: {why}")
    num_images = facts["validation_images"]
    if num_images and "val_accuracy" in facts["best"]:
        points = 100 * sampling_error(facts["best"]["val_accuracy"], num_images)
        click.echo(
            f"{facts['best']['trial']} was validated on {num_images:,} images, which leaves its accuracy uncertain by about "
            f"{points:.1f} points (95 %)"
        )
    for gain in facts["gains"]:
        click.echo(gain)
    if facts["best"] and facts["is_finished"] and not any([*facts["repetitions"].values(), *facts["confirmations"].values()]):
        click.echo(f"other seeds tell what chance does besides: sweeper confirm {facts['study']}")
    _print_time(facts["time"])
    kept = facts["checkpoints"]
    if kept["files"]:
        click.echo(f"checkpoints of {counted(kept['trials'], 'trial')}: {kept['bytes'] / 1e6:,.1f} MB on disk")
    for kind, title, command in (("repetitions", "repetitions", "ablate"), ("confirmations", "confirmation", "confirm")):
        counts = ", ".join(f"{count} {status}" for status, count in facts[kind].items() if count)
        if counts:
            click.echo(f"{title} with other seeds: {counts}; sweeper {command} shows them")


def _print_time(time: dict[str, Any]) -> None:
    """Where the time of the sweep went, in a line and a table."""
    from sweeper.cli._shared import counted, table

    if not any(row["total_s"] for row in time["arms"]):
        return
    workers = f" with {counted(time['workers'], 'worker')}" if time["workers"] else ""
    share = time["utilisation"]
    training = "" if share != share else f"; {share:.0%} of the workers' time was training"
    click.echo(f"time: {time['wall_s']:,.0f} s{workers}, {time['ray_s']:.0f} s of them the start of Ray{training}")
    columns = {name.removesuffix("_s"): name for name in time["arms"][0] if name.endswith("_s")}
    columns["validate"] = columns.pop("evaluate")
    shown = ["import", "build", "train", "validate", "checkpoint", "wait", "total"]
    rows = [[row["arm"], row["epochs"], *(f"{row[columns[name]]:,.1f}" for name in shown)] for row in time["arms"]]
    table("seconds of workers", ["arm", "epochs", *shown], rows)
