"""Multiply-accumulates of single operations of Keras, from the shapes of their arguments and outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras

from sweeper.errors import SweeperError

Shape = tuple[int, ...]


def macs_of_operation(operation: keras.Operation, args: Any, kwargs: Any, outputs: Any) -> int:
    """MACs of one operation of `keras.ops` from the shapes of its arguments and outputs.

    Raises:
        SweeperError: It is not known, and may be a product of matrices.
    """
    name = type(operation).__name__
    operands = [value for value in keras.tree.flatten((args, kwargs)) if hasattr(value, "shape")]
    shapes = [tuple(value.shape) for value in operands]
    if name in _RULES:
        if any(None in shape for shape in shapes):
            raise SweeperError(
                f"MACs of the operation '{name}' cannot be counted: its arguments {shapes} have an open side. Compute shapes "
                "from 'tensor.shape', which is known when the model is built."
            )
        return _RULES[name](operation, shapes, tuple(keras.tree.flatten(outputs)[0].shape))
    constants = [
        shape
        for value, shape in zip(operands, shapes, strict=True)
        if len(shape) >= 2 and not isinstance(value, keras.KerasTensor)
    ]
    if name in _UNCOUNTED_PRODUCTS or (constants and name not in _WITHOUT_PRODUCTS):
        reason = "it multiplies matrices" if name in _UNCOUNTED_PRODUCTS else f"it takes a weight or constant {constants[0]}"
        raise SweeperError(
            f"MACs of the operation '{name}' cannot be counted: {reason}, and no rule says how. Use matmul, einsum or a layer of "
            "Keras, or add a rule to sweeper/training/measuring/_products.py."
        )
    return 0


def macs_of_convolution(kernel: Shape, output: Shape) -> int:
    """MACs of a convolution from the shapes of its kernel and of what it gives, the batch included."""
    # A kernel is (sides..., channels in of one group, channels out): each output value costs all axes but the last.
    return math.prod(output) * math.prod(kernel[:-1])


def _of_convolution(operation: keras.Operation, shapes: list[Shape], output: Shape) -> int:
    return macs_of_convolution(shapes[1], output)


def _of_depthwise_convolution(operation: keras.Operation, shapes: list[Shape], output: Shape) -> int:
    return math.prod(output) * math.prod(shapes[1][:-2])


def _of_separable_convolution(operation: keras.Operation, shapes: list[Shape], output: Shape) -> int:
    *sides, channels, multiplier = shapes[1]
    positions = math.prod(output) // shapes[2][-1]
    return positions * channels * multiplier * (math.prod(sides) + shapes[2][-1])


def _of_transposed_convolution(operation: keras.Operation, shapes: list[Shape], output: Shape) -> int:
    # Each input value is spread over a window of the output; the kernel is (sides..., channels out, channels in).
    return math.prod(shapes[0]) * math.prod(shapes[1][:-1])


def _of_matrix_product(operation: keras.Operation, shapes: list[Shape], output: Shape) -> int:
    # With a scalar `dot` scales instead of summing.
    return math.prod(output) * shapes[0][-1] if all(shapes) else 0


def _of_tensordot(operation: keras.Operation, shapes: list[Shape], output: Shape) -> int:
    axes = operation.axes
    if isinstance(axes, int):
        summed = shapes[0][len(shapes[0]) - axes :]
    else:
        first = axes[0] if isinstance(axes[0], (list, tuple)) else [axes[0]]
        summed = tuple(shapes[0][axis] for axis in first)
    return math.prod(output) * math.prod(summed)


def _of_einsum(operation: keras.Operation, shapes: list[Shape], output: Shape) -> int:
    """The product of the sizes of all its indices when it sums over one of them; otherwise it only scales or rearranges."""
    if len(shapes) == 1:
        return 0
    if len(shapes) > 2:
        raise SweeperError(
            f"MACs of einsum '{operation.subscripts}' cannot be counted: the cost of {len(shapes)} factors depends on their "
            "order. Write it as several einsums of two factors."
        )
    left, arrow, right = operation.subscripts.replace(" ", "").partition("->")
    sizes: dict[str, int] = {}
    for subscripts, shape in zip(left.split(","), shapes, strict=True):
        for index, size in zip(_spell_out(subscripts, len(shape)), shape, strict=True):
            sizes[index] = max(sizes.get(index, 1), size)
    letters = [index for index in sizes if index.isalpha()]
    kept = set(right) if arrow else {letter for letter in letters if left.count(letter) == 1}
    is_summed = any(letter not in kept for letter in letters)
    return math.prod(sizes.values()) if is_summed else 0


def _spell_out(subscripts: str, rank: int) -> list[str]:
    """One name for each axis; those under an ellipsis are numbered from the right, as they broadcast."""
    before, dots, after = subscripts.partition("...")
    hidden = rank - len(before) - len(after) if dots else 0
    return [*before, *(str(position) for position in range(hidden, 0, -1)), *after]


def _of_attention(operation: keras.Operation, shapes: list[Shape], output: Shape) -> int:
    """Scores and weighted sum, from (batch, queries, heads, size) and twice (batch, keys, groups, size)."""
    (batch, queries, heads, size), (_, keys, *_), (*_, value_size) = shapes[:3]
    return batch * heads * queries * keys * (size + value_size)


_RULES: Mapping[str, Callable[[keras.Operation, list[Shape], Shape], int]] = {
    "Conv": _of_convolution,
    "ConvTranspose": _of_transposed_convolution,
    "DepthwiseConv": _of_depthwise_convolution,
    "Dot": _of_matrix_product,
    "DotProductAttention": _of_attention,
    "Einsum": _of_einsum,
    "Inner": _of_matrix_product,
    "Matmul": _of_matrix_product,
    "SeparableConv": _of_separable_convolution,
    "Tensordot": _of_tensordot,
}
"""Operations that multiply matrices, by class name (the classes themselves are not public), and how to count them."""

_UNCOUNTED_PRODUCTS = frozenset({
    "AssociativeScan", "CDist", "Cholesky", "CholeskyInverse", "Cond", "Corrcoef", "Correlate", "Det", "Eig", "Eigh",
    "ForiLoop", "GaussianBlur", "Inv", "JVP", "Kron", "Logdet", "Lstsq", "LuFactor", "Map", "MatrixRank", "Outer",
    "Pinv", "Qr", "SSIM", "SVD", "Scan", "Slogdet", "SobelEdges", "Solve", "SolveTriangular", "Switch", "Vdot",
    "VectorizedMap", "WhileLoop",
})  # fmt: skip
"""Operations that multiply matrices in a way no rule covers, or that run a function whose content is hidden."""

_WITHOUT_PRODUCTS = frozenset({
    "Add", "BroadcastTo", "Cast", "Concatenate", "Divide", "ExpandDims", "GetItem", "LayerNorm", "Maximum", "Minimum",
    "Multiply", "Pad", "Repeat", "Reshape", "Slice", "Squeeze", "Stack", "Subtract", "Take", "TakeAlongAxis", "Tile",
    "Transpose", "TrueDivide", "Where",
})  # fmt: skip
"""Operations that take a table of weights and multiply no matrices: lookups, added positions, scales, rearrangements."""
