"""A short piece of each arm's training on this machine, and what it says of the whole study: time, memory, disk.

Processes of their own train, as many at once as workers would, so that they get in each other's way as workers do. Each trains
the default configuration of an arm: a few batches an epoch, three epochs, of which the middle one counts. A study trains many
other configurations. So what is forecast is a range.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sweeper import catalog
from sweeper.driver import weights
from sweeper.driver.retention import BYTES_KEPT, KEEP_BEST
from sweeper.errors import InputError
from sweeper.ledger.records import Event, Kind
from sweeper.search import forecast
from sweeper.search.study import Search
from sweeper.storage import Where, place
from sweeper.study.spec import StudySpec

if TYPE_CHECKING:
    from sweeper.datasets import Dataset, Split

BATCHES = 8
"""Of an epoch of a piece."""

EPOCHS = 3

VALIDATED = 512
"""Images validated after each."""

NICENESS = 15
"""Of Ray's workers, and so of these processes."""

READY_S = 6.0
"""Start of Ray: 3 to 8 s on two cores."""

SPREAD = 1.7
"""How many times less or more a study took than its default configurations foretold: see docs/benchmarks.md."""

PROGRAM_MB = 10.0
"""Memory that a worker keeps for each network structure it compiled."""

DIFFER = 3.0
"""How many times larger or smaller than the default network the kept ones may be."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Piece:
    """What a short piece of an arm came to, as a whole epoch would.

    Args:
        arm: The arm.
        epoch_s: Seconds of an epoch on all images, validation and checkpoint included.
        start_s: Seconds before the first epoch, without loading a framework.
        import_s: Seconds of loading the framework; None where the process had it.
        memory_mb: Largest memory of the process so far.
        parameters: Trainable parameters.
    """

    arm: str
    epoch_s: float
    start_s: float
    import_s: float | None
    memory_mb: float
    parameters: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
    """What is expected, and between what it probably lies."""

    expected: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a study will take.

    Args:
        workers: Trials that run at once.
        seconds: From the start to the end, confirmation included.
        confirm_s: Expected seconds of the confirmation among them.
        epochs: Expected epochs of the search.
        most_epochs: Epochs of the search if nothing were stopped early.
        memory_mb: Largest memory of one worker.
        disk_mb: What stays on the disk.
    """

    workers: int
    seconds: Range
    confirm_s: float
    epochs: float
    most_epochs: int
    memory_mb: Range
    disk_mb: Range


def rehearse(study: StudySpec, dataset: Dataset, workers: int) -> list[Piece]:
    """Train a piece of every arm.

    Args:
        study: The study.
        dataset: Its data.
        workers: Processes at once.

    Raises:
        InputError: The default configuration of an arm cannot be trained; all of them at once.
    """
    import concurrent.futures
    import multiprocessing

    from sweeper.training import devices

    pretrained = weights.weights_for(study, [], dataset)[0] if weights.asking(study) else {}
    with tempfile.TemporaryDirectory(prefix="sweeper-rehearsal-") as folder:
        context = multiprocessing.get_context("spawn")
        found: dict[str, Any] = {}
        for shape in study.shapes:  # a process has one share of the machine
            arms = [arm for arm in study.arms if study.resources_of(arm) == shape]
            variables = devices.environment(study.training, shape, folder)
            with concurrent.futures.ProcessPoolExecutor(
                min(workers, len(arms)), mp_context=context, initializer=_begin, initargs=(variables,)
            ) as pool:
                tasks = {arm: task_of(study, arm, dataset, folder) | {"pretrained": pretrained} for arm in arms}
                futures = {arm: pool.submit(train, task) for arm, task in tasks.items()}
                for arm, future in futures.items():
                    try:
                        found[arm] = future.result()
                    except concurrent.futures.process.BrokenProcessPool:
                        found[arm] = "the process that trained it died, most likely out of memory"
    if faults := [f"  - arms.{arm}: {why}" for arm, why in found.items() if isinstance(why, str)]:
        raise InputError("\n".join([f"study '{study.name}': default configurations cannot be trained:", *faults]))
    return [piece_of(study, arm, dataset, found[arm]) for arm in study.arms]


def forecast_of(study: StudySpec, pieces: list[Piece], workers: int, dataset: Dataset) -> Forecast:
    """What the whole study takes, going by pieces of its arms.

    Args:
        study: The study.
        pieces: Of each arm.
        workers: Trials that will run at once.
        dataset: Its data.
    """
    search, pace = Search(study, {}), pace_of(pieces, workers)
    left = forecast.left(search, pace, now=0.0, confirm=study.confirm)
    assert left is not None
    seconds = READY_S + pace.enter_s + left.total_s
    extra_mb = sum(max(split.images.nbytes, 0) for split in (dataset.train, dataset.validation)) / 2**20
    memory_mb = max(piece.memory_mb for piece in pieces) + extra_mb
    programs_mb = PROGRAM_MB * study.budget.trials / workers
    disk_mb = sum(_kept(study, piece.arm, workers) * BYTES_KEPT * piece.parameters for piece in pieces) / 1e6
    rows_mb = 0.002 * (forecast.epochs_left(search) + study.budget.trials)
    return Forecast(
        workers=workers,
        seconds=Range(expected=seconds, low=seconds / SPREAD, high=seconds * SPREAD),
        confirm_s=left.confirm_s,
        epochs=forecast.epochs_left(search),
        most_epochs=study.budget.trials * study.budget.max_epochs,
        memory_mb=Range(expected=memory_mb, low=memory_mb - extra_mb, high=memory_mb * 1.25 + extra_mb + programs_mb),
        disk_mb=Range(expected=disk_mb + rows_mb, low=disk_mb / DIFFER + rows_mb, high=disk_mb * DIFFER + 2 * rows_mb),
    )


