"""Size and arithmetic of a built Keras model: parameters and multiply-accumulates.

MACs are counted from the model itself, not from a formula per architecture: the graph is walked with a batch of one image, every
layer is opened down to the operations of `keras.ops` it calls, and each product of matrices is counted from the shapes it gets.
What is counted is what the papers count: convolutions, dense layers and matrix products, nothing else (no biases,
normalisation, activation, pooling or lookups).
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator
from typing import Any, TypedDict

import keras

from sweeper.errors import SweeperError
from sweeper.training.measuring._products import Shape, macs_of_convolution, macs_of_operation


class LayerGroup(TypedDict):
    """All layers of one class: how many there are, and their part of the trainable parameters (a number, and a fraction)."""

    kind: str
    count: int
    parameters: int
    share: float


class ModelDescription(TypedDict):
    """What `describe_model` gives; `output_shape` is without the batch, `layers` has the largest group first.

    All of it is about the network without its auxiliary heads, except `auxiliary_parameters`: what these add during training.
    """

    trainable_parameters: int
    auxiliary_parameters: int
    total_parameters: int
    macs: int
    flops: int
    output_shape: Shape
    layers: list[LayerGroup]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """One use of a layer or operation in the graph of a model.

    Args:
        operation: What is called; a shared layer occurs in several calls.
        sources: Whose outputs it gets, as places in the list of calls, each once; -1 is the input of the model.
        shape: Shape of what it gives, without the batch; of several outputs the first.
        macs: Multiply-accumulates of this call on one image.
        num_bytes: Memory of all it gives on one image, at the precision in which it computes.
    """

    operation: keras.Operation
    sources: tuple[int, ...]
    shape: Shape
    macs: int
    num_bytes: int


def inference_network(model: keras.Model) -> keras.Model:
    """The part of a model that inference needs: the same layers from its input to its first output, the logits.

    Further outputs are auxiliary heads, see `sweeper.catalog.architecture`; a model without any is returned as it is.
    """
    if len(model.outputs) == 1:
        return model
    return keras.Model(model.input, model.outputs[0], name=model.name)


def trainable_parameters(model: keras.Model) -> int:
    """Numbers that training changes: what papers call the parameters of a network."""
    return _sizes(model.trainable_weights)


def total_parameters(model: keras.Model) -> int:
    """Numbers a checkpoint needs for inference: trainable ones and others, such as the statistics of batch normalisation."""
    return _sizes(model.weights)


def count_macs(model: keras.Model) -> int:
    """Multiply-accumulates of one forward pass on one image; FLOPs are twice that.

    Nothing is missed silently: an unknown operation that may hide a product of matrices is an error.

    Args:
        model: A built functional or sequential model with one fixed input size.

    Raises:
        SweeperError: The model has an open input size, is neither functional nor sequential, or holds a layer that cannot be
            counted; the message names the layer.
    """
    return sum(call.macs for call in calls(model))


def calls(model: keras.Model, *, is_open: bool = False) -> list[Call]:
    """Every use of a layer or operation in a model, in an order in which they can be computed.

    Args:
        model: As for `count_macs`.
        is_open: Whether models inside it, its own layers and layers of attention are replaced by the calls inside them.
            Otherwise each of them is one call.

    Raises:
        SweeperError: As `count_macs`.
    """
    if not isinstance(model, (keras.Function, keras.Sequential)):
        raise SweeperError(
            f"MACs of '{model.name}' cannot be counted: it is a {type(model).__name__}, and only functional and sequential "
            "models show their layers. Build it with keras.Model(inputs, outputs)."
        )
    graph = keras.Function(model.inputs, model.outputs) if isinstance(model, keras.Sequential) else model
    recorder = _Recorder(is_open)
    graph._run_through_graph(
        keras.tree.map_structure(_one_image, graph.inputs), operation_fn=lambda inner: functools.partial(recorder.record, inner)
    )
    return recorder.calls


def describe_model(model: keras.Model) -> ModelDescription:
    """Parameters, MACs and layers of a model, as plain values that fit in a table or in JSON.

    Args:
        model: As for `count_macs`; auxiliary heads are left out, see `ModelDescription`.

    Raises:
        SweeperError: As `count_macs`.
    """
    with_heads, model = model, inference_network(model)
    macs = count_macs(model)
    trainable = trainable_parameters(model)
    groups: dict[str, LayerGroup] = {}
    for layer in leaves(model):
        kind = type(layer).__name__
        group = groups.setdefault(kind, LayerGroup(kind=kind, count=0, parameters=0, share=0.0))
        group["count"] += 1
        group["parameters"] += _sizes(layer.trainable_weights)
    for group in groups.values():
        group["share"] = group["parameters"] / trainable if trainable else 0.0
    return ModelDescription(
        trainable_parameters=trainable,
        auxiliary_parameters=trainable_parameters(with_heads) - trainable,
        total_parameters=total_parameters(model),
        macs=macs,
        flops=2 * macs,
        output_shape=tuple(model.output_shape[1:]),
        layers=sorted(groups.values(), key=lambda group: (-group["parameters"], group["kind"])),
    )


def weights_mb(model: keras.Model) -> float:
    """Memory of all weights at their own precision, in MB of 1e6 bytes; a shared one counts once."""
    num_bytes: int = sum(math.prod(weight.shape) * bytes_of(weight.dtype) for weight in model.weights)
    return num_bytes / 1e6


def _sizes(weights: list[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def leaves(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a model and of the models inside it, each once, however often it is called."""
    seen: set[int] = set()
    waiting = list(reversed(model.layers))
    while waiting:
        layer = waiting.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        if isinstance(layer, keras.Model):
            waiting.extend(reversed(layer.layers))
        else:
            yield layer


