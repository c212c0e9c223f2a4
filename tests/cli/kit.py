"""What the tests of the command line share: a study as a driver would have left it. Nothing here starts Ray."""

from __future__ import annotations

import json
import random
from pathlib import Path

from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Event, Kind, Stage
from sweeper.search.study import Search
from sweeper.study.spec import StudySpec
from tests.virtual_clock import VirtualClock

STUDY = """\
name: made
dataset: {name: digits}
arms:
  cnn: {}
  resnet_se: {architecture: resnet, fixed: {attention: se}}
objectives: [max val_accuracy, min parameters]
budget: {trials: 12, max_epochs: 9}
search: {sampler: random}
stopping: {rule: asha, grace_epochs: 1, reduction_factor: 3}
"""

COMMANDS = [
    "ablate",
    "activations",
    "audit",
    "benchmark",
    "check",
    "check-code",
    "cluster",
    "confirm",
    "describe",
    "describe-data",
    "doctor",
    "export",
    "init",
    "launch",
    "list",
    "measure",
    "model",
    "new",
    "pareto",
    "plot",
    "predict",
    "recommend",
    "replay",
    "report",
    "resume",
    "retrain",
    "schema",
    "status",
]


def make_study(folder: Path, spec: StudySpec, max_events: int | None = None) -> list[Event]:
    """A study as a driver would have left it, without Ray: recorded on a virtual clock, committed to a ledger."""

    def curve(trial: str, epoch: int) -> float:
        chance = random.Random(trial)
        return round((0.5 + 0.5 * chance.random()) * (1 - 0.5**epoch), 4)

    store = StudyFolder(folder)
    store.create(spec.to_yaml())
    log = VirtualClock(Search(spec), 2, curve, lambda trial: random.Random(trial).uniform(1, 3)).run(max_events)
    with store.drive({}, study_id=spec.study_id) as ledger:
        for event in log[1:]:
            size = 1000 + random.Random(event.trial).randrange(100_000)
            measured = {
                "stage": Stage.SEARCH,
                "parameters": size,
                "macs": 7 * size,
                "train_s": 1.5,
                "peak_memory_mb": 700.0,
                "device": "cpu",
                "dataset": json.dumps({"name": "digits", "options": {}, "validation_images": 359}),
            }
            ledger.append(event.replace(**measured) if event.kind is Kind.EPOCH else event)
    return log
