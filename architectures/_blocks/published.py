"""Published networks: the knob `variant`, and the published figures that a network must reproduce."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, cast

import keras

from architectures._blocks.checks import check_option
from sweeper.catalog import Published

Arguments = ParamSpec("Arguments")

CUSTOM = "custom"
"""The `variant` that is no published network: each knob sets its own size."""

FER_GUIDE = "fer_guide"
"""The `variant` that is the network of a well-known guide to facial expressions (FER2013: 48x48 pixels, grey, 7 classes)."""

TORCHVISION = "parameters and multiply-accumulates as listed for the ImageNet models of torchvision"


def of_imagenet(
    variant: str,
    parameters: int,
    macs: int,
    *,
    source: str = TORCHVISION,
    side: int = 224,
    macs_tolerance: float = 0.03,
    **others: str | bool | int,
) -> Published:
    """A published network for colour images and the 1000 classes of ImageNet.

    Args:
        variant: Its name.
        parameters: As in `Published`.
        macs: As in `Published`.
        source: As in `Published`.
        side: Side of its square images in pixels.
        macs_tolerance: As in `Published`.
        others: Knobs given with the variant.
    """
    return Published(
        arguments={"variant": variant, **others},
        input_shape=(side, side, 3),
        num_classes=1000,
        parameters=parameters,
        macs=macs,
        macs_tolerance=macs_tolerance,
        source=source,
    )


def of_fer_guide(parameters: int, **others: str) -> Published:
    """A network of the guide to facial expressions, in grey images of 48x48 pixels and 7 classes.

    Args:
        parameters: As in `Published`.
        others: Knobs given with the variant.
    """
    return Published(
        arguments={"variant": FER_GUIDE, **others},
        input_shape=(48, 48, 1),
        num_classes=7,
        parameters=parameters,
        source="the summary that a well-known guide to FER2013 prints of its network; it states no multiply-accumulates",
    )


def remade(model: keras.Model, **options: Any) -> keras.Model:
    """The same network, each layer with those of these options that it has: for a network with another library's defaults.

    Args:
        model: Built of layers that their configuration gives.
        options: Such as ``kernel_initializer``, ``use_bias`` or ``momentum``.
    """

    def made(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        return type(layer).from_config({**config, **{name: value for name, value in options.items() if name in config}})

    return keras.models.clone_model(model, clone_function=made)


KERAS_DEFAULTS = {"kernel_initializer": "glorot_uniform", "use_bias": True, "momentum": 0.99, "epsilon": 1e-3}
"""Keras's own, which differ from those of the networks here."""


def variants(
    sizes: Mapping[str, Mapping[str, Any]],
) -> Callable[[Callable[Arguments, Any]], Callable[Arguments, Any]]:
    """Give an architecture the sizes of published networks, chosen by its knob `variant`.

    The sizes of the variant replace the defaults of the other knobs. A knob that the caller gives keeps its value. The sizes are
    kept on the function as `sizes`.

    Args:
        sizes: Knobs of each published network, by the value of `variant`.

    Raises:
        KnobError: The architecture is called with an unknown variant.
    """

    def decorate(build: Callable[Arguments, Any]) -> Callable[Arguments, Any]:
        @functools.wraps(build)
        def build_variant(*args: Arguments.args, **knobs: Arguments.kwargs) -> Any:
            variant = cast(str, knobs.get("variant", CUSTOM))
            check_option("variant", variant, (CUSTOM, *sizes))
            return cast(Any, build)(*args, **{**sizes.get(variant, {}), **knobs})

        build_variant.sizes = sizes  # type: ignore[attr-defined]
        return build_variant

    return decorate
