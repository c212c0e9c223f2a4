"""The model of a trial as a file: made beside its place, read back, checked against what is recorded, put into its place."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper import catalog
from sweeper.driver import weights
from sweeper.driver.launch import load_dataset
from sweeper.driver.retrain import Recorded, recorded
from sweeper.errors import InputError, ResultsFolderError, SweeperError, UnknownNameError
from sweeper.models.verifying import Bounds, bounds_of, check, validation_of
from sweeper.storage import explain, place
from sweeper.training.devices import environment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sweeper.datasets import Dataset
    from sweeper.driver.opened import OpenedStudy
    from sweeper.search.trial import Trial
    from sweeper.study.spec import StudySpec
    from sweeper.training.checkpoint import Checkpoint

FORMATS = {"keras": ".keras", "savedmodel": "", "onnx": ".onnx", "litert": ".tflite"}
"""Formats, and how the name of such a file ends; a SavedModel is a folder of any other name."""

PACKAGES = {"keras": (), "savedmodel": ("tensorflow",), "onnx": ("tensorflow", "tf2onnx", "onnx"), "litert": ("tensorflow",)}
"""What a format needs beside Keras."""

COMPARED = 256
"""Validation images on which another format is compared with the Keras model."""

BATCH = 256
"""Images that are predicted at once."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exported:
    """A model that was written.

    Args:
        file: Where: a file, or a folder for ``savedmodel``.
        kind: One of `FORMATS`.
        trial: Whose weights it has.
        architecture: Name in the catalog.
        classes: Their names, in the order of the probabilities.
        input_shape: (height, width, channels) that images are brought to.
        image_dtype: ``uint8`` from 0 to 255, or ``float32`` from 0 to 1.
        fit: What becomes of images of another shape, see `sweeper.training.resizing.resized`.
        images: Number of validation images it was checked on.
        val_accuracy: Its accuracy on them.
        recorded: The validation accuracy in the trial's row.
        prediction_difference: Largest difference to the probabilities kept of a confirmed trial; None where none were.
        other_difference: Largest difference between this format and the Keras model; None for that itself, or if unchecked.
        dataset: Name in the catalog.
        licence: Of the data.
        source: Of the data.
        train_images: Number of training images.
    """

    file: Path
    kind: str
    trial: str
    architecture: str
    classes: tuple[str, ...]
    input_shape: tuple[int, int, int]
    image_dtype: str
    fit: str
    images: int
    val_accuracy: float
    recorded: float
    prediction_difference: float | None
    other_difference: float | None
    dataset: str
    licence: str
    source: str
    train_images: int

    @property
    def is_exact(self) -> bool:
        """Whether it is right for as many validation images as is recorded."""
        return round(self.val_accuracy * self.images) == round(self.recorded * self.images)


