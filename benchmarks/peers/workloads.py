"""The workloads, each a study file, and what a peer needs of one: data, given configurations, a space to ask Optuna about."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.driver.inputs import load_dataset
from sweeper.search.study import Search
from sweeper.study.space import Choice, Float, Int, Knob, Value
from sweeper.study.spec import BudgetSpec, StudySpec, load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORKERS = 2
"""Trials at once, each on one CPU."""

QUICK = {"seeds": (2, 1), "given": (4, 2), "long": (4, 2)}
"""Trials and epochs of each workload with ``--quick``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """One training that a workload asks for.

    Args:
        arm: The family, which is the name of its architecture here.
        configuration: All knobs.
        seed: Of the weights and the order of the data; None for any.
    """

    arm: str
    configuration: dict[str, Value]
    seed: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """What Keras takes: standardised float32 images and one-hot targets, of the split that our side trains on."""

    x_train: NDArray[np.float32]
    y_train: NDArray[np.float32]
    x_validation: NDArray[np.float32]
    y_validation: NDArray[np.float32]


def workload(name: str, *, is_quick: bool) -> StudySpec:
    """A workload by name, with less to do if it shall be quick."""
    spec = load(Path(__file__).with_name(f"{name}.yaml"))
    if not is_quick:
        return spec
    trials, epochs = QUICK[name]
    return spec.model_copy(update={"budget": BudgetSpec(trials=trials, max_epochs=epochs)})


def data_of(spec: StudySpec) -> Data:
    """The data of a workload, standardised once."""
    import numpy as np

    dataset = load_dataset(spec)
    mean, deviation = dataset.train.images.mean(), dataset.train.images.std()
    images = [((split.images - mean) / deviation).astype(np.float32) for split in (dataset.train, dataset.validation)]
    targets = [np.eye(dataset.num_classes, dtype=np.float32)[split.labels] for split in (dataset.train, dataset.validation)]
    return Data(x_train=images[0], y_train=targets[0], x_validation=images[1], y_validation=targets[1])


def given(spec: StudySpec) -> list[Point] | None:
    """The trainings a workload asks for, the same for every side; None where each side searches on its own."""
    if spec.search.sampler == "tpe":
        return None
    search, points = Search(spec), []
    while (event := search.propose()) is not None:
        search.apply(event)
        trial = search.trials[event.trial or ""]
        points.append(Point(arm=trial.arm, configuration=dict(trial.configuration), seed=trial.seed))
    return points


def suggested(spec: StudySpec, trial: Any) -> Point:
    """What Optuna suggests for a trial: a family, then the knobs of its search space that exist."""
    arm = trial.suggest_categorical("arm", list(spec.arms))

    def ask(name: str, knob: Knob) -> Value:
        label = f"{arm}_{name}"  # two families may have a knob of one name and different ranges
        value: Value
        if isinstance(knob, Choice):
            value = trial.suggest_categorical(label, knob.options)
        elif isinstance(knob, Int):
            value = trial.suggest_int(label, knob.low, knob.high, log=knob.log)
        else:
            assert isinstance(knob, Float)
            value = trial.suggest_float(label, knob.low, knob.high, log=knob.log)
        return value

    return Point(arm=arm, configuration=spec.space_of(arm).fill(spec.arms[arm].fixed, ask))
