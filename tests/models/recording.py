"""A small study, searched and confirmed without Ray: every trial is really trained, and its weights are kept."""

from __future__ import annotations

from pathlib import Path

from sweeper.driver import inputs, provenance
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind
from sweeper.search import confirmation, details
from sweeper.search.study import Search
from sweeper.search.trial import Trial
from sweeper.storage import place
from sweeper.study.spec import StudySpec
from sweeper.training.trial import Assignment, Worker

COMMON = {"batch_size": 64, "optimizer": "adam", "learning_rate": 0.01, "schedule": "constant", "label_smoothing": 0.0}

ARMS = {
    "cnn": {
        "num_blocks": 1, "width": 4, "convolutions_per_block": 1, "dense_units": 8, "attention": "none", "head": "flatten",
        "kernel_size": 3, "batch_norm": True, "dropout": 0.0, "dense_dropout": 0.0, "ema_momentum": 0.9,
    },
    "vit": {
        "patch_size": 4, "width": 16, "depth": 1, "num_heads": 2, "dropout": 0.0, "mlp_ratio": 2.0, "positions": "learned",
        "pooling": "class_token", "head": "linear", "stochastic_depth_rate": 0.0,
    },
}  # fmt: skip

EPOCHS = 2


def study() -> StudySpec:
    arms = {name: {"architecture": name, "space": name, "fixed": {**COMMON, **knobs}} for name, knobs in ARMS.items()}
    return StudySpec.model_validate(
        {
            "name": "small",
            "dataset": {"name": "digits", "fraction": 0.3},
            "arms": arms,
            "budget": {"trials": 2, "max_epochs": EPOCHS},
            "search": {"sampler": "random"},
            "stopping": {"rule": "none"},
        }
    )


def record(spec: StudySpec, folder: Path) -> StudyFolder:
    """The study as workers and a driver leave it: a trial of each arm, and of each two confirmed ones."""
    dataset = inputs.load_dataset(spec)
    stored = StudyFolder(folder)
    stored.create(spec.to_yaml())
    constants = provenance.constants_of(spec, dataset)
    worker = Worker(
        train=dataset.train,
        validation=dataset.validation,
        num_classes=dataset.num_classes,
        training=spec.training,
        resources=spec.resources,
        checkpoints=place(folder) / "checkpoints",
        test=dataset.read_test(),
        is_carved=dataset.can_be_carved,
        class_names=dataset.class_names,
        predictions=place(folder) / "predictions",
    )
    with stored.drive({}, study_id=spec.study_id) as ledger:
        search = Search(spec).fold(stored.read())

        def tell(event: Event) -> None:
            search.apply(event)
            ledger.append(event.replace(**constants))

        def train_all() -> None:
            while (suggested := search.propose()) is not None:
                tell(suggested)
                trial = search.trials[suggested.trial or ""]
                for event in _trained(worker, trial):
                    tell(search.judge(event))

        train_all()
        tell(details.planned_event(confirmation.plan(search, per_arm=1, num_seeds=2)))
        train_all()
    return stored


def _trained(worker: Worker, trial: Trial) -> list[Event]:
    facts = {name: getattr(trial, name) for name in ("trial", "arm", "number", "seed", "stage", "parent")}
    worker.start(
        Assignment(
            trial=trial.trial,
            arm=trial.arm,
            architecture=trial.arm,
            attempt=trial.attempt,
            configuration=trial.configuration,
            seed=trial.seed,
            max_epochs=trial.max_epochs,
            known_epochs=0,
            stage=trial.stage,
        )
    )
    rows = [row for _ in range(trial.max_epochs) for row in worker.step()["rows"]]
    return [Event(kind=Kind.EPOCH, architecture=trial.arm, **facts, **row) for row in rows]
