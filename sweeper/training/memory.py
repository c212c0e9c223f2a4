"""Memory of a built Keras model: of its weights, and of what its layers give.

Activations are counted from the graph of the model, for one image: the output of every call of a layer or operation, each once,
also where a framework would work in place or give a view. What happens inside a layer, such as the scores of attention, is not
seen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TypedDict

import keras

from sweeper.training.measure import Call, calls

MB = 1e6


class Memory(TypedDict):
    """What `memory_of` tells, in MB.

    `weights_mb` has all weights, those that are not trained included. `activation_mb` is the sum of all outputs, the most that
    training keeps for the way back, for each image of a batch. `peak_activation_mb` is the most that is needed at once to go
    through the graph in order, when an output is given up after its last use, as in inference.
    """

    weights_mb: float
    activation_mb: float
    peak_activation_mb: float


def memory_of(model: keras.Model) -> Memory:
    """Memory of the weights of a model, and of its activations for one image.

    Args:
        model: As for `sweeper.training.measure.count_macs`.

    Raises:
        SweeperError: As `sweeper.training.measure.count_macs`.
    """
    graph = calls(model)
    sizes = [math.prod(call.shape) * _bytes(_dtype(call.operation)) for call in graph]
    image = sum(math.prod(tensor.shape[1:]) * _bytes(tensor.dtype) for tensor in model.inputs)
    weights = sum(math.prod(weight.shape) * _bytes(weight.dtype) for weight in model.weights)
    return Memory(
        weights_mb=weights / MB,
        activation_mb=sum(sizes) / MB,
        peak_activation_mb=_peak(graph, sizes, image) / MB,
    )


def _peak(graph: Sequence[Call], sizes: Sequence[int], image: int) -> int:
    """The most bytes alive at once; what nothing reads is an output of the model, and stays to the end."""
    last_use = {source: place for place, call in enumerate(graph) for source in call.sources}
    alive, most = {-1: image}, image
    for place, size in enumerate(sizes):
        alive[place] = size
        most = max(most, sum(alive.values()))
        for done in [source for source in graph[place].sources if last_use[source] == place]:
            del alive[done]
    return most


def _dtype(operation: keras.Operation) -> str:
    return str(operation.compute_dtype) if isinstance(operation, keras.layers.Layer) else keras.config.floatx()


def _bytes(dtype: str) -> int:
    """Bytes of one value."""
    digits = re.sub(r"\D", "", keras.backend.standardize_dtype(dtype))
    return int(digits or 8) // 8
