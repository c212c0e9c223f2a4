"""What a trained network makes of one image: its feature maps, where its attention goes, how open its channel gates are.

The network is run once, layer by layer, and what passes is looked at: the maps at the end of each block
(`sweeper.training.measuring.blocks`), the scores of `keras.layers.MultiHeadAttention`, the map that any other layer gives with a
method ``attention_map(tokens)``, and channels that are multiplied with one number each from 0 to 1.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from sweeper.training.measuring.blocks import ends
from sweeper.training.measuring.measure import inference_network

Numbers = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureMap:
    """What a block gives.

    Args:
        stage: Title of the block.
        values: (height, width, channels); tokens of patches in the places of their patches.
    """

    stage: str
    values: Numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionMap:
    """Where the attention of a layer goes; 1 is the attention a place gets when all get the same.

    Args:
        stage: Title of the block.
        by: Whose attention: ``class token``, ``all tokens`` (summed), or ``pooling`` (weights of a mean over tokens).
        values: (height, width, heads). Over all places they have the mean 1, or less by what the class token keeps for itself.
    """

    stage: str
    by: str
    values: Numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """Numbers that channels are multiplied with, as by squeeze-and-excitation.

    Args:
        stage: Title of the block.
        weights: One per channel, from 0 to 1.
    """

    stage: str
    weights: Numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Activations:
    """What a network makes of one image, each in the order in which it is computed.

    Args:
        probabilities: One per class.
        feature_maps: At the end of each block that gives a map.
        attention: Of each layer of attention.
        gates: Of each gate over channels.
    """

    probabilities: Numbers
    feature_maps: tuple[FeatureMap, ...]
    attention: tuple[AttentionMap, ...]
    gates: tuple[Gate, ...]


def activations(model: Any, image: NDArray[Any]) -> Activations:
    """Run a model on an image and look inside.

    Args:
        model: As `sweeper.training.predicting.restored` gives it.
        image: (height, width, channels), of the type and range of the training images.
    """
    network = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    entry = []

    def enter(operation: Any, *args: Any, **kwargs: Any) -> Any:
        if operation is network:
            entry.append(args[0])
        return _called(operation, *args, **kwargs)

    num_classes = model.inputs[1].shape[-1]
    inputs = [ops.convert_to_tensor(image[None]), ops.zeros((1, num_classes))]
    # Keras has no public walk over a graph; this method has had this form since Keras 3.0.
    model._run_through_graph(inputs, operation_fn=_with(enter))
    inner = inference_network(network)
    recorder = _Recorder()
    logits = inner._run_through_graph(entry[0], operation_fn=_with(recorder.record))
    return recorder.found(ends(inner), _numbers(ops.softmax(keras.tree.flatten(logits)[0])))


def _with(run: Callable[..., Any]) -> Callable[[Any], Callable[..., Any]]:
    return lambda operation: functools.partial(run, operation)


def _called(operation: Any, *args: Any, **kwargs: Any) -> Any:
    """What an operation gives outside of training, which layers of augmentation have to be told."""
    takes = isinstance(operation, keras.layers.Layer) and "training" in inspect.signature(operation.call).parameters
    return operation(*args, **kwargs | ({"training": False} if takes else {}))


def _numbers(tensor: Any) -> Numbers:
    """The values of a single image, without the batch."""
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32"))[0])


class _Recorder:
    """Calls the operations of a graph one after another and keeps what they show, with the place of the call."""

    def __init__(self) -> None:
        self._maps: list[Numbers | None] = []
        self._attention: list[tuple[int, str, Numbers]] = []
        self._gates: list[tuple[int, Numbers]] = []
        self._sides = (0, 0)

    def record(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        """Call one operation, keep what it shows, and give its outputs."""
        if isinstance(operation, keras.layers.MultiHeadAttention):
            outputs, scores = _called(operation, *args, **kwargs, return_attention_scores=True)
            self._attend(_numbers(scores))
        else:
            outputs = _called(operation, *args, **kwargs)
        if hasattr(operation, "attention_map"):
            self._receive(_numbers(operation.attention_map(*args)))
        if type(operation).__name__ == "Multiply":
            self._multiply([factor for factor in keras.tree.flatten(args) if ops.is_tensor(factor)])
        first = keras.tree.flatten(outputs)[0]
        if len(first.shape) == 4:
            self._sides = tuple(first.shape[1:3])
        self._maps.append(self._on_map(_numbers(first)))
        return outputs

    def found(self, ends: list[tuple[str, int]], probabilities: Numbers) -> Activations:
        """Everything, by the titles of the blocks and the places of their last calls."""

        def stage(place: int) -> str:
            return next(title for title, end in ends if place <= end)

        maps = [(title, self._maps[end]) for title, end in ends]
        return Activations(
            probabilities=probabilities,
            feature_maps=tuple(FeatureMap(stage=title, values=values) for title, values in maps if values is not None),
            attention=tuple(AttentionMap(stage=stage(place), by=by, values=values) for place, by, values in self._attention),
            gates=tuple(Gate(stage=stage(place), weights=weights) for place, weights in self._gates),
        )

    def _on_map(self, values: Numbers) -> Numbers | None:
        """A map, or tokens in the places of their patches, without the class token; None for anything else."""
        height, width = self._sides
        if values.ndim == 2 and len(values) in (height * width, height * width + 1) and height * width > 0:
            return values[-height * width :].reshape(height, width, -1)
        return values if values.ndim == 3 else None

    def _attend(self, scores: Numbers) -> None:
        """Scores (heads, queries, keys); those of anything but the places of a map are not shown."""
        _, queries, keys = scores.shape
        has_class_token = keys == self._sides[0] * self._sides[1] + 1
        received = scores[:, 0] * keys if has_class_token else scores.sum(axis=1) * (keys / queries)
        values = self._on_map(received.T)
        if values is not None:
            self._attention.append((len(self._maps), "class token" if has_class_token else "all tokens", values))

    def _receive(self, shown: Numbers) -> None:
        """What a layer says of itself: (height, width, heads) of tokens that attend to each other, (tokens, heads) of a mean."""
        values = self._on_map(shown)
        if values is not None:
            self._attention.append((len(self._maps), "all tokens" if shown.ndim == 3 else "pooling", values))

    def _multiply(self, factors: list[Any]) -> None:
        """A map and a number from 0 to 1 for each of its channels."""
        if len(factors) != 2 or any(len(factor.shape) != 4 for factor in factors) or factors[0].shape[-1] != factors[1].shape[-1]:
            return
        gate = next((factor for factor in reversed(factors) if tuple(factor.shape[1:3]) == (1, 1)), None)
        if gate is not None:
            weights = _numbers(gate)[0, 0]
            if weights.min() >= 0 and weights.max() <= 1:
                self._gates.append((len(self._maps), weights))
