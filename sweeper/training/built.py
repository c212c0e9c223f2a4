"""An architecture's network, built: what is not built in is first held to what training needs of it.

A user's function may return any functional or sequential model of one image that ends in logits. A compiled one is taken as it
is: its optimizer and its loss play no part.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from sweeper import catalog
from sweeper.errors import KnobError

_PROBABILITIES = ("softmax", "log_softmax", "sigmoid")


def network(architecture: str, input_shape: tuple[int, ...], num_classes: int, arguments: Mapping[str, Any]) -> Any:
    """The network on standardised images.

    Args:
        architecture: Name in the catalog.
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        arguments: Knobs of the architecture.

    Raises:
        KnobError: It is the user's own and nothing that can be trained, or it does not take these arguments.
    """
    made = catalog.load("architecture", architecture)(input_shape, num_classes, **arguments)
    if catalog.origin("architecture", architecture) == catalog.BUILT_IN:
        return made
    return checked(made, catalog.where("architecture", architecture), architecture, input_shape, num_classes)


@contextlib.contextmanager
def shapes_alone() -> Iterator[None]:
    """Networks that are built within get no weights, which take most of the time and memory: for what follows from shapes."""
    import keras
    from keras.src.backend.common import global_state

    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute("uninitialized_variables", [])  # or whoever defers some next makes all of these


def checked(model: Any, file: str, name: str, input_shape: tuple[int, ...], num_classes: int) -> Any:
    """A user's own model, built, once it is known to be one that can be trained.

    Args:
        model: What the function returned.
        file: The file, for errors.
        name: The function.
        input_shape: As of `network`.
        num_classes: As of `network`.

    Raises:
        KnobError: It is not; one sentence says why and what to do.
    """
    import keras

    if not isinstance(model, keras.Model):
        what = "nothing" if model is None else f"a {type(model).__name__}"
        raise KnobError(f"{file}: {name} returns {what}, not a model. End it with: return keras.Model(inputs, outputs)")
    if isinstance(model, keras.Sequential) and not model.built:
        model.build((None, *input_shape))
    if not isinstance(model, keras.Function | keras.Sequential):
        raise KnobError(
            f"{file}: {name} returns a {type(model).__name__}, which does not show its layers. Build it with keras.Model(inputs, "
            "outputs) or keras.Sequential(layers)."
        )
    taken = [tuple(tensor.shape) for tensor in model.inputs]
    if taken != [(None, *input_shape)]:
        raise KnobError(
            f"{file}: {name} takes {_shapes(taken)}, not {_shapes([(None, *input_shape)])}. Begin it with "
            "keras.Input(input_shape)."
        )
    wrong = [shape for shape in (tuple(tensor.shape) for tensor in model.outputs) if shape != (None, num_classes)]
    if wrong:
        raise KnobError(
            f"{file}: {name} gives {_shapes(wrong)}, not {_shapes([(None, num_classes)])}, one number per class. End it with "
            "keras.layers.Dense(num_classes)."
        )
    if (ending := _ending(model)) is not None:
        raise KnobError(
            f"{file}: {name} ends in {ending}, but training needs the values before it (logits): its loss applies softmax "
            "itself. End it with keras.layers.Dense(num_classes), without an activation."
        )
    return model


def _shapes(shapes: list[tuple[Any, ...]]) -> str:
    return " and ".join(f"({', '.join('any' if side is None else str(side) for side in shape)})" for shape in shapes)


def _ending(model: Any) -> str | None:
    """The function that makes probabilities of the first output; None where none is seen."""
    import keras

    if isinstance(model, keras.Sequential):
        return _of_operation(model.layers[-1])
    tensor = model.outputs[0]
    while (operation := tensor._keras_history.operation) is not None:
        if (ending := _of_operation(operation)) is not None or not _is_passing(operation):
            return ending
        tensor = operation.input
    return None


def _of_operation(operation: Any) -> str | None:
    import keras

    if isinstance(operation, keras.Function | keras.Sequential):
        return _ending(operation)
    kind = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid"}.get(type(operation).__name__)
    activation = getattr(getattr(operation, "activation", None), "__name__", None)
    return kind or (activation if activation in _PROBABILITIES else None)


def _is_passing(operation: Any) -> bool:
    """Whether an operation gives on what it gets, perhaps in another type or shape."""
    import keras

    is_linear = isinstance(operation, keras.layers.Activation) and operation.activation is keras.activations.linear
    return is_linear or isinstance(operation, keras.layers.Flatten | keras.layers.Reshape | keras.layers.Identity)
