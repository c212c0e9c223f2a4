"""Every architecture as a model of Keras' own layers, read where this package is not; resizing as Pillow does it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from sweeper import catalog
from sweeper.datasets._images import FITS, _square
from sweeper.errors import InputError
from sweeper.training.portable import foreign, portable
from sweeper.training.predicting import probabilities
from sweeper.training.program import build
from sweeper.training.recipe import Recipe
from sweeper.training.resizing import resized
from sweeper.training.task import Task

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("framework")]

TASK = Task(
    input_shape=(8, 8, 1), num_classes=5, image_dtype="uint8", mean=(0.3,), deviation=(0.2,), class_counts=(1, 1, 1, 1, 1)
)

OWN_LAYERS = {
    "convnext": {"layer_scale": 0.1},
    "googlenet": {"auxiliary_heads": True},
    "hybrid": {"pooling": "sequence", "positions": "sincos"},
    "resnet": {"attention": "cbam"},
    "swin": {"window_size": 3},
    "vit": {"pooling": "class_token", "positions": "random"},
}
"""Options with which a network has layers of its own, or another head."""

READER = """
import json, sys
import keras, numpy as np
differences = {}
for name in sys.argv[1:]:
    model = keras.models.load_model(f"{name}.keras")
    differences[name] = float(np.abs(model.predict(np.load("images.npy"), verbose=0) - np.load(f"{name}.npy")).max())
print(json.dumps({"ours": [name for name in sys.modules if name.split(".")[0] in ("sweeper", "architectures")], **differences}))
"""


def made(name: str, **knobs: Any) -> tuple[Any, Any, dict[str, Any]]:
    """A model as it is trained, the same as a portable one, and its configuration; no weight is as it began."""
    configuration = {**catalog.load("architecture", name).tiny, **OWN_LAYERS.get(name, {}), **knobs}
    model, network = build(name, configuration, TASK, init_seed=0, augmentation_seed=0)
    generator = np.random.default_rng(0)
    for weight in network.trainable_variables:
        weight.assign(weight + generator.normal(0, 0.05, weight.shape).astype("float32"))
    return model, portable(network, TASK, Recipe.of(configuration)), configuration


def images(number: int = 3, side: int = 8) -> Any:
    return np.random.default_rng(1).integers(0, 256, (number, side, side, 1), dtype=np.uint8)


def test_every_architecture_is_read_without_us_and_gives_the_same_numbers(tmp_path: Path) -> None:
    names = catalog.names("architecture")
    np.save(tmp_path / "images.npy", images())
    for name in names:
        model, taken, _ = made(name)
        assert not foreign(taken), name
        taken.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", probabilities(model, images(), TASK.num_classes))
    (tmp_path / "reader.py").write_text(READER)
    environment = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "HOME": str(tmp_path)}
    command = [sys.executable, "-I", "reader.py", *names]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("ours") == []
    assert found.keys() == set(names)
    assert max(found.values()) < 1e-5, found


def test_auxiliary_heads_are_cut_and_weights_of_own_layers_are_all_there() -> None:
    _, taken, _ = made("googlenet")
    assert taken.output_shape == (None, TASK.num_classes)
    assert not any("auxiliary" in layer.name for layer in taken._flatten_layers())
    for name in ("vit", "swin", "convnext"):
        model, taken, _ = made(name)
        assert taken.count_params() == model.count_params(), name


def test_half_precision_stays_as_it_was_trained(half_precision: None) -> None:
    model, taken, _ = made("vit")
    said = keras.ops.convert_to_numpy(taken(images()))
    assert said.dtype == np.float32
    assert np.abs(said - probabilities(model, images(), TASK.num_classes)).max() < 2e-3


@keras.saving.register_keras_serializable("tests")
class Listed(keras.layers.Layer):  # type: ignore[misc]
    """Its weights are in a list."""

    def build(self, input_shape: Any) -> None:
        self.all = [self.add_weight(name="factor", shape=(input_shape[-1],))]

    def call(self, x: Any) -> Any:
        return x * self.all[0]


def test_a_layer_that_cannot_be_written_out_is_named() -> None:
    image = keras.Input((8, 8, 1))
    x = Listed(name="mine")(keras.layers.Flatten()(image))
    network = keras.Model(image, keras.layers.Dense(5)(x))
    with pytest.raises(InputError, match=r"layer mine \(Listed\) cannot be written .*: some of its weights are not attributes"):
        portable(network, TASK, Recipe.of({}))


# ------------------------------------------------------------------------------------------------------ images of any size


def resizer(fit: str, *, is_rounded: bool = True) -> keras.Model:
    raw = keras.Input((None, None, 3), dtype="uint8" if is_rounded else "float32")
    return keras.Model(raw, resized(raw, (12, 12), fit=fit, is_rounded=is_rounded))


@pytest.mark.parametrize("fit", FITS)
def test_images_are_resized_as_pillow_does_it(fit: str) -> None:
    model, generator = resizer(fit), np.random.default_rng(2)
    for height, width in ((12, 12), (24, 24), (13, 12), (12, 31), (50, 37), (5, 9), (2, 3), (101, 64)):
        image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        found = keras.ops.convert_to_numpy(model(image[None]))[0]
        apart = np.abs(found - _square(Image.fromarray(image), 12, fit))
        assert apart.max() <= 1, (height, width)
        assert (apart > 0).mean() < 0.06, (height, width)  # of noise, the worst there is


@pytest.mark.parametrize("fit", FITS)
def test_an_image_of_the_right_size_stays_as_it_is(fit: str) -> None:
    image = np.random.default_rng(3).random((4, 12, 12, 3)).astype("float32")
    assert np.array_equal(keras.ops.convert_to_numpy(resizer(fit, is_rounded=False)(image)), image)
    whole = np.round(image * 255).astype("uint8")
    assert np.array_equal(keras.ops.convert_to_numpy(resizer(fit)(whole)), whole)
