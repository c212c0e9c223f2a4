"""A network sees images as the one whose weights it has saw them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from sweeper.training.program import build
from sweeper.training.weights.applications import APPLICATIONS, Application
from sweeper.training.weights.pretrained import Pretrained, weights_in_order
from tests.weights import miniature as tiny
from tests.weights.miniature import GREY, SHAPE, asking, find, loaded, pixels, task_of

pytestmark = pytest.mark.usefixtures("framework", "released")

Array = np.ndarray[Any, Any]

FAMILIES = {entry.architecture: entry for entry in reversed(APPLICATIONS)}
"""The first network of each architecture."""


def logits_and_head(
    given: Pretrained, configuration: dict[str, Any], images: Array, architecture: str
) -> tuple[Array, keras.Model]:
    """What our program gives for raw images, and its head: all from the first layer on that begins at random."""
    task = task_of(images.shape[1:], str(images.dtype))
    model, network = build(architecture, configuration, task, init_seed=1, augmentation_seed=2, pretrained=given)
    is_random = {id(weight) for weight, array in zip(weights_in_order(network), given.arrays, strict=True) if array is None}
    first = next(layer for layer in network.layers if any(id(weight) in is_random for weight in layer.weights))
    logits = np.asarray(model([images, np.zeros((len(images), 3), "float32")]))[:, :3]
    return logits, keras.Model(first.input, network.output)


def expected(body: keras.Model, seen: Array, head: keras.Model) -> Array:
    """What their network without a head, and then our head, give for what they are shown."""
    features = np.asarray(body(seen))
    return np.asarray(head(features.reshape(len(features), -1)))


@pytest.mark.long
@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize(
    ("preprocess", "kind", "has_statistics"),
    [
        pytest.param(preprocess, kind, (row + column) % 2 == 1, id=f"{name}-{kind}")  # both with either
        for row, (name, preprocess) in enumerate((("caffe", tiny.CAFFE), ("torch", tiny.TORCH), ("tf", tiny.TF)))
        for column, kind in enumerate(("uint8", "float32", "grey"))
    ],
)
def test_a_network_sees_what_it_saw_when_it_was_trained(
    preprocess: Any, kind: str, has_statistics: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tiny.install(monkeypatch, preprocess, has_statistics=has_statistics)
    tiny.write(tmp_path, entry)
    shape = GREY if kind == "grey" else SHAPE
    raw = pixels(shape)
    given = loaded(tmp_path, shape)
    assert given.is_bgr == (preprocess is tiny.CAFFE)
    colour = raw.repeat(3, axis=-1) if kind == "grey" else raw
    theirs = entry.build_body(weights=None, input_shape=SHAPE)
    theirs.load_weights(tmp_path / entry.file)
    theirs = keras.Model(theirs.input, keras.layers.GlobalAveragePooling2D()(theirs.output))
    seen = preprocess(colour.astype("float64"))
    images = (raw / 255).astype("float32") if kind == "float32" else raw
    ours, head = logits_and_head(given, tiny.FIXED, images, "resnet")
    assert ours.std() > 0.1
    np.testing.assert_allclose(ours, expected(theirs, seen, head), rtol=1e-5, atol=1e-4)  # images of float32 are as coarse


@pytest.mark.long
@pytest.mark.usefixtures("double_precision")
@pytest.mark.filterwarnings("ignore:.input_shape. is undefined")  # of images for which there is no file of their own
@pytest.mark.parametrize("entry", FAMILIES.values(), ids=lambda entry: entry.name)
def test_published_networks_see_what_keras_shows_them(
    entry: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against Keras's own network with its weights of ImageNet, which come from a file of ours."""
    from keras.src.utils import file_utils

    from tests.test_equality import randomize

    name = entry.name
    module = next(part for part in vars(keras.applications).values() if hasattr(part, name) and hasattr(part, "preprocess_input"))
    shape = (32, 32, 3)
    random.seed(0)
    body = entry.build_body(weights=None, input_shape=shape)
    has_batches = any(isinstance(layer, keras.layers.BatchNormalization) for layer in body.layers)
    raw = pixels(shape, count=16 if has_batches else 4)  # the statistics of few images would hide the rest
    seen = module.preprocess_input(raw.astype("float64"))
    for layer in body.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:  # their file has deviations in the place of variances
            layer.set_weights([np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]), np.array(1)])
            layer.finalize_state()
    body.save(tmp_path / entry.file)
    monkeypatch.setattr(file_utils, "get_file", lambda fname, *arguments, **options: str(tmp_path / fname))
    # The dense layers of a VGG, which begin at random, are given every position.
    pooling = None if entry.architecture == "vgg" else "avg"
    theirs = entry.build_body(weights="imagenet", pooling=pooling, input_shape=shape)
    randomize(theirs, seen, np.random.default_rng(0))
    theirs.save(tmp_path / entry.file)
    arm = asking(architecture=entry.architecture, **entry.arguments, weights="imagenet")
    found = find(arm, folder=tmp_path, shape=shape)
    assert found.faults == []
    given = found.networks[entry.file]
    ours, head = logits_and_head(given, dict(arm.fixed), raw, entry.architecture)
    wanted = expected(theirs, seen, head)
    spread = wanted.std(axis=0).mean()
    assert spread > 1e-4, "the images are hardly told apart, so equal logits prove little"
    np.testing.assert_allclose(ours / spread, wanted / spread, atol=1e-4)
