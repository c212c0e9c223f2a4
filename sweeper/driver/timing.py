"""How fast the networks of a study answer: measured after the fact, one after another, with nothing else of the study running.

Inference time depends on the network alone, so no weights are needed: a network is built anew from a trial's configuration, in a
process of its own, and all trials with the same one share what was measured. What was found is an event of the ledger
(`sweeper.ledger.records.Kind.MEASURED`) with the columns ``latency_ms`` and its relatives; its `detail` holds ``runs``,
``device``, ``cpus`` of the machine, and ``load``: how many processes wanted to run on it in the minute before.
"""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import os
import socket
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

from sweeper import catalog
from sweeper.driver import own, provenance
from sweeper.driver.inputs import load_dataset
from sweeper.driver.opened import OpenedStudy, open_study
from sweeper.errors import KnobError
from sweeper.ledger.records import Event, Kind, Stage, Status
from sweeper.owncode import Code
from sweeper.search.trial import Trial
from sweeper.study.space import TRAINING
from sweeper.training.weights.pretrained import wants_weights

if TYPE_CHECKING:
    from sweeper.datasets import Dataset

BATCHES = {"latency_ms": 1, "latency_ms_batch32": 32}
"""Images at once, by column."""

RUNS = 50
"""Timed forward passes of each."""

Network = tuple[str, str]
"""Architecture and its arguments as JSON text."""


def to_time(study: OpenedStudy, stages: Collection[Stage], *, anew: bool = False) -> dict[Network, list[Trial]]:
    """The completed trials by network: of those networks that a trial of these stages lacks the time of.

    All trials of a network are there, of whatever stage, also those that have a time: it is measured anew, and they share what
    comes out.

    Args:
        study: The study.
        stages: Which trials are to have one.
        anew: All networks of these, also those that were timed for every trial.
    """
    timed = {event.trial for event in study.events if event.kind is Kind.MEASURED and not anew}
    found: dict[Network, list[Trial]] = {}
    for trial in study.search.trials.values():
        if trial.status is Status.COMPLETED:
            found.setdefault(_network(study, trial), []).append(trial)
    lack = {trial.trial for trials in found.values() for trial in trials if trial.stage in stages} - timed
    return {name: trials for name, trials in found.items() if any(trial.trial in lack for trial in trials)}


def time_networks(
    study: OpenedStudy,
    networks: dict[Network, list[Trial]],
    *,
    runs: int = RUNS,
    tell: Callable[[str], None] = lambda line: None,
) -> OpenedStudy:
    """Time networks and record it; the study as it is stored now. Each is durable once it is measured.

    Args:
        study: The study.
        networks: As from `to_time`.
        runs: Timed forward passes for each size of a batch.
        tell: Called with a line for each network.

    Raises:
        DatasetError: The data, which say how large an image is, are missing.
        StudyLockedError: A driver is at work on the study.
    """
    own.check_known(study)
    dataset = load_dataset(study.first)
    detail = {"host": socket.gethostname(), "pid": os.getpid(), "versions": provenance.versions()}
    with study.files.drive(detail, study_id=study.first.study_id) as ledger:
        for (network, trials), found in zip(networks.items(), _measured(study, list(networks), dataset, runs), strict=True):
            if isinstance(found, str):
                tell(f"{trials[0].trial}: not measured: {found}")
                continue
            for trial in trials:
                ledger.append(
                    Event(
                        kind=Kind.MEASURED,
                        study_id=study.first.study_id,
                        trial=trial.trial,
                        arm=trial.arm,
                        architecture=network[0],
                        number=trial.number,
                        stage=trial.stage,
                        **found,
                    )
                )
            ledger.commit()
            tell(f"{trials[0].trial}: {found['latency_ms']:.2f} ms, {found['latency_ms_batch32']:.2f} ms for 32 images")
    study = open_study(study.files)
    study.write_tables()
    return study


def _network(study: OpenedStudy, trial: Trial) -> Network:
    arguments = {name: value for name, value in trial.configuration.items() if name not in TRAINING}
    if wants_weights(trial.configuration):
        arguments |= {"weights": "imagenet"}
    return study.spec.arms[trial.arm].architecture, json.dumps(arguments, sort_keys=True)


def _measured(study: OpenedStudy, networks: list[Network], dataset: Dataset, runs: int) -> Iterator[dict[str, Any] | str]:
    """The columns of each network, or why there are none; a process is used until it dies."""
    context = multiprocessing.get_context("spawn")
    backend, on_gpu = study.first.training.backend, any(shape.gpus_per_trial for shape in study.spec.shapes)
    pool: concurrent.futures.ProcessPoolExecutor | None = None
    try:
        for architecture, text in networks:
            arguments = json.loads(text)
            height, width, channels = dataset.input_shape
            shape = (height, width, 3 if arguments.pop("weights", None) else channels)
            pool = pool or concurrent.futures.ProcessPoolExecutor(
                1, mp_context=context, initializer=_begin, initargs=(backend, on_gpu, catalog.current())
            )
            try:
                yield pool.submit(_time, architecture, arguments, shape, dataset.num_classes, runs).result()
            except KnobError as error:
                yield str(error)
            except concurrent.futures.process.BrokenProcessPool:
                pool = None
                yield "the process that measured it died, most likely out of memory"
    finally:
        if pool is not None:
            pool.shutdown()


def _begin(backend: str, on_gpu: bool, code: Code | None) -> None:
    """Prepare the process that measures."""
    import tempfile

    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["KERAS_HOME"] = os.path.join(tempfile.gettempdir(), f"sweeper-keras-{os.getuid()}")
    os.environ["KERAS_BACKEND"] = backend
    if not on_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if code is not None:
        catalog.use(code)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # TensorFlow has messages that no setting silences


def _time(
    architecture: str, arguments: dict[str, Any], shape: tuple[int, int, int], num_classes: int, runs: int
) -> dict[str, Any]:
    from sweeper.training.measuring.inference import measure_inference

    load = os.getloadavg()[0]  # of all processes, so it is held against all CPUs of the machine
    found: dict[str, Any] = {}
    for column, batch in BATCHES.items():
        measured = measure_inference(architecture, arguments, shape, num_classes, batch, runs)
        found |= {column: measured.median_ms, f"{column}_iqr": measured.iqr_ms}
        device = measured.device
    return {**found, "detail": json.dumps({"runs": runs, "device": device, "cpus": os.cpu_count(), "load": round(load, 2)})}
