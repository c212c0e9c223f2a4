"""How large the gradient is at each layer of a network before it is trained: whether it reaches the first layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypedDict

import keras
import numpy as np
import numpy.typing as npt

from sweeper.errors import KnobError, SweeperError, first_line
from sweeper.training.measuring.measure import calls, inference_network, leaves
from sweeper.training.measuring.shares import kind_of

BATCH, SEED = 16, 0
"""Images of the one batch, and the seed of images and labels."""


class LayerGradient(TypedDict):
    """The gradient at the kernels of one layer.

    `kind` is that of `sweeper.training.measuring.shares`; `depth` the number of layers with kernels on the longest way from the
    image to its output, itself included. Norms are Euclidean, over all kernels of the layer (four of a layer of attention, which
    counts as one). `relative_norm` is the gradient's over the weights', so that layers of any size and scale of weights can be
    compared: how far, in units of its weights, one step of plain gradient descent with learning rate 1 would move the layer. It
    is NaN where all weights are 0.
    """

    layer: str
    kind: str
    depth: int
    gradient_norm: float
    weight_norm: float
    relative_norm: float


def gradient_norms(model: keras.Model) -> list[LayerGradient]:
    """The gradient of the mean cross-entropy of one batch at each layer that holds kernels, from the image to the logits.

    Images are standard normal, labels uniform. The network runs as in training: dropout drops, batch normalisation takes the
    statistics of the batch. Auxiliary heads are left out, as in every measure, and so are biases and the scales and offsets of
    normalisation, since their gradients are of another scale.

    Args:
        model: Built, not compiled. It is trained for one step, so do not use it afterwards.

    Raises:
        KnobError: It cannot be trained with images of this size.
        SweeperError: It has no kernels, or as `sweeper.training.measuring.measure.count_macs`.
    """
    model = inference_network(model)
    depths = _depths(model)
    if not depths:
        raise SweeperError(f"the network '{model.name}' has no kernels, so no gradients to show. Leave out --gradient-flow.")
    weights = {id(variable): _array(variable) for layer, _ in depths for variable in kernels(layer)}
    gradients = gradients_of(model)
    return [
        _of_layer(
            layer,
            depth,
            [weights[id(variable)] for variable in kernels(layer)],
            [gradients[id(variable)] for variable in kernels(layer)],
        )
        for layer, depth in depths
    ]


def kernels(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The trained weights of a layer that multiply its input, those of layers inside it included."""
    return [weight for weight in layer.trainable_weights if weight.name.endswith("kernel") and len(weight.shape) >= 2]


def _depths(model: keras.Model) -> list[tuple[keras.layers.Layer, int]]:
    """The layers with kernels and how deep each lies, in the order of the graph; a shared one where it is used first."""
    depths: dict[int, int] = {-1: 0}
    found: dict[int, tuple[keras.layers.Layer, int]] = {}
    for place, call in enumerate(calls(model)):
        depth = max(depths[source] for source in call.sources or (-1,))
        for layer in _with_kernels(call.operation):
            depth += 1
            found.setdefault(id(layer), (layer, depth))
        depths[place] = depth
    return list(found.values())


def _with_kernels(operation: keras.Operation) -> Iterator[keras.layers.Layer]:
    layers = leaves(operation) if isinstance(operation, keras.Model) else [operation]
    return (layer for layer in layers if isinstance(layer, keras.layers.Layer) and kernels(layer))


def gradients_of(model: keras.Model) -> dict[int, npt.NDArray[np.float64]]:
    """The gradient at each trained weight, by the id of the weight."""
    # Momentum after the first step with learning rate 1 is minus the gradient, on every backend. The difference of weights
    # before and after would lose small gradients to rounding.
    optimizer = keras.optimizers.SGD(learning_rate=1.0, momentum=0.5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, run_eagerly=True)  # one step is not worth compiling
    random = np.random.default_rng(SEED)
    images = random.standard_normal((BATCH, *model.input_shape[1:]), dtype=np.float32)
    labels = random.integers(model.output_shape[-1], size=BATCH)
    try:
        model.train_on_batch(images, labels)
    except Exception as error:
        # Sizes that no check covers raise errors of any class in the framework, most of them for lack of memory.
        size = "x".join(map(str, images.shape[1:]))
        reason = f"{type(error).__name__}: {first_line(error, 200)}"
        raise KnobError(
            f"no gradient of '{model.name}' can be computed on {BATCH} images of {size}: {reason}. "
            "Choose a smaller --input-shape or a smaller network."
        ) from None
    return {id(weight): -_array(momentum) for weight, momentum in zip(model.trainable_weights, optimizer.momentums, strict=True)}


def _of_layer(layer: keras.layers.Layer, depth: int, weights: list[Any], gradients: list[Any]) -> LayerGradient:
    gradient_norm, weight_norm = _norm(gradients), _norm(weights)
    return LayerGradient(
        layer=layer.name,
        kind=kind_of(layer),
        depth=depth,
        gradient_norm=gradient_norm,
        weight_norm=weight_norm,
        relative_norm=gradient_norm / weight_norm if weight_norm else float("nan"),
    )


def _norm(arrays: list[npt.NDArray[np.float64]]) -> float:
    return float(np.sqrt(sum(float(np.sum(array**2)) for array in arrays)))


def _array(variable: Any) -> npt.NDArray[np.float64]:
    return np.asarray(keras.ops.convert_to_numpy(variable), dtype=np.float64)