def export_model(
    opened: OpenedStudy, trial: Trial, stored: Checkpoint, file: Path, *, kind: str | None = None, force: bool = False
) -> Exported:
    """Write the model of a trial, and beside it ``FILE.json`` with the names of its classes.

    Keras runs here on the backend of the study, or on the one that this process already has.

    Args:
        opened: The study.
        trial: One of its trials.
        stored: Its state, as `sweeper.models.choosing.weights_of` gives it.
        file: Where.
        kind: One of `FORMATS`; None for what the name of the file says.
        force: Whether an older model may be replaced.

    Raises:
        InputError: The format cannot be written here, the file exists or cannot be written, or the data are not there.
        SweeperError: The model does not give what is recorded; nothing is written then.
    """
    kind = checked(file, kind, force=force)
    record = recorded(opened.events, trial.trial)
    dataset = load_dataset(opened.first)
    validation, rows = validation_of(record, dataset)
    try:
        with tempfile.TemporaryDirectory(prefix=".sweeper-model-", dir=file.parent) as folder:
            made = Path(folder) / "model.keras"
            _write_keras(opened.spec, record, dataset, stored, made)
            found = _predicted(made, validation.images)
            facts = check(opened, record, dataset, validation, rows, found)
            difference = None
            if kind != "keras":
                target = Path(folder) / f"other{FORMATS[kind]}"
                difference = _convert(made, target, kind, validation.images, bounds_of(opened.spec))
                made = target
            exported = Exported(file=file, kind=kind, other_difference=difference, **_told(opened, record, dataset), **facts)
            _put(made, file)
            Path(f"{file}.json").write_text(json.dumps(sidecar(exported), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ResultsFolderError(explain(error, place(str(file)))) from error
    return exported


def checked(file: Path, kind: str | None, *, force: bool) -> str:
    """The format that a file is to have, once it is known that it can be written there.

    Raises:
        InputError: No such format, a name that does not fit it, a package that is missing, a file that exists, no such folder.
    """
    if kind is None:
        kind = next((name for name, ending in FORMATS.items() if ending and file.name.endswith(ending)), None)
        if kind is None:
            endings = ", ".join(f"{ending} ({name})" for name, ending in FORMATS.items() if ending)
            raise InputError(f"{file}: the name says no format; let it end in {endings}, or give --format savedmodel.")
    if kind not in FORMATS:
        raise UnknownNameError("format", kind, FORMATS)
    if not file.name.endswith(FORMATS[kind]):
        raise InputError(f"{file}: the name of a file in format {kind} ends in {FORMATS[kind]}; name it so.")
    missing = [name for name in PACKAGES[kind] if importlib.util.find_spec(name) is None]
    if missing:
        others = [name for name in FORMATS if all(importlib.util.find_spec(package) for package in PACKAGES[name])]
        raise InputError(
            f"format {kind} needs what is not installed here: {', '.join(missing)}. Install it (pip install "
            f"{' '.join(missing)}), or choose another format: {', '.join(others)}."
        )
    if not file.parent.is_dir():
        raise InputError(f"{file.parent} is no folder. Make it, or name another one.")
    if not os.access(file.parent, os.W_OK):
        raise InputError(f"{file.parent} is not writable. Change its permissions, or choose another folder.")
    _check_place(file, kind, force=force)
    return kind


def _check_place(file: Path, kind: str, *, force: bool) -> None:
    """Raise `InputError` if something is there that is not to be replaced."""
    there = [path for path in (file, Path(f"{file}.json"), Path(f"{file}.md")) if os.path.lexists(path)]
    if there and not force:
        raise InputError(f"{there[0]} exists. Choose another name, or replace it with --force.")
    is_model = (file / "saved_model.pb").is_file() if kind == "savedmodel" else not file.is_dir()
    if os.path.lexists(file) and not is_model:
        what = "a SavedModel" if kind == "savedmodel" else "a file"
        raise InputError(f"{file} is not {what}, so it is not replaced. Choose another name.")


def sidecar(exported: Exported) -> dict[str, Any]:
    """What a program that loads the model needs to know beside it: ``FILE.json``."""
    height, width, channels = exported.input_shape
    return {
        "class_names": list(exported.classes),
        "input": {
            "shape": ["any", "any", "any", channels],
            "dtype": exported.image_dtype,
            "largest": 255 if exported.image_dtype == "uint8" else 1,
            "channels": "red, green, blue" if channels == 3 else "grey" if channels == 1 else str(channels),
            "resized_to": [height, width],
            "fit": exported.fit,
        },
        "output": "probabilities, in the order of class_names",
        "format": exported.kind,
        "val_accuracy": exported.val_accuracy,
    }


def _fit(spec: StudySpec) -> str:
    return str(spec.dataset.options.get("fit", "crop"))


def _write_keras(spec: StudySpec, record: Recorded, dataset: Dataset, stored: Checkpoint, file: Path) -> None:
    """The model as a ``.keras`` file; its layers compute as those of the study do."""
    begun = record.assignment
    given = weights.weights_of(begun.architecture, begun.configuration, begun.arm, dataset, spec.training)
    pretrained = next(iter(given.values()), None)
    if "keras" not in sys.modules:  # otherwise on the backend that this process has: numbers are the same but for rounding
        if importlib.util.find_spec(spec.training.backend) is None:
            raise InputError(f"the study was trained with the backend {spec.training.backend}, which is not installed here.")
        os.environ.update(environment(spec.training, spec.resources_of(begun.arm), str(file.parent / "keras")))
    import keras

    from sweeper.training.portable import portable
    from sweeper.training.predicting import restored
    from sweeper.training.recipe import Recipe
    from sweeper.training.task import Task

    task = Task.of(dataset.train, dataset.num_classes)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(spec.training.precision)
    try:
        _, network = restored(begun.architecture, begun.configuration, task, stored, pretrained)
        model = portable(network, task, Recipe.of(begun.configuration), pretrained=pretrained, fit=_fit(spec))
    finally:
        keras.config.set_dtype_policy(before)
    model.save(file)


def _predicted(file: Path, images: NDArray[Any]) -> NDArray[Any]:
    """What the model in a file says of images, (images, classes); the file is read as anybody would."""
    import keras
    import numpy as np

    model = keras.models.load_model(file)
    parts = [images[begin : begin + BATCH] for begin in range(0, len(images), BATCH)]
    return np.concatenate([np.asarray(model.predict_on_batch(np.asarray(part))) for part in parts])


def _told(opened: OpenedStudy, record: Recorded, dataset: Dataset) -> dict[str, Any]:
    function = catalog.load("dataset", dataset.name)
    return {
        "trial": record.assignment.trial,
        "architecture": record.assignment.architecture,
        "classes": dataset.class_names,
        "input_shape": dataset.input_shape,
        "image_dtype": str(dataset.train.images.dtype),
        "fit": _fit(opened.spec),
        "dataset": dataset.name,
        "licence": function.licence,
        "source": function.source,
        "train_images": len(dataset.train),
    }


def _convert(source: Path, target: Path, kind: str, images: NDArray[Any], bounds: Bounds) -> float | None:
    """Write another format, in a process that has Keras on TensorFlow and none of this package; the largest difference.

    Raises:
        SweeperError: The format cannot hold this model, or gives other numbers.
    """
    import numpy as np

    sample = target.with_name("images.npy")
    np.save(sample, np.asarray(images[:COMPARED]), allow_pickle=False)
    script = Path(__file__).with_name("convert.py")
    command: Sequence[str] = [sys.executable, "-I", str(script), str(source), str(target), kind, str(sample)]
    variables: Mapping[str, str] = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "KERAS_HOME": str(target.parent / "keras"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise SweeperError(f"the model cannot be written as {kind}; nothing was written. Choose another format.\n{tail}")
    difference: float | None = json.loads(done.stdout.splitlines()[-1])["largest_difference"]
    if difference is not None and not difference <= bounds.probability:
        raise SweeperError(
            f"as {kind} the model gives probabilities that differ by up to {difference:.3g} from those of Keras; nothing was "
            "written. Choose another format."
        )
    return difference


def _put(made: Path, file: Path) -> None:
    """Move what was made to its place, whole, also over an older model."""
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    os.replace(made, file)
