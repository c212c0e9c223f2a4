"""Confirmed models of a study: which are asked for, the models themselves, and one's own images for them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sweeper.analysis.results import Results
    from sweeper.datasets import Dataset
    from sweeper.driver.opened import OpenedStudy
    from sweeper.search.trial import Trial


def chosen_models(opened: OpenedStudy, data: Results, models: Sequence[str]) -> list[Trial]:
    """The confirmed trials whose models are asked for: ``best``, an arm, or a trial; none asks for one of each arm.

    Raises:
        InputError: None is confirmed, or it needs own code that is not known.
        UnknownNameError: No such model.
    """
    from sweeper.analysis.verdicts import confirmed
    from sweeper.driver import own
    from sweeper.errors import InputError, UnknownNameError
    from sweeper.ledger.records import Stage, Status

    own.check_known(opened)
    done = [trial for trial in opened.search.of_stage(Stage.CONFIRM) if trial.status is Status.COMPLETED]
    if not done:
        raise InputError(f"study '{data.study}' has no confirmed model; confirm it first: sweeper confirm {data.study}")
    ranking = confirmed(data)["parent"].to_list()
    done.sort(key=lambda trial: (ranking.index(trial.parent), trial.seed))
    first = {trial.arm: trial for trial in reversed(done)}
    known = {"best": done[0], **first, **{trial.trial: trial for trial in done}}
    for name in models:
        if name not in known:
            raise UnknownNameError("model", name, known)
    asked = [known[name] for name in models] if models else [first[arm] for arm in dict.fromkeys(trial.arm for trial in done)]
    return list({trial.trial: trial for trial in asked}.values())


def read_images(opened: OpenedStudy, files: Sequence[Path]) -> tuple[Dataset, NDArray[Any]]:
    """The study's dataset, and images of any size and colour as it has them: (images, height, width, channels).

    Raises:
        InputError: The backend of the study is not installed.
        DatasetError: The dataset or an image cannot be read.
    """
    from sweeper.cli._networks import check_backend
    from sweeper.datasets import _alike
    from sweeper.driver.inputs import load_dataset

    check_backend(opened.spec.training.backend)
    dataset = load_dataset(opened.first)
    return dataset, _alike.read(dataset, files, fit=str(opened.spec.dataset.options.get("fit", "crop")))


def restored_models(opened: OpenedStudy, trials: Sequence[Trial], dataset: Dataset) -> Iterator[tuple[Trial, Any]]:
    """Each trial with its model, made again from its weights; this process becomes one of Keras.

    Raises:
        CheckpointError: The weights of a trial are gone.
    """
    from sweeper.cli._networks import quiet
    from sweeper.driver import weights
    from sweeper.errors import CheckpointError
    from sweeper.training import checkpoint
    from sweeper.training.devices import environment

    spec = opened.spec
    with tempfile.TemporaryDirectory(prefix="sweeper-models-") as folder:
        os.environ.update(environment(spec.training, spec.resources_of(trials[0].arm), os.path.join(folder, "keras")))
        for trial in trials:
            stored = checkpoint.newest(opened.folder / "checkpoints" / trial.trial)
            if stored is None:
                raise CheckpointError(f"the weights of {trial.trial} are gone. Choose another model with --model.")
            architecture = spec.arms[trial.arm].architecture
            given = weights.weights_of(architecture, trial.configuration, trial.arm, dataset, spec.training)
            with quiet():
                from sweeper.training.predicting import restored
                from sweeper.training.task import Task

                task = Task.of(dataset.train, dataset.num_classes)
                model, _ = restored(architecture, trial.configuration, task, stored, next(iter(given.values()), None))
            yield trial, model
