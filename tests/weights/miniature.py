"""A network of Keras Applications in miniature, with a file of random weights, for tests of what begins with weights."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from architectures._blocks import batch_normalization, convolution
from sweeper.driver import weights as transfer
from sweeper.training.task import Task
from sweeper.training.weights import applications, files
from sweeper.training.weights.applications import Application, in_order_made
from sweeper.training.weights.pretrained import Asking, Pretrained

FILE = "tiny_notop.h5"

SHAPE = (16, 16, 3)
GREY = (16, 16, 1)

KNOBS: dict[str, Any] = {"blocks_per_stage": "1-1-1", "width": 4}
"""Of the architecture resnet, which gives the miniature network."""

FIXED: dict[str, Any] = {
    **KNOBS, "block": "basic", "stem": "small", "stride_on": "conv3x3", "attention": "none", "weights": "imagenet",
    "optimizer": "adam", "batch_size": 16, "learning_rate": 0.01,
}  # fmt: skip

CAFFE = keras.applications.resnet.preprocess_input
TORCH = keras.applications.densenet.preprocess_input
TF = keras.applications.mobilenet_v2.preprocess_input


def tiny_net(
    *,
    weights: str | None = None,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    include_top: bool = True,
    classes: int = 1000,
    classifier_activation: str | None = None,
    has_statistics: bool = False,
) -> keras.Model:
    """What functions of Keras Applications are; `has_statistics` lets the model scale pixels by statistics of its own."""
    if weights is not None:
        raise OSError("URL fetch failure on https://example.org/tiny_notop.h5: no network\nmore")
    x = image = keras.Input(input_shape)
    if has_statistics:
        x = keras.layers.Normalization(axis=-1)(keras.layers.Rescaling(1 / 255)(x))
    x = keras.layers.ReLU()(batch_normalization(convolution(x, 4, 3)))
    for filters, strides in ((4, 1), (8, 2), (16, 2)):
        shortcut = x if strides == 1 else batch_normalization(convolution(x, filters, 1, strides=strides))
        x = keras.layers.ReLU()(batch_normalization(convolution(x, filters, 3, strides=strides)))
        x = keras.layers.Add()([shortcut, batch_normalization(convolution(x, filters, 3))])
        x = keras.layers.ReLU()(x)
    if include_top:
        x = keras.layers.Dense(classes, activation=classifier_activation)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, x)


def install(patch: pytest.MonkeyPatch, preprocess: Any = CAFFE, **options: Any) -> Application:
    """Put the miniature network in the place of all that Keras Applications has."""
    entry = Application(
        architecture="resnet", arguments=KNOBS, name="TinyNet", order=in_order_made, options=options, weights=FILE
    )
    patch.setattr(keras.applications, "TinyNet", tiny_net, raising=False)
    patch.setattr(keras.applications, "tiny", SimpleNamespace(TinyNet=tiny_net, preprocess_input=preprocess), raising=False)
    patch.setattr(applications, "APPLICATIONS", (entry,))
    return entry


def randomise(model: keras.Model, seed: int = 0) -> keras.Model:
    """Give a model weights, also where they begin as ones or zeros; variances stay positive."""
    draw = np.random.default_rng(seed)
    for layer in model.layers:
        for weight in layer.weights:
            low, high = (0.5, 1.5) if len(weight.shape) == 1 else (-0.4, 0.4)
            if "int" not in weight.dtype:
                weight.assign(draw.uniform(low, high, weight.shape).astype("float32"))
    return model


def write(folder: Path, entry: Application, seed: int = 0) -> keras.Model:
    """A file of random weights as Keras has them; gives the model they came from."""
    folder.mkdir(exist_ok=True)
    random.seed(seed)
    body = randomise(entry.build_body(weights=None, input_shape=files.THEIR_SHAPE), seed)
    body.save(folder / entry.file)
    return body


def in_this_process(patch: pytest.MonkeyPatch) -> None:
    """Read files of weights in this process, which knows of the miniature network."""

    def run(folder: Path, training: Any) -> Any:
        files.main(folder)
        return json.loads((folder / "answer.json").read_text())

    patch.setattr(transfer, "run", run)


def asking(name: str = "arm", architecture: str = "resnet", space: str | None = None, **fixed: Any) -> Asking:
    return Asking(name=name, architecture=architecture, space=space, recipe=None, fixed=fixed)


def find(*arms: Asking, folder: Path | None, shape: tuple[int, int, int] = SHAPE, **options: Any) -> files.Found:
    return files.find(arms, shape, 3, folder=folder and str(folder), **options)


def loaded(folder: Path, shape: tuple[int, int, int] = SHAPE) -> Pretrained:
    found = find(asking(**FIXED), folder=folder, shape=shape)
    assert found.faults == []
    return found.networks[FILE]


def task_of(shape: tuple[int, int, int], image_dtype: str = "uint8") -> Task:
    channels = shape[2]
    return Task(
        input_shape=shape, num_classes=3, image_dtype=image_dtype, mean=(0.3,) * channels, deviation=(0.2,) * channels,
        class_counts=(8, 8, 8),
    )  # fmt: skip


def pixels(shape: tuple[int, int, int], count: int = 6) -> np.ndarray[Any, Any]:
    return np.random.default_rng(4).integers(0, 256, (count, *shape)).astype("uint8")
