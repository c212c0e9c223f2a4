"""A study as a store of MLflow: an experiment with a run per trial, in an SQLite file that ``mlflow ui`` opens."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sweeper.exports.trials import (
    AT_THE_END,
    OF_NETWORK,
    PER_EPOCH,
    Study,
    Trial,
    finite,
    in_order_of_parents,
    missing,
    replacing,
)
from sweeper.ledger.records import BEST_COLUMNS, Status

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

FILE = "mlflow.db"

MOST = 1000
"""Metrics that MLflow takes in one call."""


def write(study: Study, folder: str) -> list[str]:
    """The path of the store, an SQLite file that replaces an older one.

    A run has the trial's knobs as parameters, its metrics with the epoch as their step and the time they had, and what it is
    (arm, stage, status, reason, seed, ...) as tags. A repetition is nested in the run of the trial it repeats.

    Args:
        study: What to write.
        folder: Where; it exists.

    Raises:
        InputError: MLflow is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing is sent anywhere
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise missing("mlflow", "mlflow-skinny") from None
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    path = Path(folder) / FILE
    with replacing(path) as new:
        client = MlflowClient(tracking_uri=f"sqlite:///{new}")
        tags = {"study_id": study.study_id, "objectives": ", ".join(study.spec.objectives)}
        artifacts = (Path(folder) / "mlflow-artifacts").as_uri()  # a folder that appears once somebody adds an artifact
        experiment = client.create_experiment(study.name, artifact_location=artifacts, tags=tags)
        runs: dict[str, str] = {}
        for trial in in_order_of_parents(study.trials):
            runs[trial.name] = _add(client, experiment, study, trial, runs.get(str(trial.facts.get("parent"))))
    return [str(path)]


def _add(client: MlflowClient, experiment: str, study: Study, trial: Trial, parent: str | None) -> str:
    """The id of the run of a trial, added to an experiment."""
    from mlflow.entities import Param

    began = trial.began or study.began
    tags = {"trial": trial.name, **trial.labels, **({} if parent is None else {"mlflow.parentRunId": parent})}
    run: str = client.create_run(experiment, start_time=_ms(began), tags=tags, run_name=trial.name).info.run_id
    metrics = list(_metrics(study, trial))
    params = [Param(name, str(value)) for name, value in trial.configuration.items()]
    client.log_batch(run, metrics=metrics[:MOST], params=params)
    for start in range(MOST, len(metrics), MOST):
        client.log_batch(run, metrics=metrics[start : start + MOST])
    if trial.is_final:
        status = "FAILED" if trial.facts["status"] == Status.FAILED else "FINISHED"
        client.set_terminated(run, status, _ms(trial.ended or began))
    return run


def _metrics(study: Study, trial: Trial) -> Iterator[Metric]:
    """Everything measured of a trial; what belongs to no epoch stands at the last one."""
    from mlflow.entities import Metric

    for row in trial.epochs:
        for name, value in finite(row, PER_EPOCH).items():
            yield Metric(name, value, _ms(row.get("time", study.began)), row["epoch"])
    last = int(trial.facts.get("epoch", 0))
    for name, value in trial.numbers((*OF_NETWORK, *AT_THE_END, *BEST_COLUMNS)).items():
        yield Metric(name, value, _ms(trial.ended or study.began), last)


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
