"""A Keras optimizer that updates all small variables of a network as one.

Most variables of a network are small: biases, scales and offsets of normalisation, the kernels of small networks. An optimizer
adds a dozen operations to the program for each. They work element by element, so on all small variables laid end to end they give
the same bits, and the program of a DenseNet-121 is traced and compiled in about half the time.

Outside, nothing shows of this: state is given and taken in the order Keras has for an optimizer of the separate variables.
"""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from sweeper.training.checkpoint import Arrays, assign, snapshot
from sweeper.training.recipe import Recipe

LARGEST_JOINED = 2**16
"""Elements of a variable up to which it is joined with others, so that copies stay small beside what is computed; not tuned."""


class SGD(keras.optimizers.SGD):  # type: ignore[misc]
    """Keras's, whose Nesterov momentum may be a tensor: Keras asks whether it is 0, which no tensor in a program answers."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """As Keras's."""
        if not self.nesterov:
            super().update_step(gradient, variable, learning_rate)
            return
        rate, gradient = ops.cast(learning_rate, variable.dtype), ops.cast(gradient, variable.dtype)
        momentum, velocity = ops.cast(self.momentum, variable.dtype), self.momentums[self._get_variable_index(variable)]
        step = ops.multiply(gradient, rate)
        moved = ops.subtract(ops.multiply(velocity, momentum), step)
        self.assign(velocity, moved)
        self.assign_add(variable, ops.subtract(ops.multiply(moved, momentum), step))


def build_optimizer(recipe: Recipe) -> Any:
    """The optimizer of a recipe, not built; its learning rate, at first the peak, is a variable. It clips nothing."""
    common: dict[str, Any] = {
        "learning_rate": recipe.learning_rate,
        # None spares the program a multiplication by zero; AdamW alone does not take it.
        "weight_decay": recipe.weight_decay if recipe.optimizer == "adamw" else recipe.weight_decay or None,
        "use_ema": recipe.ema_momentum > 0,
        "ema_momentum": recipe.ema_momentum,
    }
    if recipe.optimizer == "sgd":
        return SGD(momentum=recipe.momentum, nesterov=recipe.momentum > 0, **common)
    kinds = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "nadam": keras.optimizers.Nadam,
        "rmsprop": keras.optimizers.RMSprop,
    }
    return kinds[recipe.optimizer](**common)


