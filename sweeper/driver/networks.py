"""Whether the networks of a study can be built for its images: what `sweeper check` says, and a driver asks before it begins.

A process of its own builds them for a driver, which so needs no Keras and takes no GPU from its workers.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sweeper import catalog, owncode
from sweeper.driver.weights import environment_beside
from sweeper.errors import InputError, KnobError, SweeperError
from sweeper.study.space import TRAINING, Configuration, Value
from sweeper.study.spec import StudySpec
from sweeper.training import built, devices
from sweeper.training.limits import LimitError, sizes_of
from sweeper.training.weights.pretrained import wants_weights

if TYPE_CHECKING:
    from sweeper.datasets import Dataset


def build(architecture: str, input_shape: tuple[int, ...], num_classes: int, arguments: Mapping[str, Any]) -> Any:
    """The uncompiled model, in this process.

    Raises:
        KnobError: The architecture does not take these arguments, or the framework cannot build such a model.
    """
    catalog.load("architecture", architecture)
    try:
        return built.network(architecture, input_shape, num_classes, arguments)
    except SweeperError:
        raise
    except Exception as error:
        # Sizes no check foresaw end in errors of the framework, of whatever class; the last line says what it could not do.
        size = "x".join(map(str, input_shape))
        lines = re.sub(r"\{\{.*?\}\} *", "", str(error)).strip().splitlines()
        reason = (lines[-1] if lines else type(error).__name__)[:300].rstrip(".")
        code = catalog.current()
        if code is not None and (place := code.place_of(error)):
            reason = f"{place}: {owncode.in_words(error)}"
        raise KnobError(
            f"{architecture} cannot be built for images of {size} and {num_classes} classes: {reason}. Choose other values."
        ) from error


def build_arm(
    name: str,
    architecture: str,
    configuration: Mapping[str, Value],
    input_shape: tuple[int, ...],
    num_classes: int,
    limits: Mapping[str, int],
) -> Any:
    """The uncompiled model of an arm's configuration, in this process.

    Raises:
        KnobError: As `build`, or it exceeds a constraint; with the arm's place in the study file.
    """
    arguments = {knob: value for knob, value in configuration.items() if knob not in TRAINING}
    *size, channels = input_shape
    shape = (*size, 3 if wants_weights(configuration) else channels)  # grey images are repeated for weights
    try:
        model = build(architecture, shape, num_classes, arguments)
        if limits or is_own(architecture):  # which may hold what cannot be counted
            sizes_of(model, limits)
        return model
    except LimitError as error:
        raise KnobError(f"arms.{name}: {error}. Choose smaller sizes, or raise the constraint.") from error
    except SweeperError as error:
        raise KnobError(f"arms.{name}: {error}") from error


def checked(study: StudySpec, arms: Collection[str], load: Callable[[], Dataset]) -> Dataset:
    """The data, once the networks of some arms are known to fit them.

    Args:
        study: The study.
        arms: Its arms that are to be checked, at the configurations they begin with.
        load: Reads the data.

    Raises:
        InputError: Networks cannot be built for these images, or exceed a constraint; all of them at once.
    """
    with building(study, arms) as faults_of:
        dataset = load()
        if faults := faults_of(dataset):
            listed = "\n".join(f"  - {fault}" for fault in faults)
            raise InputError(f"study '{study.name}' cannot run on these images; nothing was started:\n{listed}")
    return dataset


@contextlib.contextmanager
def building(study: StudySpec, arms: Collection[str]) -> Iterator[Callable[[Dataset], list[str]]]:
    """What finds the faults of arms at what they begin with, given the data; a process for it gets ready meanwhile.

    It raises `SweeperError` if that process came to an end of its own.

    Args:
        study: The study.
        arms: Its arms that are to be built; without any there is no process.
    """
    if not arms:
        yield lambda dataset: []
        return
    architectures = [*dict.fromkeys(study.arms[name].architecture for name in arms)]
    environment = environment_beside(study.training)
    if importlib.util.find_spec("jax") and not any(map(is_own, architectures)):
        # Shapes are all that is asked for, and Keras on NumPy, for which it imports JAX, is there in half the time.
        environment["KERAS_BACKEND"] = "numpy"
    environment.setdefault("KERAS_HOME", os.path.join(tempfile.gettempdir(), f"sweeper-keras-{os.getuid()}"))
    command = [sys.executable, "-m", "sweeper.driver.networks", *architectures]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # if it is gone, its exit code says so below
            process.stdin.write(f"{json.dumps(owncode.plain(catalog.current()))}\n")
            process.stdin.flush()

        def faults(dataset: Dataset) -> list[str]:
            out, messages = process.communicate(json.dumps(task_of(study, arms, dataset)))
            if process.returncode != 0:
                tail = "\n".join(messages.strip().splitlines()[-15:])
                raise SweeperError(f"the process that builds the networks ended with {process.returncode}.\n{tail}")
            found: list[str] = json.loads(out.splitlines()[-1])
            return found

        try:
            yield faults
        finally:
            process.kill()


def first_of(study: StudySpec, arm: str) -> dict[str, Configuration]:
    """The configurations an arm begins with, by their place below ``arms``: its default one, then its points."""
    default, *points = study.arms[arm].first(study.space_of(arm))
    return {arm: default} | {f"{arm}.points[{index}]": point for index, point in enumerate(points)}


def task_of(study: StudySpec, arms: Collection[str], dataset: Dataset) -> dict[str, Any]:
    """What `faults_of` is asked, as plain data."""
    first = [
        {"name": place, "architecture": study.arms[name].architecture, "configuration": configuration}
        for name in arms
        for place, configuration in first_of(study, name).items()
    ]
    images = {"input_shape": list(dataset.input_shape), "num_classes": dataset.num_classes}
    return {"arms": first, "limits": study.limits, **images}


def faults_of(task: Mapping[str, Any]) -> list[str]:
    """Why networks cannot be built, in this process; a fault for each that cannot."""
    found = []
    for arm in task["arms"]:
        # What a user's own code does with its weights is not known.
        with contextlib.nullcontext() if is_own(arm["architecture"]) else built.shapes_alone():
            try:
                shape = tuple(task["input_shape"])
                build_arm(**arm, input_shape=shape, num_classes=task["num_classes"], limits=task["limits"])
            except KnobError as error:
                found.append(str(error))
    return found


def is_own(architecture: str) -> bool:
    """Whether an architecture is not built in."""
    return catalog.origin("architecture", architecture) != catalog.BUILT_IN


def _main() -> None:
    """Take the user's code, load the architectures named, and Keras with them; then build what is asked for, print the faults."""
    with catalog.using(owncode.from_plain(json.loads(sys.stdin.readline()))):
        devices.load()
        for architecture in sys.argv[1:]:
            catalog.load("architecture", architecture)
        print(json.dumps(faults_of(json.loads(sys.stdin.read()))))
    gc.freeze()  # as at the end of a command


if __name__ == "__main__":
    _main()
