"""A Keras optimizer that updates all vectors of a network as one.

Most variables of a network are vectors: biases, and scales and offsets of normalisation; of DenseNet-121's 364, 242. An optimizer
adds a dozen small operations to the program for each. They work element by element, so on all vectors laid end to end they
give the same bits, and the program is traced and compiled in two thirds of the time.

Outside, nothing shows of this: state is given and taken in the order Keras has for an optimizer of the separate variables.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from sweeper.training.checkpoint import Arrays, assign, snapshot
from sweeper.training.recipe import Recipe


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
        variables: What both work on: the arrays, then all vectors as one.

    Args:
        recipe: Says which optimizer, and its numbers.
        trained: The variables it updates.
    """

    def __init__(self, recipe: Recipe, trained: Sequence[Any]):
        self.trained = list(trained)
        self._is_joined = [_is_plain_vector(variable) for variable in self.trained]
        if sum(self._is_joined) < 2 or all(self._is_joined):
            self._is_joined = [False] * len(self.trained)
        sizes = [variable.shape[0] for variable, joined in zip(self.trained, self._is_joined, strict=True) if joined]
        self._cuts = list(itertools.accumulate(sizes))
        self.variables = [variable for variable, joined in zip(self.trained, self._is_joined, strict=True) if not joined]
        if sizes:
            self.variables.append(keras.Variable(np.zeros(sum(sizes), np.float32), name="vectors"))
        self.inner = build_optimizer(recipe)
        # Before it is wrapped: built inside the wrapper, its own variables (Nadam's) would be in no list, so they would neither
        # be in a checkpoint nor be reset for the next trial.
        companions = _companions(self.inner, self.variables)
        self.outer = self.inner
        if keras.config.dtype_policy().compute_dtype == "float16":
            self.outer = keras.optimizers.LossScaleOptimizer(self.inner)
            self.outer.build(self.variables)
        self._layout = self._lay_out([companions.get(id(variable)) for variable in self.outer.variables])

    def _lay_out(self, companions: list[int | None]) -> list[tuple[int, slice]]:
        """Where each array of a state in the order of Keras is kept: in which variable of the optimizer, in which part of it.

        Args:
            companions: For each variable of the optimizer, the number of the one in `variables` it goes with; None for none.
        """
        arrays, starts = itertools.count(), iter([0, *self._cuts])
        ends = iter(self._cuts)
        last = len(self.variables) - 1
        places = [
            (last, slice(next(starts), next(ends))) if joined else (next(arrays), slice(None)) for joined in self._is_joined
        ]
        layout: list[tuple[int, slice]] = []
        for block in _blocks(companions):
            own: dict[int | None, list[int]] = collections.defaultdict(list)
            for index in block:
                own[companions[index]].append(index)
            if None in own:
                layout += [(index, slice(None)) for index in block]
            else:
                layout += [(index, part) for number, part in places for index in own[number]]
        return layout

    # ------------------------------------------------------------------------------------------------- inside a program

    def joined(self, values: Sequence[Any]) -> list[Any]:
        """Values for each of `trained`, such as gradients, as one for each of `variables`; None in a vector counts as zeros."""
        arrays, pieces = [], []
        for variable, value, is_joined in zip(self.trained, values, self._is_joined, strict=True):
            if is_joined:
                pieces.append(ops.zeros(variable.shape, variable.dtype) if value is None else value)
            else:
                arrays.append(value)
        return [*arrays, ops.concatenate(pieces)] if pieces else arrays

    def separate(self, values: Sequence[Any]) -> list[Any]:
        """The opposite of `joined`."""
        if not self._cuts:
            return list(values)
        arrays, pieces = iter(values[:-1]), iter(ops.split(values[-1], self._cuts[:-1]))
        return [next(pieces) if is_joined else next(arrays) for is_joined in self._is_joined]

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

    def take_vectors(self) -> None:
        """Copy the vectors of the network to where they are updated together."""
        if self._cuts:
            self.variables[-1].assign(self.joined([variable.value for variable in self.trained])[-1])

    def give_vectors(self) -> None:
        """Copy them back into the network."""
        values = self.separate([variable.value for variable in self.variables])
        for variable, value, is_joined in zip(self.trained, values, self._is_joined, strict=True):
            if is_joined:
                variable.assign(value)

    def put_average(self) -> None:
        """Put the moving average of the weights in their place."""
        self.outer.finalize_variable_values(self.variables)
        self.give_vectors()

    def snapshot(self) -> Arrays:
        """The state, in the order of Keras for separate variables."""
        found = snapshot(self.outer.variables)
        return [found[index] if part == slice(None) else found[index][part] for index, part in self._layout]

    def assign(self, state: Arrays) -> None:
        """Set a state as `snapshot` gives it.

        Raises:
            ValueError: It is that of another optimizer, or of other variables.
        """
        values: Arrays = [np.zeros(variable.shape, np.float32) for variable in self.outer.variables]
        for (index, part), array in zip(self._layout, state, strict=True):
            if part == slice(None):
                values[index] = array
            else:
                values[index][part] = array
        assign(self.outer.variables, values)


def _is_plain_vector(variable: Any) -> bool:
    is_plain = variable.constraint is None and not getattr(variable, "overwrite_with_gradient", False)
    return len(variable.shape) == 1 and variable.dtype == "float32" and is_plain


def _companions(optimizer: Any, variables: Sequence[Any]) -> dict[int, int]:
    """Build an optimizer; gives by identity of each of its variables the number of the one it goes with, if it goes with one."""
    numbers = {id(variable): number for number, variable in enumerate(variables)}
    found: dict[int, int] = {}
    add = optimizer.add_variable_from_reference

    def noted(reference_variable: Any, *arguments: Any, **options: Any) -> Any:
        made = add(reference_variable, *arguments, **options)
        found[id(made)] = numbers[id(reference_variable)]
        return made

    optimizer.add_variable_from_reference = noted
    optimizer.build(variables)
    del optimizer.add_variable_from_reference
    return found


def _blocks(companions: list[int | None]) -> list[list[int]]:
    """Positions of what Keras makes in one go: for each variable one or several in turn; what goes with none is alone."""
    blocks: list[list[int]] = []
    before: int | None = None
    for index, number in enumerate(companions):
        if number is None or (number == 0 and before != 0):
            blocks.append([])
        blocks[-1].append(index)
        before = number
    return blocks
