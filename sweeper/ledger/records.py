"""Every record this project writes: its columns, their types, units and meaning.

One dataclass, `Event`, is one row of the ledger. The ledger's schema, the two result tables and the documentation are derived
from its fields, so a column is described in one place only. Rows have keys: (generation, sequence, position) in the ledger,
(trial, attempt, epoch) among epoch rows, (trial, epoch) in the table of epochs, (trial) in the table of trials.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = 5
"""Written into every ledger part and table, and said by every `driver_started` event. A reader knows its own and all older ones.

2: a compaction leaves an event of its own, so that the sequences of a generation have no holes.
3: a trial may be paused at a rung, and be stopped there or promoted later.
4: a study may begin with what earlier studies teach.
5: trials of the confirm stage are tested, and inference is timed after a trial.
"""


class Kind(StrEnum):
    """What an event says."""

    CREATED = "created"
    """The study begins; `detail` is the resolved study file as JSON."""
    LEARNED = "learned"
    """Earlier studies teach the samplers of this one; `detail`: see `sweeper.search.lessons`."""
    DRIVER_STARTED = "driver_started"
    """A driver took over; attempts still running belong to a dead one and count as interrupted.

    `detail`: see `sweeper.ledger.ledger`.
    """
    SUGGESTED = "suggested"
    """An attempt at a trial is about to be dispatched, with its configuration."""
    PLANNED = "planned"
    """Trials are to be repeated, with other seeds or for more epochs; `detail`: see `sweeper.search.details`."""
    EXTENDED = "extended"
    """The study goes on with more trials, arms or epochs; `detail`: see `sweeper.search.details`."""
    EPOCH = "epoch"
    """One epoch was trained and validated; `status` and `reason` are the trial's after this row."""
    ATTEMPT_ENDED = "attempt_ended"
    """An attempt ended without an epoch row: failed or interrupted; `status` and `reason` are the trial's after it."""
    MEASURED = "measured"
    """Inference of a trial's network was timed; `detail`: see `sweeper.driver.timing`."""
    COMPACTED = "compacted"
    """Parts of the ledger were merged; nothing happened in the study. `detail`: how many, see `sweeper.ledger.ledger`."""


