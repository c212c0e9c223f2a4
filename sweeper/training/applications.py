"""The networks that Keras Applications has as well, and how their weights become those of ours.

Weights are copied layer by layer, in the order in which data go through the layers. What the two write differently is carried
over by algebra: biases in front of a normalisation, its epsilon, gates as 1x1 convolutions, and kernels of depthwise
convolutions. The tests copy random weights and compare logits, so that equal means equal.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

Array = np.ndarray[Any, Any]
Layers = list[keras.layers.Layer]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Application:
    """A network of Keras Applications that one of our architectures reproduces.

    Args:
        architecture: Ours, in the catalog.
        arguments: Its arguments that give the same network.
        name: The function in ``keras.applications``.
        order: Lists the layers with weights of either model so that those at the same place belong together.
        options: Further arguments of that function.
        takes_pixels: Whether their model scales values from 0 to 255 itself.
    """

    architecture: str
    arguments: Mapping[str, Any]
    name: str
    order: Callable[[keras.Model], Layers]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    takes_pixels: bool = False

    def build(self, input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
        """Their model with random weights, giving logits."""
        function = getattr(keras.applications, self.name)
        return function(weights=None, input_shape=input_shape, classes=num_classes, classifier_activation=None, **self.options)

    def copy(self, theirs: keras.Model, ours: keras.Model) -> None:
        """Give our model the weights of theirs, after which it computes the same function."""
        for source, target, bias in _pairs(self.order(theirs), self.order(ours)):
            target.set_weights(_translated(source, target, bias))


def in_order(model: keras.Model) -> Layers:
    """Layers with weights in the order data go through them; statistics that scale pixels are no weights of the network."""
    return [layer for layer in model.layers if layer.weights and not isinstance(layer, keras.layers.Normalization)]


def in_order_made(model: keras.Model) -> Layers:
    """Convolutions each with the normalisation behind it, then the head: for networks whose shortcuts have weights too.

    Where two paths run beside each other, a model lists its layers by depth, in which the implementations differ; the numbers
    in their names follow the order in which they were made.
    """
    layers = sorted(in_order(model), key=_by_name)
    kinds = (keras.layers.Conv2D, keras.layers.BatchNormalization, keras.layers.Dense)
    convolutions, normalisations, head = ([layer for layer in layers if isinstance(layer, kind)] for kind in kinds)
    return [*(layer for pair in zip(convolutions, normalisations, strict=True) for layer in pair), *head]


def _by_name(layer: keras.layers.Layer) -> list[tuple[int, str]]:
    return [(int(digits or 0), text) for text, digits in re.findall(r"(\D+)(\d*)", layer.name)]


def _pairs(theirs: Layers, ours: Layers) -> Iterator[tuple[keras.layers.Layer, keras.layers.Layer, Array | None]]:
    """Layers that belong together, and for a normalisation the bias in front of theirs that ours does not have."""
    assert len(theirs) == len(ours), f"{len(theirs)} layers with weights there, {len(ours)} here"
    bias: Array | None = None
    for source, target in zip(theirs, ours, strict=True):
        is_normalisation = isinstance(source, keras.layers.BatchNormalization)
        assert is_normalisation == isinstance(target, keras.layers.BatchNormalization), f"{source.name} is no {target.name}"
        assert bias is None or is_normalisation, f"no normalisation follows the bias in front of {source.name}"
        yield source, target, bias
        bias = np.asarray(source.bias) if len(source.weights) > len(target.weights) else None
    assert bias is None, "the last bias has no place"


def _translated(source: keras.layers.Layer, target: keras.layers.Layer, bias: Array | None) -> list[Array]:
    """The arrays of `source` as `target` holds them."""
    arrays = source.get_weights()
    if isinstance(source, keras.layers.BatchNormalization):
        gamma, beta, mean, variance = arrays
        # With a bias b in front, a moving mean m acts as m - b does without it; the variance takes up the other epsilon.
        return [gamma, beta, mean if bias is None else mean - bias, variance + (source.epsilon - target.epsilon)]
    for option in ("strides", "groups"):
        if hasattr(source, option) and hasattr(target, option) and type(source) is type(target):
            assert getattr(source, option) == getattr(target, option), f"{source.name}: another {option} than {target.name}"
    shapes = [tuple(weight.shape) for weight in target.weights]
    return [_reshaped(array, shape, source.name) for array, shape in zip(arrays, shapes, strict=False)]


def _reshaped(array: Array, shape: Sequence[int], name: str) -> Array:
    """The same values where only axes of length 1 differ: a gate as 1x1 convolution, a depthwise kernel as one with groups."""
    assert [side for side in array.shape if side > 1] == [side for side in shape if side > 1], (
        f"{name}: {array.shape} is no {shape}"
    )
    return array.reshape(shape)


def _entry(architecture: str, variant: str, name: str, *, takes_pixels: bool = False) -> Application:
    """A network that needs nothing but its variant and is copied in the order of its layers."""
    return Application(
        architecture=architecture, arguments={"variant": variant}, name=name, order=in_order, takes_pixels=takes_pixels
    )


def _resnet(variant: str) -> Application:
    arguments = {"variant": variant, "stride_on": "conv1x1"}
    return Application(architecture="resnet", arguments=arguments, name=f"ResNet{variant}", order=in_order_made)


APPLICATIONS: Sequence[Application] = (
    _resnet("50"),
    _entry("densenet", "121", "DenseNet121"),
    _entry("densenet", "169", "DenseNet169"),
    _entry("densenet", "201", "DenseNet201"),
    _entry("vgg", "16", "VGG16"),
    _entry("vgg", "19", "VGG19"),
    *(_entry("efficientnet", f"b{size}", f"EfficientNetB{size}", takes_pixels=True) for size in range(8)),
)
"""Every network that both have."""
