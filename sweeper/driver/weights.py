"""Which arms of a study begin with weights, and the weights for them: what a driver does before anything else.

A process of its own reads the weights (`sweeper.training.weights.files`). So a driver needs no Keras, keeps no threads and
memory of a framework, and takes no GPU from its workers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper import catalog, owncode
from sweeper.errors import InputError, SweeperError
from sweeper.study.space import Choice, Value
from sweeper.study.spec import StudySpec, TrainingSpec
from sweeper.training.weights.pretrained import Asking, Pretrained, wants_weights

if TYPE_CHECKING:
    from sweeper.datasets import Dataset


def asking(study: StudySpec) -> list[Asking]:
    """The arms some of whose trials begin with weights: where that is fixed, or may be found by the search."""
    found = []
    for name, arm in study.arms.items():
        if "weights" in arm.fixed:
            wants = wants_weights(arm.fixed)
        else:
            knob = study.space_of(name).training.get("weights")
            wants = isinstance(knob, Choice) and knob.options != ("none",)
        if wants:
            found.append(
                Asking(
                    name=name, architecture=arm.architecture, space=arm.space, recipe=study.search.recipe, fixed=dict(arm.fixed)
                )
            )
    return found


def unused_folder(study: StudySpec, arms: Sequence[Asking]) -> str:
    """The fault of a study that names a folder of weights and has no use for it; nothing where there is none."""
    if study.training.weights_folder is None or arms:
        return ""
    return "training.weights_folder: no arm begins with weights. Leave it out, or fix weights: imagenet in an arm."


def weights_for(wanted: StudySpec, others: Sequence[StudySpec], dataset: Dataset) -> tuple[dict[str, Pretrained], set[str]]:
    """The weights that arms need, by file, and the names of these arms; none when no arm asks.

    Args:
        wanted: A study as it shall be.
        others: The same study as it is, and as others want it; of arms with one name the wanted one counts.
        dataset: Their data.

    Raises:
        InputError: Something is wrong with what they ask for, or files are not available; all of it at once.
    """
    arms = {arm.name: arm for study in (*others, wanted) for arm in asking(study)}
    if fault := unused_folder(wanted, [*arms.values()]):
        raise InputError(fault)
    return (read([*arms.values()], dataset, wanted.training) if arms else {}), set(arms)


def weights_of(
    architecture: str, configuration: Mapping[str, Value], arm: str, dataset: Dataset, training: TrainingSpec
) -> dict[str, Pretrained]:
    """The weights one trial begins with, by file; none when it begins without. Raises as `weights_for`."""
    if not wants_weights(configuration):
        return {}
    asks = Asking(name=arm, architecture=architecture, space=None, recipe=None, fixed=dict(configuration))
    return read([asks], dataset, training)


def read(arms: Sequence[Asking], dataset: Dataset, training: TrainingSpec) -> dict[str, Pretrained]:
    """The weights that arms ask for, by file, read in a process of its own.

    Raises:
        InputError: See `weights_for`.
        SweeperError: That process came to an end of its own.
    """
    with tempfile.TemporaryDirectory(prefix="sweeper-weights-") as name:
        folder = Path(name)
        request = {
            "arms": [dataclasses.asdict(arm) for arm in arms],
            "input_shape": dataset.input_shape,
            "num_classes": dataset.num_classes,
            "folder": training.weights_folder,
            "code": owncode.plain(catalog.current()),
        }
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        answer = run(folder, training)
        if answer["faults"]:
            listed = "\n".join(f"  - {fault}" for fault in answer["faults"])
            raise InputError(f"the study cannot begin with the weights it asks for; nothing was started:\n{listed}")
        found = [Pretrained.read(folder / str(number)) for number in range(answer["num_networks"])]
    return {network.file: network for network in found}


def weights_asked_for(
    wanted: StudySpec, known: Sequence[StudySpec], waiting: Sequence[StudySpec], dataset: Dataset
) -> tuple[dict[str, Pretrained], set[str]]:
    """As `weights_for`, for a study as it shall be, as it is, and as requests in its folder want it."""
    if waiting:
        with contextlib.suppress(InputError):  # a request that cannot be met is passed over when it is taken
            return weights_for(wanted, [*known, *waiting], dataset)
    return weights_for(wanted, known, dataset)


def environment_beside(training: TrainingSpec) -> dict[str, str]:
    """The environment of a process that needs Keras beside a driver, and none of the GPUs that trials are to have."""
    return {
        **os.environ,
        "KERAS_BACKEND": training.backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }


def run(folder: Path, training: TrainingSpec) -> dict[str, Any]:
    """Have the request in a folder answered by another process."""
    environment = environment_beside(training)
    if training.weights_folder is not None:
        environment["KERAS_HOME"] = str(folder / "keras")  # nothing is fetched, so nothing need be written to the user's
    command = [sys.executable, "-m", "sweeper.training.weights.files", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    answer = folder / "answer.json"
    if done.returncode != 0 or not answer.is_file():
        tail = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise SweeperError(f"the weights could not be read: the process that does it ended with {done.returncode}.\n{tail}")
    result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return result