class JoinedOptimizer:
    """An optimizer of these variables.

    Attributes:
        inner: The one of Keras that knows the numbers of the recipe.
        outer: The same, or under ``mixed_float16`` the one that scales the loss around it.
        variables: What both work on: the large variables, then all small ones as one.

    Args:
        recipe: Says which optimizer, and its numbers.
        trained: The variables it updates.
    """

    def __init__(self, recipe: Recipe, trained: Sequence[Any]):
        self.trained = list(trained)
        self._is_joined = [_is_small(variable) for variable in self.trained]
        if sum(self._is_joined) < 2:
            self._is_joined = [False] * len(self.trained)
        sizes = [math.prod(variable.shape) for variable, joined in zip(self.trained, self._is_joined, strict=True) if joined]
        self._cuts = list(itertools.accumulate(sizes))
        self.variables = [variable for variable, joined in zip(self.trained, self._is_joined, strict=True) if not joined]
        if sizes:
            self.variables.append(keras.Variable(np.zeros(sum(sizes), np.float32), name="joined"))
        self.inner = build_optimizer(recipe)
        # Before it is wrapped: built inside the wrapper, its own variables (Nadam's) would be in no list, so they would neither
        # be in a checkpoint nor be reset for the next trial.
        companions = _companions(self.inner, self.variables)
        self.outer = self.inner
        if keras.config.dtype_policy().compute_dtype == "float16":
            self.outer = keras.optimizers.LossScaleOptimizer(self.inner)
            self.outer.build(self.variables)
        self._layout = self._lay_out([companions.get(id(variable)) for variable in self.outer.variables])

    def _lay_out(self, companions: list[tuple[int, int] | None]) -> list[tuple[int, slice | None, tuple[int, ...]]]:
        """Where each array of a state in the order of Keras is kept: in which variable of the optimizer, which part, its shape.

        Args:
            companions: As `_companions` gives them for the variables of the optimizer, in order; None for those it does not name.
        """
        large, cuts, last = itertools.count(), itertools.pairwise([0, *self._cuts]), len(self.variables) - 1
        places: list[tuple[int, slice | None]] = [
            (last, slice(*next(cuts))) if is_joined else (next(large), None) for is_joined in self._is_joined
        ]
        layout: list[tuple[int, slice | None, tuple[int, ...]]] = []
        for block, together in itertools.groupby(enumerate(companions), key=lambda entry: entry[1] and entry[1][0]):
            if block is None:
                layout += [(index, None, ()) for index, _ in together]
                continue
            own: dict[int, list[int]] = collections.defaultdict(list)
            for index, companion in together:
                assert companion is not None
                own[companion[1]].append(index)
            layout += [
                (index, part, tuple(variable.shape))
                for variable, (number, part) in zip(self.trained, places, strict=True)
                for index in own[number]
            ]
        return layout

    # ------------------------------------------------------------------------------------------------- inside a program

    def joined(self, values: Sequence[Any]) -> list[Any]:
        """Values for each of `trained`, such as gradients, as one for each of `variables`; for a small one, None is zeros."""
        large, pieces = [], []
        for variable, value, is_joined in zip(self.trained, values, self._is_joined, strict=True):
            if not is_joined:
                large.append(value)
            elif value is None:
                pieces.append(ops.zeros((math.prod(variable.shape),), variable.dtype))
            else:
                pieces.append(value if len(variable.shape) == 1 else ops.reshape(value, (-1,)))
        return [*large, ops.concatenate(pieces)] if pieces else large

    def separate(self, values: Sequence[Any]) -> list[Any]:
        """The opposite of `joined`."""
        if not self._cuts:
            return list(values)
        large, pieces = iter(values[:-1]), iter(ops.split(values[-1], self._cuts[:-1]))
        return [
            (next(pieces) if len(variable.shape) == 1 else ops.reshape(next(pieces), variable.shape))
            if is_joined
            else next(large)
            for variable, is_joined in zip(self.trained, self._is_joined, strict=True)
        ]

    def clipped(self, gradients: list[Any], clip_norm: Any) -> list[Any]:
        """Gradients of `variables`, scaled down together where their global norm is above `clip_norm`, if that is not None."""
        if clip_norm is None:
            return gradients
        if self.outer is not self.inner:
            clip_norm = clip_norm * self.outer.dynamic_scale
        given = [gradient for gradient in gradients if gradient is not None]
        norm = ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in given))
        factor = clip_norm / ops.maximum(norm, clip_norm)
        return [None if gradient is None else gradient * factor for gradient in gradients]

    # ------------------------------------------------------------------------------------------------ outside a program

    def take_small(self) -> None:
        """Copy the small variables of the network to where they are updated together."""
        if self._cuts:
            self.variables[-1].assign(self.joined([variable.value for variable in self.trained])[-1])

    def give_small(self) -> None:
        """Copy them back into the network."""
        values = self.separate([variable.value for variable in self.variables])
        for variable, value, is_joined in zip(self.trained, values, self._is_joined, strict=True):
            if is_joined:
                variable.assign(value)

    def put_average(self) -> None:
        """Put the moving average of the weights in their place."""
        self.outer.finalize_variable_values(self.variables)
        self.give_small()

    def snapshot(self) -> Arrays:
        """The state, in the order of Keras for separate variables."""
        found = snapshot(self.outer.variables)
        return [found[index] if part is None else found[index][part].reshape(shape) for index, part, shape in self._layout]

    def assign(self, state: Arrays) -> None:
        """Set a state as `snapshot` gives it.

        Raises:
            ValueError: It is that of another optimizer, or of other variables.
        """
        values: Arrays = [np.zeros(variable.shape, np.float32) for variable in self.outer.variables]
        for (index, part, shape), array in zip(self._layout, state, strict=True):
            if part is None:
                values[index] = array
            elif array.shape != shape:
                raise ValueError(f"a value of shape {array.shape} stands where the optimizer has {shape}")
            else:
                values[index][part] = array.ravel()
        assign(self.outer.variables, values)


def _is_small(variable: Any) -> bool:
    is_plain = variable.constraint is None and not getattr(variable, "overwrite_with_gradient", False)
    return math.prod(variable.shape) <= LARGEST_JOINED and variable.dtype == "float32" and is_plain


def _companions(optimizer: Any, variables: Sequence[Any]) -> dict[int, tuple[int, int]]:
    """Build an optimizer; gives by identity of its variables what each belongs to: a block, and one of `variables` by its number.

    A block is what Keras makes in one go: for each variable one or several in turn.
    """
    numbers = {id(variable): number for number, variable in enumerate(variables)}
    found: dict[int, tuple[int, int]] = {}
    add_one, add_all, blocks = optimizer.add_variable_from_reference, optimizer.add_optimizer_variables, itertools.count()
    block = -1

    def noted(reference_variable: Any, *arguments: Any, **options: Any) -> Any:
        made = add_one(reference_variable, *arguments, **options)
        found[id(made)] = block, numbers[id(reference_variable)]
        return made

    def begun(*arguments: Any, **options: Any) -> Any:
        nonlocal block
        block = next(blocks)
        return add_all(*arguments, **options)

    optimizer.add_variable_from_reference, optimizer.add_optimizer_variables = noted, begun
    optimizer.build(variables)
    del optimizer.add_variable_from_reference, optimizer.add_optimizer_variables
    return found