def pace_of(pieces: list[Piece], workers: int) -> forecast.Pace:
    """What rows of these epochs would have told."""
    pace = forecast.Pace(workers=workers, ready_s=READY_S)
    for piece in pieces:
        row = Event(kind=Kind.EPOCH, trial=f"{piece.arm}-00000", arm=piece.arm, epoch=1, train_s=piece.epoch_s)
        pace.follow(row.replace(build_s=piece.start_s, import_s=piece.import_s), 0.0)
    return pace


def _kept(study: StudySpec, arm: str, workers: int) -> float:
    """Checkpoints of an arm that stay, and its share of those that are at work."""
    confirm = study.confirm.per_arm * study.confirm.seeds if study.confirm else 0
    return min(study.trials_of(arm), KEEP_BEST) + confirm + workers / len(study.arms)


def task_of(study: StudySpec, arm: str, dataset: Dataset, folder: Where) -> dict[str, Any]:
    """What `train` gets for an arm: a part of the images, how they are trained on, and a folder for its checkpoints."""
    configuration = study.arms[arm].first(study.space_of(arm))[0]
    num_train = min(len(dataset.train), BATCHES * batch_size_of(configuration))
    return {
        "arm": arm,
        "architecture": study.arms[arm].architecture,
        "configuration": configuration,
        "seed": study.search.seed,
        "folder": place(folder) / arm,
        "train": _first(dataset.train, num_train),
        "validation": _first(dataset.validation, VALIDATED),
        "num_classes": dataset.num_classes,
        "training": study.training,
        "resources": study.resources_of(arm),
        "limits": study.limits,
        "code": catalog.current(),
    }


def batch_size_of(configuration: Mapping[str, Any]) -> int:
    """Images of a step."""
    return int(configuration.get("batch_size", 32))


def _first(split: Split, count: int) -> Split:
    rows = [number * len(split) // count for number in range(count)] if count < len(split) else [*range(len(split))]
    # Spread, so that every class is among them however they are sorted; a list of rows copies what may lie in a file.
    return dataclasses.replace(split, images=split.images[rows], labels=split.labels[rows])


def piece_of(study: StudySpec, arm: str, dataset: Dataset, rows: list[dict[str, Any]]) -> Piece:
    """What the rows of a piece mean for whole epochs."""
    batch_size = batch_size_of(study.arms[arm].first(study.space_of(arm))[0])
    steps = max(len(dataset.train) // batch_size, 1)
    few = max(min(len(dataset.train), BATCHES * batch_size) // batch_size, 1)
    train_s, evaluate_s = (sorted(row[name] for row in rows)[len(rows) // 2] for name in ("train_s", "evaluate_s"))
    checkpoint_s = sorted(row["checkpoint_s"] or 0.0 for row in rows)[len(rows) // 2]
    share = len(dataset.validation) / min(len(dataset.validation), VALIDATED)
    return Piece(
        arm=arm,
        epoch_s=train_s * steps / few + evaluate_s * share + checkpoint_s,
        start_s=rows[0]["build_s"],
        import_s=rows[0]["import_s"],
        memory_mb=max(row["peak_memory_mb"] for row in rows),
        parameters=rows[0]["parameters"],
    )


# ------------------------------------------------------------------------------------------------------- in another process

_is_new = True
"""Whether this process has trained nothing yet."""


def _begin(variables: dict[str, str]) -> None:
    """Prepare a process as Ray prepares a worker."""
    os.environ.update(variables)
    os.nice(NICENESS)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # TensorFlow has messages that no setting silences


def train(task: dict[str, Any]) -> list[dict[str, Any]] | str:
    """The rows of a piece, once it is known that its checkpoint can be gone on from; or why there are none."""
    with catalog.using(task.pop("code")):
        return _trained(task)


def _trained(task: dict[str, Any]) -> list[dict[str, Any]] | str:
    global _is_new
    from sweeper.training.failures import failure
    from sweeper.training.trial import Assignment, Worker

    arm, folder = task.pop("arm"), task.pop("folder")
    assignment = Assignment(
        trial=f"{arm}-00000",
        arm=arm,
        architecture=task.pop("architecture"),
        attempt=1,
        configuration=task.pop("configuration"),
        seed=task.pop("seed"),
        max_epochs=EPOCHS,
        known_epochs=0,
    )
    try:
        worker = Worker(checkpoints=folder, **task)
    except Exception as error:
        return str(failure(error)["detail"]).strip().splitlines()[-1]
    worker.start(assignment)
    rows: list[dict[str, Any]] = []
    for _ in range(EPOCHS):
        report = worker.step()
        if "rows" not in report:
            return _why(report)
        rows += report["rows"]
    worker.start(dataclasses.replace(assignment, attempt=2))
    report = worker.step()
    if len(report.get("rows", ())) != EPOCHS:
        return f"its checkpoint cannot be gone on from: {_why(report) if 'rows' not in report else 'it was not found again'}"
    if not _is_new:
        rows[0]["import_s"] = None
    _is_new = False
    return rows


def _why(report: dict[str, Any]) -> str:
    """What a worker reports instead of rows, in a line."""
    return str(report.get("fault") or report["failure"]["detail"]).strip().splitlines()[-1]
