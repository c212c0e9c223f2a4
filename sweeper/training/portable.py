"""A trained network as one Keras model made of nothing but what Keras has: raw images in, probabilities out.

Any process that has Keras reads such a model, without this package. Layers that are not Keras' own, such as layer scale or
attention within windows, are written out as the operations that their `call` consists of. Their weights become those of
embeddings with one row, which are layers of Keras.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from sweeper.errors import InputError
from sweeper.training.recipe import Recipe
from sweeper.training.resizing import resized
from sweeper.training.scaling import standardised
from sweeper.training.task import Task
from sweeper.training.weights.pretrained import Pretrained


def portable(network: Any, task: Task, recipe: Recipe, *, pretrained: Pretrained | None = None, fit: str = "crop") -> Any:
    """The model: images (batch, height, width, channels) of any height and width to probabilities (batch, classes), float32.

    Args:
        network: With trained weights, as `sweeper.training.predicting.restored` gives it; its layers are shared, not copied.
        task: What it was trained for.
        recipe: How it was trained.
        pretrained: The weights it began with, if it did.
        fit: What becomes of an image of another shape than the task's, see `sweeper.training.resizing.resized`.

    Raises:
        InputError: A layer cannot be written as operations of Keras.
    """
    height, width, channels = task.input_shape
    images = keras.Input((None, None, channels), dtype=task.image_dtype, name="images")
    x = resized(images, (height, width), fit=fit, is_rounded=task.image_dtype == "uint8")
    x = standardised(x, task, recipe, pretrained)
    # Auxiliary heads are for training only.
    head = keras.Model(network.input, network.output[0], name=network.name) if isinstance(network.output, list) else network
    logits = _of_keras_alone(head)(x)
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(logits)
    return keras.Model(images, probabilities, name=network.name)


def foreign(model: Any) -> list[Any]:
    """The layers of a model that are not Keras' own, wherever they are in it."""
    return [layer for layer in model._flatten_layers() if not type(layer).__module__.startswith("keras.")]


def _of_keras_alone(network: Any) -> Any:
    """The network with the layers of others written out; those inside such layers come to light one level at a time."""

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return _written_out(layer, args, kwargs) if type(layer).__module__.split(".")[0] != "keras" else layer(*args, **kwargs)

    while foreign(network):
        network = keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)
    return network


def _written_out(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a layer gives, as the operations of its `call`.

    Raises:
        InputError: It does not consist of operations of Keras, or has weights in other places than its attributes.
    """
    if "training" in inspect.signature(layer.call).parameters:
        kwargs = {**kwargs, "training": False}
    for inner in layer._layers:
        if not inner.name.startswith(f"{layer.name}_"):  # names are unique in a layer, and shall be in the model
            inner.name = f"{layer.name}_{inner.name}"
    if layer.autocast:
        args = tuple(_cast(arg, layer.compute_dtype) for arg in args)
    try:
        with _symbolic_weights(layer, args[0]):
            return layer.call(*args, **kwargs)
    except Exception as error:
        raise InputError(
            f"layer {layer.name} ({type(layer).__name__}) cannot be written as operations of Keras, which a model needs that "
            f"is read without its code: {error}. Write its call with keras.ops alone, for any number of images."
        ) from error


@contextlib.contextmanager
def _symbolic_weights(layer: Any, anchor: Any) -> Iterator[None]:
    """In the block, the attributes of a layer that are weights are symbolic tensors of the same values."""
    kept = {name: value for name, value in vars(layer).items() if isinstance(value, keras.Variable)}
    own = [*layer._trainable_variables, *layer._non_trainable_variables]
    if any(all(variable is not value for value in kept.values()) for variable in own):
        raise ValueError("some of its weights are not attributes of it")
    try:
        for name, variable in kept.items():
            vars(layer)[name] = _as_tensor(variable, f"{layer.name}_{name}", anchor, layer.compute_dtype)
        yield
    finally:
        vars(layer).update(kept)


def _as_tensor(variable: Any, name: str, anchor: Any, dtype: str) -> Any:
    """A weight as a symbolic tensor: the only row of an embedding, which takes its index, 0, from any tensor there is."""
    zero = ops.zeros_like(ops.max(ops.reshape(anchor, (1, -1)), axis=1), dtype="int32")
    embedding = keras.layers.Embedding(1, math.prod(variable.shape), dtype="float32", name=name)
    row = embedding(zero)
    embedding.embeddings.assign(ops.reshape(variable, (1, -1)))
    return _cast(ops.reshape(row, tuple(variable.shape)), dtype)


def _cast(tensor: Any, dtype: str) -> Any:
    """Floating-point tensors as others; all else as it is."""
    is_float = keras.backend.is_float_dtype(getattr(tensor, "dtype", ""))
    return ops.cast(tensor, dtype) if is_float and keras.backend.standardize_dtype(tensor.dtype) != dtype else tensor