class Status(StrEnum):
    """Where a trial stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"
    PAUSED = "paused"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        """Whether the trial will not run again."""
        return self in (Status.COMPLETED, Status.STOPPED, Status.FAILED)


class Reason(StrEnum):
    """Why a trial has its status."""

    MAX_EPOCHS = "max_epochs"
    RUNG = "rung"
    NAN = "nan"
    EXCEPTION = "exception"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    DIED = "died"
    NODE_LOST = "node_lost"
    INFEASIBLE = "infeasible"


class Stage(StrEnum):
    """What a trial is for."""

    SEARCH = "search"
    CONFIRM = "confirm"
    ABLATION = "ablation"


def column(meaning: str, unit: str = "", default: Any = None) -> Any:
    """A column of the ledger: what it means and in which unit; None means "does not apply to this event"."""
    return dataclasses.field(default=default, metadata={"meaning": meaning, "unit": unit})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """One row of the ledger: something that happened, with its outcome."""

    kind: Kind = column("what the row says")
    time: float | None = column("when the driver recorded it", "seconds since 1970, UTC")
    study_id: str | None = column("hash of the first resolved study file, fixed for life")
    trial: str | None = column(
        "<arm>-<number:05d>, then -e<epochs> if trained anew for more epochs, -s<seed> or -<varies><seed> outside the search"
    )
    arm: str | None = column("the contender this trial belongs to")
    architecture: str | None = column("the arm's architecture")
    number: int | None = column("trials of an arm, from 0; number 0 is the arm's default configuration")
    stage: Stage | None = column("search, confirm or ablation")
    parent: str | None = column("the trial whose configuration this one repeats, if it repeats one")
    seed: int | None = column("everything random in the trial follows from it")
    varies: str | None = column(
        "what the seed of a repetition sets where that is one source of chance alone, or all of them: init, order, augmentation, "
        "split or all; the others are as in the trial it repeats"
    )
    attempt: int | None = column("tries at this trial, from 1")
    status: Status | None = column("the trial's status after this event")
    reason: Reason | None = column("why it has this status")
    configuration: str | None = column("the trial's knobs as a JSON object")
    max_epochs: int | None = column("epochs after which the trial is complete", "epochs")
    epoch: int | None = column("epochs trained so far, from 1", "epochs")
    train_loss: float | None = column(
        "mean cross-entropy while training this epoch, of augmented images, without smoothing and weights", "nats"
    )
    train_accuracy: float | None = column(
        "share of right answers while training this epoch, of augmented images; a mixed one counts as what it is most", "fraction"
    )
    val_loss: float | None = column("mean cross-entropy on the validation split after this epoch", "nats")
    val_accuracy: float | None = column("share of right answers on the validation split after this epoch", "fraction")
    test_loss: float | None = column("mean cross-entropy on the test split after the last epoch; confirm stage only", "nats")
    test_accuracy: float | None = column(
        "share of right answers on the test split after the last epoch; confirm stage only", "fraction"
    )
    learning_rate: float | None = column("learning rate of this epoch")
    import_s: float | None = column("loading the framework; on a worker's first row only", "seconds")
    build_s: float | None = column("building, compiling, restoring; on an attempt's first row only", "seconds")
    train_s: float | None = column("training this epoch", "seconds")
    evaluate_s: float | None = column("validating after this epoch", "seconds")
    checkpoint_s: float | None = column("this epoch's share of checkpoints: taking the state, waiting for the disk", "seconds")
    wait_s: float | None = column("the worker's idle time before this row's work began", "seconds")
    peak_memory_mb: float | None = column(
        "largest resident memory of the worker process so far, earlier trials in it included", "MB"
    )
    parameters: int | None = column(
        "trainable parameters of the network without auxiliary heads, however many of them the trial trains"
    )
    macs: int | None = column("multiply-accumulates of one forward pass of that network on one image; FLOPs are twice that")
    latency_ms: float | None = column("forward pass of one image alone on the machine, median", "ms")
    latency_ms_iqr: float | None = column("the same, interquartile range", "ms")
    latency_ms_batch32: float | None = column("forward pass of 32 images alone on the machine, median", "ms")
    latency_ms_batch32_iqr: float | None = column("the same, interquartile range", "ms")
    dataset: str | None = column(
        "what it was trained and validated on: the dataset's name and options, the number of images and of files that could not "
        "be used, as a JSON object"
    )
    device: str | None = column("what the worker computed on")
    worker: str | None = column("host and process that computed it")
    is_program_reused: bool | None = column("whether an already compiled program was used again")
    versions: str | None = column(
        "versions of the packages that matter, and the file of weights the trial began with, as a JSON object"
    )
    commit: str | None = column("commit of the code that ran, if it ran from a repository")
    detail: str | None = column("further text: an error message, or JSON as the kind says")
    generation: int | None = column("which start of a driver wrote the row, from 1")
    sequence: int | None = column("commits of that driver, from 1")
    position: int | None = column("rows of that commit, from 0")

    def __post_init__(self) -> None:
        for name, kind in (("kind", Kind), ("stage", Stage), ("status", Status), ("reason", Reason)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                object.__setattr__(self, name, kind(value))

    def replace(self, **changes: Any) -> Event:
        """The same event with some columns changed."""
        return dataclasses.replace(self, **changes)

    @property
    def key(self) -> tuple[int, int, int]:
        """(generation, sequence, position): unique in a ledger, and the order in which events happened."""
        assert self.generation is not None and self.sequence is not None and self.position is not None
        return (self.generation, self.sequence, self.position)


TRIAL_COLUMNS = (
    "study_id", "trial", "arm", "architecture", "number", "stage", "parent", "seed", "varies", "attempt", "status", "reason",
    "configuration", "max_epochs", "epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss",
    "test_accuracy", "learning_rate", "import_s", "build_s", "train_s", "evaluate_s", "checkpoint_s", "wait_s",
    "peak_memory_mb", "parameters", "macs", "latency_ms", "latency_ms_iqr", "latency_ms_batch32", "latency_ms_batch32_iqr",
    "dataset", "device", "versions", "commit", "detail",
)  # fmt: skip
"""The table of trials: one row per trial. Metrics are those of the LAST epoch, times are sums over all epochs, memory is the
maximum. `BEST_COLUMNS` are added behind them."""

BEST_COLUMNS = ("best_val_accuracy", "best_val_accuracy_epoch", "best_val_loss", "best_val_loss_epoch")
"""The best value a trial ever had and the epoch it had it in. Informative: the objective is the value at the last epoch."""

EPOCH_COLUMNS = (
    "study_id", "trial", "arm", "architecture", "number", "stage", "parent", "seed", "attempt", "status", "reason",
    "epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate", "import_s", "build_s",
    "train_s", "evaluate_s", "checkpoint_s", "wait_s", "peak_memory_mb", "device", "worker", "is_program_reused",
    "time",
)  # fmt: skip
"""The table of epochs: one row per (trial, epoch), the one the search acted on."""

SOURCES = ("init", "order", "augmentation", "split")
"""Sources of chance in a training: initial weights with what the network draws, the order of images, augmentation, the carve."""

METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
"""What an epoch row measures."""

OBJECTIVES = {
    "val_accuracy": "max",
    "val_loss": "min",
    "train_accuracy": "max",
    "train_loss": "min",
    "parameters": "min",
    "macs": "min",
    "train_s": "min",
    "peak_memory_mb": "min",
}
"""What a study may optimise and which way is better. The first objective of a study must be one of `METRICS`."""


def trial_name(arm: str, number: int) -> str:
    """The id of a trial of the budget, for example ``cnn-00007``."""
    return f"{arm}-{number:05d}"


def describe() -> list[dict[str, str]]:
    """Name, type, unit and meaning of every column, in order."""
    return [
        {
            "name": field.name,
            "type": str(field.type).replace(" | None", ""),
            "unit": field.metadata["unit"],
            "meaning": field.metadata["meaning"],
        }
        for field in dataclasses.fields(Event)
    ]


def schema() -> Any:
    """The ledger's pyarrow schema; `SCHEMA_VERSION` is in its metadata."""
    import pyarrow as pa

    types = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_()}
    fields = [pa.field(column["name"], types.get(column["type"], pa.string())) for column in describe()]
    return pa.schema(fields, metadata={"sweeper_schema": str(SCHEMA_VERSION)})