def _one_image(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """The same symbolic input for a batch of one: with an open batch, a reshape that folds windows into it hides their number."""
    shape = (1, *tensor.shape[1:])
    if None in shape:
        raise SweeperError(
            f"MACs cannot be counted for an input of shape {tuple(tensor.shape)}: apart from the batch, every side must be "
            "fixed. Build the model with the size of the images."
        )
    return keras.KerasTensor(shape, dtype=tensor.dtype)


class _Counter:
    """Goes through a graph as data would, with shapes only, and adds up the MACs of what it passes."""

    def __init__(self) -> None:
        self.macs = 0

    def run(self, operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        """Count one operation called with these arguments and give its symbolic outputs."""
        if isinstance(operation, keras.Sequential):
            outputs = args[0]
            for layer in operation.layers:
                outputs = self.run(layer, outputs)
            return outputs
        if isinstance(operation, keras.Function):
            # Keras has no public walk over a graph; this method has had this form since Keras 3.0.
            return operation._run_through_graph(args[0], operation_fn=lambda inner: functools.partial(self.run, inner))
        if _is_convolution(operation):
            outputs = operation.compute_output_spec(*args, **kwargs)
            self.macs += macs_of_convolution(tuple(operation.kernel.shape), tuple(outputs.shape))
            return outputs
        if isinstance(operation, keras.layers.Layer) and not _is_plain(operation):
            graph, inputs = _open(operation, args, kwargs)
            # Not the output shape the layer states: layers may lose the batch, into which windows can be folded.
            return self.run(graph, inputs)
        outputs = operation.compute_output_spec(*args, **kwargs)
        if not isinstance(operation, keras.layers.Layer):
            self.macs += macs_of_operation(operation, args, kwargs, outputs)
        return outputs


class _Recorder:
    """Keeps every call of a graph, with the MACs of all that happens inside it; `is_open` as in `calls`."""

    def __init__(self, is_open: bool) -> None:
        self.calls: list[Call] = []
        self._is_open = is_open
        self._counter = _Counter()
        self._made: list[keras.KerasTensor] = []
        self._places: dict[int, int] = {}
        self._dtype: str | None = None  # in which the opened layer computes

    def record(self, operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        """Count one call and give its symbolic outputs, which are new objects even where a layer passes its input on."""
        if self._is_open and isinstance(operation, keras.Sequential):
            outputs = args[0]
            for layer in operation.layers:
                outputs = self.record(layer, outputs)
            return outputs
        if self._is_open and isinstance(operation, keras.Function):
            return operation._run_through_graph(args[0], operation_fn=lambda inner: functools.partial(self.record, inner))
        if self._is_open and isinstance(operation, keras.layers.Layer) and _is_compound(operation):
            outside, self._dtype = self._dtype, operation.compute_dtype
            graph, inner_inputs = _open(operation, args, kwargs)
            outputs = self.record(graph, inner_inputs)
            self._dtype = outside
            return outputs
        inputs = [value for value in keras.tree.flatten((args, kwargs)) if isinstance(value, keras.KerasTensor)]
        if self._is_open and type(operation).__name__ == "DotProductAttention":
            # Done in one operation, it still makes the scores and their softmax; without a fused kernel they are in memory.
            scores, weights = (_scores(*inputs[:2]) for _ in range(2))
            self._keep(operation, inputs[:2], [scores], macs=0)
            self._keep(operation, [scores], [weights], macs=0)
            inputs = [weights, *inputs[2:]]
        before = self._counter.macs
        outputs = self._counter.run(operation, *args, **kwargs)
        dtype = operation.compute_dtype if isinstance(operation, keras.layers.Layer) else self._dtype
        outputs = keras.tree.map_structure(lambda tensor: _copy(tensor, dtype), outputs)
        macs = self._counter.macs - before
        if self._is_open and _activates(operation):
            # Two results, as with an activation layer behind it: what is activated, and what comes of it.
            activated = [_copy(outputs, dtype)]
            self._keep(operation, inputs, activated, macs=macs)
            inputs, macs = activated, 0
        self._keep(operation, inputs, keras.tree.flatten(outputs), macs=macs)
        return outputs

    def _keep(
        self, operation: keras.Operation, inputs: list[keras.KerasTensor], made: list[keras.KerasTensor], *, macs: int
    ) -> None:
        self._made += made  # an id stands for a tensor only as long as the tensor is kept
        sources = tuple(dict.fromkeys(self._places.get(id(tensor), -1) for tensor in inputs))
        self._places.update((id(tensor), len(self.calls)) for tensor in made)
        num_bytes = sum(math.prod(tensor.shape) * bytes_of(tensor.dtype) for tensor in made)
        shape = tuple(made[0].shape[1:])
        self.calls.append(Call(operation=operation, sources=sources, shape=shape, macs=macs, num_bytes=num_bytes))


def bytes_of(dtype: str) -> int:
    """Memory of one value of a type such as ``float32``."""
    bits = re.search(r"\d+", keras.backend.standardize_dtype(dtype))
    return int(bits.group()) // 8 if bits else 1


def _copy(tensor: keras.KerasTensor, dtype: str | None) -> keras.KerasTensor:
    """A new symbolic tensor; floats get this precision, which an opened layer loses when its weights have another one."""
    is_fraction = keras.backend.is_float_dtype(tensor.dtype)
    return keras.KerasTensor(tensor.shape, dtype=dtype if dtype is not None and is_fraction else tensor.dtype)


def _scores(queries: keras.KerasTensor, keys: keras.KerasTensor) -> keras.KerasTensor:
    """What attention makes of queries and keys, both (batch, positions, heads, size): (batch, heads, queries, keys)."""
    batch, num_queries, num_heads, _ = queries.shape
    return keras.KerasTensor((batch, num_heads, num_queries, keys.shape[1]), dtype=queries.dtype)


def _activates(operation: keras.Operation) -> bool:
    """Whether it is a layer with weights that was given an activation as an argument."""
    has_weights = isinstance(operation, keras.layers.Layer) and bool(operation.weights)
    return has_weights and getattr(operation, "activation", None) not in (None, keras.activations.linear)


def _is_compound(layer: keras.layers.Layer) -> bool:
    """Whether a layer makes tensors inside that are worth counting: one of this project, of attention, or around another."""
    kinds = (
        keras.layers.AdditiveAttention,
        keras.layers.Attention,
        keras.layers.GroupQueryAttention,
        keras.layers.MultiHeadAttention,
        keras.layers.Wrapper,
    )
    return type(layer).__module__.split(".")[0] != "keras" or isinstance(layer, kinds)


def _is_convolution(operation: keras.Operation) -> bool:
    """Whether it is a convolution layer of Keras, which is not opened: `keras.ops.conv` refuses groups on symbolic tensors."""
    kinds = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
    return any(isinstance(operation, kind) and type(operation).call is kind.call for kind in kinds)


_PRODUCT_LAYERS = (
    keras.layers.AdditiveAttention,
    keras.layers.Attention,
    keras.layers.Dot,
    keras.layers.Lambda,
    keras.layers.Wrapper,
)
"""Layers of Keras that multiply matrices, or call something that may, without holding a matrix themselves."""


def _is_plain(layer: keras.layers.Layer) -> bool:
    """Whether it is a layer of Keras that holds and multiplies no matrix: pooling, activation, normalisation and so on."""
    is_of_keras = type(layer).__module__.split(".")[0] == "keras"
    holds_matrix = any(len(weight.shape) >= 2 for weight in layer.weights)
    return is_of_keras and not holds_matrix and not isinstance(layer, _PRODUCT_LAYERS)


def _open(layer: keras.layers.Layer, args: Any, kwargs: Any) -> tuple[keras.Function, list[keras.KerasTensor]]:
    """The graph of what a layer does inside `call`, and the inputs to run it on."""
    inputs = [value for value in keras.tree.flatten((args, kwargs)) if isinstance(value, keras.KerasTensor)]
    entries = [keras.Input(batch_shape=value.shape, dtype=value.dtype) for value in inputs]
    replacements = iter(entries)
    inner_args, inner_kwargs = keras.tree.map_structure(
        lambda value: next(replacements) if isinstance(value, keras.KerasTensor) else value, (args, kwargs)
    )
    try:
        return keras.Function(entries, layer.call(*inner_args, **inner_kwargs)), inputs
    except Exception as fault:
        reason = str(fault).strip().splitlines() or ["no message"]
        raise SweeperError(
            f"MACs of layer '{layer.name}' ({type(layer).__name__}) cannot be counted: its call does not work on symbolic "
            f"tensors ({type(fault).__name__}: {reason[0]}). Write the call with keras.layers and keras.ops only."
        ) from fault
