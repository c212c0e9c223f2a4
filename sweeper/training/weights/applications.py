"""The networks that Keras Applications has too, and how their weights are copied into ours.

Weights are copied layer by layer, in the order in which data go through the layers. Where the two are written differently,
algebra translates: biases in front of a normalisation, its epsilon, gates as 1x1 convolutions, and kernels of depthwise
convolutions. The tests copy random weights and compare logits, so that equal means equal.

Those that Keras has weights of ImageNet for are what ``weights: imagenet`` in a study can begin with.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from sweeper import catalog
from sweeper.training.measuring.measure import leaves
from sweeper.training.weights.pretrained import TRAINING_ONLY, weights_in_order

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
        input_scale: Factors of the three channels that their model applies only with its weights of ImageNet.
        weights: Name of the file of these weights without the head; empty for the name that Keras gives it, if it has any.
    """

    architecture: str
    arguments: Mapping[str, Any]
    name: str
    order: Callable[[keras.Model], Layers]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    takes_pixels: bool = False
    input_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    weights: str = ""

    @property
    def file(self) -> str:
        """Name of the file of its weights of ImageNet without the head; empty when there is none."""
        return self.weights or _file(self.name, self.options)

    def build(self, input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
        """Their model with random weights, giving logits."""
        function = getattr(keras.applications, self.name)
        return function(weights=None, input_shape=input_shape, classes=num_classes, classifier_activation=None, **self.options)

    def copy(self, theirs: keras.Model, ours: keras.Model) -> None:
        """Give our model the weights of theirs, after which it computes the same function."""
        for source, target, bias in _pairs(self.order(theirs), self.order(ours)):
            target.set_weights(_translated(source, target, bias))

    def build_body(self, **options: Any) -> keras.Model:
        """Their model without a head.

        The option of the table that leaves out their scaling of images, so that both take the same, is ignored: their weights
        expect that scaling.

        Args:
            options: Further arguments of their function, such as ``weights``.
        """
        kept = {name: value for name, value in self.options.items() if name != "include_preprocessing"}
        model: keras.Model = getattr(keras.applications, self.name)(include_top=False, **kept, **options)
        return model

    def arrays(self, body: keras.Model, theirs: keras.Model, ours: keras.Model) -> list[Array | None]:
        """The value of each weight of our model, in the order of `weights_in_order`; None for those of the head.

        Args:
            body: Their model without a head.
            theirs: Their model with a head, which is given the weights of the body.
            ours: Our model, which stays as it is.
        """
        given: set[int] = set()
        for source, target in zip(_with_weights(body), _with_weights(theirs), strict=False):  # the head comes last
            assert type(source) is type(target), f"{source.name} is no {target.name}"
            target.set_weights(source.get_weights())
            given.update(id(weight) for weight in target.weights)
        assert len(given) == len(body.weights), "their model with a head begins otherwise than that without"
        found: dict[int, Array] = {}
        for source, target, bias in _pairs(self.order(theirs), self.order(ours)):
            if all(id(weight) in given for weight in source.weights):
                found.update(zip(map(id, target.weights), _translated(source, target, bias), strict=True))
        return [found.get(id(weight)) for weight in weights_in_order(ours)]


def _with_weights(model: keras.Model) -> Layers:
    return [layer for layer in model.layers if layer.weights]


def matching(architecture: str, arguments: Mapping[str, Any]) -> Application | None:
    """The network with weights of ImageNet that one of our architectures reproduces with these arguments; None for any other.

    Every argument that affects the weights, or what is computed from them, must match the table: only the knobs of
    `TRAINING_ONLY` may differ.
    """
    for application in APPLICATIONS:
        is_candidate = application.architecture == architecture and application.file
        if is_candidate and not differing(application, arguments):
            return application
    return None


def differing(application: Application, arguments: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The knobs that matter and differ from the network of the table: their value, and the value in the table."""
    own = resolved(application.architecture, arguments)
    theirs = resolved(application.architecture, application.arguments)
    names = (name for name in {**theirs, **own} if name not in TRAINING_ONLY)
    return {name: (own.get(name), theirs.get(name)) for name in names if own.get(name) != theirs.get(name)}


def resolved(architecture: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of an architecture: those given, then the sizes of its variant, then its defaults."""
    function = catalog.load("architecture", architecture)
    parameters = inspect.signature(function).parameters.values()
    defaults = {parameter.name: parameter.default for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    sizes = getattr(function, "sizes", {}).get(arguments.get("variant", defaults.get("variant")), {})
    return {**defaults, **sizes, **arguments}


_FILES: Mapping[str, str] = {
    r"(ResNet|DenseNet|VGG)\d+": "{name}_weights_tf_dim_ordering_tf_kernels_notop.h5",
    r"EfficientNetB\d": "{name}_notop.h5",
    r"ConvNeXt(?P<size>\w+)": "convnext_{size}_notop.h5",
    r"MobileNetV2": "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_224_no_top.h5",
}
"""Functions of Keras Applications, and the names under which Keras has their weights of ImageNet without the head."""


def _file(name: str, options: Mapping[str, Any]) -> str:
    """The name of a file of weights; empty when none is known."""
    for pattern, file in _FILES.items():
        if (match := re.fullmatch(pattern, name)) is not None:
            parts = {key: text.lower() for key, text in match.groupdict().items()}
            return file.format(name=name.lower(), alpha=options.get("alpha", 1.0), **parts)
    return ""


def in_order(model: keras.Model) -> Layers:
    """Layers with weights in the order data go through them, also those inside models inside the model.

    Statistics that scale pixels are no weights of the network.
    """
    return [layer for layer in leaves(model) if layer.weights and not isinstance(layer, keras.layers.Normalization)]


def in_order_made(model: keras.Model) -> Layers:
    """Convolutions each with the normalisation behind it, then the head: for networks whose shortcuts have weights too.

    Where two paths run in parallel, a model lists its layers by depth, and the implementations differ in depth; the numbers in
    their names follow the order in which they were made.
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


def _entry(architecture: str, variant: str, name: str, *, takes_pixels: bool = False, **options: Any) -> Application:
    """A network that needs nothing but its variant and is copied in the order of its layers."""
    return Application(
        architecture=architecture,
        arguments={"variant": variant},
        name=name,
        order=in_order,
        options=options,
        takes_pixels=takes_pixels,
    )


def _resnet(variant: str) -> Application:
    arguments = {"variant": variant, "stride_on": "conv1x1"}
    return Application(architecture="resnet", arguments=arguments, name=f"ResNet{variant}", order=in_order_made)


def _efficientnet(size: int) -> Application:
    application = _entry("efficientnet", f"b{size}", f"EfficientNetB{size}", takes_pixels=True)
    # Their file of weights has deviations in place of variances; Keras corrects this by dividing once more.
    return dataclasses.replace(application, input_scale=(0.229**-0.5, 0.224**-0.5, 0.225**-0.5))


APPLICATIONS: Sequence[Application] = (
    *(_resnet(variant) for variant in ("50", "101", "152")),
    _entry("densenet", "121", "DenseNet121"),
    _entry("densenet", "169", "DenseNet169"),
    _entry("densenet", "201", "DenseNet201"),
    _entry("vgg", "16", "VGG16"),
    _entry("vgg", "19", "VGG19"),
    *(_efficientnet(size) for size in range(8)),
    *(_entry("mobilenet_v2", str(alpha), "MobileNetV2", alpha=alpha) for alpha in (1.0, 0.75, 0.5, 0.35, 1.4)),
    # Their own scaling of pixels divides by standard deviations, which would round; without it both take the same images.
    *(
        _entry("convnext", size, f"ConvNeXt{size.capitalize()}", include_preprocessing=False)
        for size in ("tiny", "small", "base", "large")
    ),
)
"""Every network that both have."""
