"""The network of a trial, made again in this process from its weights, as the study has it."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sweeper.driver import weights
from sweeper.errors import InputError
from sweeper.training.devices import environment, load

if TYPE_CHECKING:
    from sweeper.datasets import Dataset
    from sweeper.driver.opened import OpenedStudy
    from sweeper.search.trial import Trial
    from sweeper.study.spec import StudySpec
    from sweeper.training.checkpoint import Checkpoint
    from sweeper.training.task import Task
    from sweeper.training.weights.pretrained import Pretrained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Restored:
    """A network with the weights that validation and test had.

    Args:
        model: What `sweeper.training.predicting.probabilities` takes.
        network: The network in it, on standardised images.
        task: What it was trained for.
        pretrained: The weights it began with; None if it began without.
    """

    model: Any
    network: Any
    task: Task
    pretrained: Pretrained | None


@contextlib.contextmanager
def keras_of(spec: StudySpec) -> Iterator[None]:
    """Keras within the block as the study has it: its precision; its backend, unless this process has Keras on another one.

    There numbers are the same but for rounding.

    Raises:
        InputError: The backend is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="sweeper-keras-") as folder:
        if "keras" not in sys.modules:
            if importlib.util.find_spec(spec.training.backend) is None:
                raise InputError(f"the study was trained with the backend {spec.training.backend}, which is not installed here.")
            os.environ.update(environment(spec.training, spec.shapes[0], folder))
            load()
        import keras

        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(spec.training.precision)
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)


def restored(opened: OpenedStudy, trial: Trial, stored: Checkpoint, dataset: Dataset) -> Restored:
    """The network of a trial; call it within `keras_of`.

    Args:
        opened: The study.
        trial: One of its trials.
        stored: Its state, as `sweeper.models.choosing.weights_of` gives it.
        dataset: The study's data: the training images say how the input is scaled.
    """
    from sweeper.training import predicting
    from sweeper.training.task import Task

    spec = opened.spec
    architecture, task = spec.arms[trial.arm].architecture, Task.of(dataset.train, dataset.num_classes)
    given = weights.weights_of(architecture, trial.configuration, trial.arm, dataset, spec.training)
    pretrained = next(iter(given.values()), None)
    model, network = predicting.restored(architecture, trial.configuration, task, stored, pretrained)
    return Restored(model=model, network=network, task=task, pretrained=pretrained)
