"""The command ``retrain``: does a recorded trial come out the same again?"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._shared import cache_option, json_option, open_named, print_json, results_option, study_argument

if TYPE_CHECKING:
    from sweeper.datasets import Dataset
    from sweeper.driver.retrain import Comparison, Epoch, Recorded
    from sweeper.storage import Place
    from sweeper.study.spec import StudySpec
    from sweeper.training.trial import Worker
    from sweeper.training.weights.pretrained import Pretrained


@click.command(short_help="Train a recorded trial again and compare every epoch.")
@study_argument
@click.argument("trial")
@click.option("--epochs", "most_epochs", type=click.IntRange(min=1), help="Train at most so many; default: all recorded.")
@click.option("--keep", is_flag=True, help="Keep the weights in the study's folder if all is identical, for sweeper model.")
@results_option
@cache_option
@json_option
def retrain(study: str, trial: str, most_epochs: int | None, keep: bool, results_folder: Place, as_json: bool) -> None:
    """Train TRIAL of STUDY again, from its row alone, in this process, and compare every epoch with what was recorded.

    Exit code 0 when every epoch is identical bit for bit, 1 when one differs or the trial fails. A trial from before epochs were
    whole programs, or one that was trained together with other seeds, comes out close but not identical: this is said, and is no
    fault. Nothing in the study's folder is written, except with --keep: then kept/TRIAL.
    """
    from sweeper.driver import own
    from sweeper.driver import retrain as work

    opened = open_named(results_folder, study)
    own.check_known(opened)
    spec = opened.first  # an extension changes neither the data nor how a trial is trained
    record = work.recorded(opened.events, trial)
    objective = spec.goals[0][1]
    if keep and most_epochs is not None:
        raise click.UsageError("--keep needs all epochs: leave out --epochs.")

    def watch(epoch: Epoch) -> None:
        values = f"{objective} recorded {epoch.recorded[objective]!r}, now {epoch.now[objective]!r}"
        click.echo(f"epoch {epoch.epoch}: {values}: {_verdict(epoch)}", err=True)

    with _worker(spec, record) as (worker, constants):
        comparison = work.retrain(record, worker, most_epochs=most_epochs, watch=watch)
        is_kept = keep and comparison.is_identical and work.keep(record, worker, opened.folder / work.KEPT)
        here = {"device": worker.device, "worker": f"{socket.gethostname()}:", "versions": worker.versions, **constants}
    # The same for both; printed because it decides whether bits can be compared.
    asked = {
        "precision": spec.training.precision,
        "deterministic": str(spec.training.deterministic).lower(),
        "cpus_per_trial": str(spec.resources_of(record.assignment.arm).cpus_per_trial),
    }
    then, now = asked | record.circumstances, asked | work.circumstances([here])
    if as_json:
        print_json({**_facts(spec.name, trial, comparison, then, now), "kept": is_kept})
    else:
        _print(record, comparison, objective, then, now)
        if keep:
            click.echo(_on_keeping(opened.folder / work.KEPT / trial, is_kept=is_kept))
    is_expected = bool(record.trained_otherwise) and comparison.failure == comparison.expected_failure
    if not (comparison.is_identical or is_expected):
        sys.exit(1)


@contextlib.contextmanager
def _worker(spec: StudySpec, record: Recorded) -> Iterator[tuple[Worker, dict[str, str | None]]]:
    """A worker as one of Ray's, in this process, and the columns that are the same in all its rows.

    What it writes is in a temporary folder, gone with the block.
    """
    from sweeper.cli._networks import check_backend, quiet
    from sweeper.driver import provenance, weights
    from sweeper.driver.inputs import load_dataset
    from sweeper.errors import SweeperError
    from sweeper.storage import place
    from sweeper.training.devices import environment

    check_backend(spec.training.backend)
    with tempfile.TemporaryDirectory(prefix="sweeper-retrain-") as folder:
        variables = environment(spec.training, spec.resources_of(record.assignment.arm), os.path.join(folder, "keras"))
        # Only once data and weights are loaded: what Keras downloaded before lies in the user's own home of Keras.
        keras_home = variables.pop("KERAS_HOME")
        os.environ.update(variables)
        dataset = load_dataset(spec)
        constants = provenance.constants_of(spec, dataset)
        _warn_of_other_data(record, constants)
        _warn_of_other_code(record)
        begun = record.assignment
        pretrained = weights.weights_of(begun.architecture, begun.configuration, begun.arm, dataset, spec.training)
        _warn_of_other_weights(record, pretrained)
        os.environ["KERAS_HOME"] = keras_home
        try:
            with quiet():
                worker = _made(spec, begun.arm, dataset, place(folder) / "checkpoints", pretrained)
        except Exception as error:
            raise SweeperError(f"the framework cannot be set up here as the study asks: {error}") from error
        yield worker, constants


def _made(spec: StudySpec, arm: str, dataset: Dataset, checkpoints: Place, pretrained: dict[str, Pretrained]) -> Worker:
    from sweeper.training.trial import Worker

    return Worker(
        train=dataset.train,
        validation=dataset.validation,
        num_classes=dataset.num_classes,
        training=spec.training,
        resources=spec.resources_of(arm),
        checkpoints=checkpoints,
        checkpoint_every_s=math.inf,  # no trial goes on from them
        pretrained=pretrained,
        limits=spec.limits,
        is_carved=dataset.can_be_carved,
    )


def _warn_of_other_data(record: Recorded, constants: dict[str, str | None]) -> None:
    from sweeper.driver.retrain import circumstances, differing

    then = {name: value for name, value in record.circumstances.items() if name.startswith("dataset ")}
    if then:
        for line in differing(then, circumstances([{"dataset": constants["dataset"]}])):
            click.echo(f"the data have changed, so the trial will not come out the same: {line}", err=True)


def _warn_of_other_code(record: Recorded) -> None:
    from sweeper import catalog

    now = catalog.versions()
    files = [name for name in {**record.circumstances, **now} if name.startswith(catalog.OWN)]
    changed = [name.removeprefix(catalog.OWN) for name in files if record.circumstances.get(name) != now.get(name)]
    if changed:
        click.echo(f"own code has changed, so the trial may not come out the same: {', '.join(sorted(changed))}", err=True)


def _warn_of_other_weights(record: Recorded, pretrained: dict[str, Pretrained]) -> None:
    then, now = record.circumstances.get("weights"), {weights.label for weights in pretrained.values()}
    if then is not None and now and {then} != now:
        text = f"the weights it began with have changed, so the trial will not come out the same: recorded {then}, now "
        click.echo(text + ", ".join(now), err=True)


def _on_keeping(folder: Place, *, is_kept: bool) -> str:
    return f"its weights are in {folder}" if is_kept else "its weights are not kept: they are not those of the record"


def _verdict(epoch: Epoch) -> str:
    return f"differs in {', '.join(epoch.differing)}" if epoch.differing else "same"


def _facts(study: str, trial: str, comparison: Comparison, then: dict[str, str], now: dict[str, str]) -> dict[str, Any]:
    first = comparison.first_difference
    return {
        "study": study,
        "trial": trial,
        "epochs": len(comparison.epochs),
        "identical": comparison.is_identical,
        "first_difference": None if first is None else {"epoch": first.epoch, "columns": first.differing},
        "largest_difference": comparison.largest_difference,
        "failure": {
            "recorded": None if comparison.expected_failure is None else str(comparison.expected_failure),
            "now": None if comparison.failure is None else str(comparison.failure),
        },
        "rows": [
            {
                "epoch": epoch.epoch,
                "attempt": epoch.attempt,
                "identical": not epoch.differing,
                "recorded": epoch.recorded,
                "now": epoch.now,
            }
            for epoch in comparison.epochs
        ],
        "circumstances": {"recorded": then, "now": now},
    }


def _print(record: Recorded, comparison: Comparison, objective: str, then: dict[str, str], now: dict[str, str]) -> None:
    from sweeper.cli._shared import counted, table
    from sweeper.driver.retrain import differing

    columns = ["epoch", "attempt", f"{objective} recorded", f"{objective} now", "all metrics"]
    rows: list[list[object]] = [
        [epoch.epoch, epoch.attempt, repr(epoch.recorded[objective]), repr(epoch.now[objective]), _verdict(epoch)]
        for epoch in comparison.epochs
    ]
    if rows:
        table(record.assignment.trial, columns, rows)
    first = comparison.first_difference
    if first is not None:
        differences = ", ".join(f"{name} {value:.3g}" for name, value in comparison.largest_difference.items())
        click.echo(f"largest differences: {differences}")
    if first is not None or comparison.failure != comparison.expected_failure:
        lines = differing(then, now)
        if record.trained_otherwise:
            click.echo(f"it was trained {record.trained_otherwise}: close numbers are all one can expect")
        click.echo("what is not as it was:" if lines else "nothing that is recorded of the circumstances has changed")
        for line in lines:
            click.echo(f"  {line}")
        if then["deterministic"] == "false":
            click.echo("the study does not ask for determinism (training.deterministic), without which bits may differ")
    count = counted(len(comparison.epochs), "epoch")
    same = f"{len(comparison.epochs)} of {count} {'is' if len(comparison.epochs) == 1 else 'are'} identical bit for bit"
    parts = [f"epoch {first.epoch} is the first that differs, of {count}"] if first is not None else [same] if rows else []
    click.echo("; ".join(parts + _on_failure(comparison)))


def _on_failure(comparison: Comparison) -> list[str]:
    """What is to be said of failures, in a few words."""
    then, now = comparison.expected_failure, comparison.failure
    if now is None:
        return [] if then is None else [f"recorded to fail then ({then}), but now it does not fail"]
    number = len(comparison.epochs) + 1
    if then is None:
        return [f"now it fails in epoch {number} ({now})"]
    return [f"it fails in epoch {number} as recorded ({now})" if now == then else f"recorded to fail ({then}), now ({now})"]
