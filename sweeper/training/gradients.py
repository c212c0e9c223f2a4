"""How far gradients reach: their size in every layer of a network that has just been built."""

from __future__ import annotations

from typing import TypedDict

import keras
import numpy as np

from sweeper.training.measure import inference_network, leaves

NUM_IMAGES = 32
"""Random standardised images in the batch that is looked at, with random labels."""


class LayerGradient(TypedDict):
    """The gradient of one layer's kernel: root mean square over its values, of the mean cross-entropy of the batch."""

    layer: str
    depth: int
    gradient: float


def gradient_flow(model: keras.Model) -> list[LayerGradient]:
    """The gradient of every kernel of a network on one batch, from input to logits; the network is changed by it.

    Kernels are weights of two axes or more: biases and normalisation are left out. Of a layer with several, such as attention,
    all values count together. Layers behave as in training.

    Args:
        model: Uncompiled, giving logits (auxiliary heads are left out).
    """
    network = inference_network(model)
    # Momentum that was zero holds after one step exactly the gradient, with the other sign; a difference of weights is rounded.
    optimizer = keras.optimizers.SGD(learning_rate=1.0, momentum=0.9)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer=optimizer, loss=loss, jit_compile=False)
    generator = np.random.default_rng(0)
    images = generator.normal(size=(NUM_IMAGES, *network.input_shape[1:])).astype("float32")
    network.train_on_batch(images, generator.integers(0, network.output_shape[-1], NUM_IMAGES))
    variables = network.trainable_variables
    of = {id(variable): momentum for variable, momentum in zip(variables, optimizer.momentums, strict=True)}
    found: list[LayerGradient] = []
    for layer in leaves(network):
        kernels = [weight for weight in layer.trainable_variables if len(weight.shape) >= 2]
        if kernels:
            values = np.concatenate([np.ravel(keras.ops.convert_to_numpy(of[id(weight)])) for weight in kernels])
            size = float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
            found.append(LayerGradient(layer=layer.name, depth=len(found) + 1, gradient=size))
    return found
