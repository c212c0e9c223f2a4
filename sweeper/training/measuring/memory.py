"""Memory of a built Keras model: of its weights, and of what its layers give.

Activations are counted from the graph of the model for one image. Models inside it, the layers of this project and those of
attention are opened down to layers of Keras and operations, so the queries, keys, values and scores of attention are counted too.
The output of every call counts once, at the precision in which it computes (4 bytes a value, in half precision 2), even where a
framework would work in place, return a view or fuse operations. An activation given to a layer as its argument counts as a layer
of its own. The image counts as alive until its last use. Not counted: the workspace that an operation needs besides its output,
and the further tensors of the same size that GELU and normalisation need.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

import keras

from sweeper.training.measuring.measure import Call, bytes_of, calls, weights_mb

MB = 1e6


class Memory(TypedDict):
    """What `memory_of` gives, in MB.

    `weights_mb` has all weights, those that are not trained included. `activation_mb` is the sum of all outputs, without the
    image: about what training keeps for the backward pass for each image of a batch, less where a framework works in place, more
    where it takes an operation apart. `peak_activation_mb` is the most that is alive at once, the image included, when the graph
    runs in order and an output is freed after its last use, as in inference.
    """

    weights_mb: float
    activation_mb: float
    peak_activation_mb: float


def memory_of(model: keras.Model) -> Memory:
    """Memory of the weights of a model, and of its activations for one image.

    Args:
        model: As for `sweeper.training.measuring.measure.count_macs`, with one output.

    Raises:
        SweeperError: As `sweeper.training.measuring.measure.count_macs`.
    """
    graph = calls(model, is_open=True)
    image = sum(math.prod(tensor.shape[1:]) * bytes_of(tensor.dtype) for tensor in model.inputs)
    return Memory(
        weights_mb=weights_mb(model),
        activation_mb=sum(call.num_bytes for call in graph) / MB,
        peak_activation_mb=_peak(graph, image) / MB,
    )


def _peak(graph: Sequence[Call], image: int) -> int:
    """The most bytes alive at once; a tensor that nothing reads is an output of the model, and stays to the end."""
    last_use = {source: place for place, call in enumerate(graph) for source in call.sources}
    alive, most = {-1: image}, image
    for place, call in enumerate(graph):
        alive[place] = call.num_bytes
        most = max(most, sum(alive.values()))
        for done in [source for source in call.sources if last_use[source] == place]:
            del alive[done]
    return most
