"""An epoch as a `lax.fori_loop` over steps that take all state and give it back; on a CPU as one compiled step after another.

Inside a loop, XLA's convolutions for CPUs are about three times slower than outside (2026-11-28, jax 0.10, two Xeon cores: an
epoch of a small CNN 1.5 s instead of 0.46 s), which is more than handing each step over costs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
from jax import lax
from jax import numpy as jnp
from numpy.typing import NDArray

from sweeper.training.loop.base import MEASURED, Images, Loop, Parts, Portion


class JaxLoop(Loop):
    """As `Loop`. The number of batches of a call is an input of the program, so calls of any length share one.

    State is a triple of lists: values of the trained variables, of the model's others, of the optimizer's.
    """

    def __init__(self, parts: Parts, train: Images, validation: Images):
        super().__init__(parts, train, validation)
        trained = {id(variable) for variable in parts.optimizer.trained}
        others = [variable for variable in parts.model.variables if id(variable) not in trained]
        self._variables = (parts.optimizer.trained, others, parts.optimizer.outer.variables)
        self._is_loop = _loops()
        self._compiled: dict[tuple[bool, int], Any] = {}

    def _trained(self, state: Any, images: Any, labels: Any, chosen: Any, vector: Any) -> tuple[Any, Any]:
        """State after a batch, and its numbers."""
        optimizer = self.parts.optimizer
        with self.parts.values.given(vector) as given:

            def forward(trained: Any, others: Any, slots: Any) -> Any:
                with keras.StatelessScope(self._of_model(trained, others), collect_losses=True) as scope:
                    loss, measured = self.parts.forward(images[chosen], labels[chosen], given)
                found = [scope.get_current_value(variable) for variable in self._variables[1]]
                others = [before if now is None else now for before, now in zip(others, found, strict=True)]
                with keras.StatelessScope(self._of_optimizer(slots)):
                    return optimizer.outer.scale_loss(loss), (others, measured)

            trained, others, slots = state
            gradients, (others, measured) = jax.grad(forward, has_aux=True)(trained, others, slots)
            with keras.StatelessScope(self._of_optimizer(slots)):
                gradients = optimizer.clipped(optimizer.joined(gradients), given.clip_norm)
            together, slots = optimizer.outer.stateless_apply(slots, gradients, optimizer.joined(trained))
            return (optimizer.separate(together), others, slots), measured

    def _validated(self, state: Any, images: Any, labels: Any, chosen: Any, vector: Any) -> tuple[Any, Any]:
        with keras.StatelessScope(self._of_model(*state[:2])):
            return state, self.parts.measure(images[chosen], labels[chosen])

    def _of_model(self, trained: Any, others: Any) -> list[tuple[Any, Any]]:
        return [*zip(self._variables[0], trained, strict=True), *zip(self._variables[1], others, strict=True)]

    def _of_optimizer(self, slots: Any) -> list[tuple[Any, Any]]:
        return [*zip(self._variables[2], slots, strict=True)]

    def _place(self, array: NDArray[Any]) -> Any:
        return jnp.asarray(array)

    def _call(self, trains: bool, portion: Portion, begin: int, end: int, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        state, on_device = self._get(), (portion.images, portion.labels)
        if self._is_loop:
            program = self._program(trains, state, *on_device, portion.batches, np.int32(0), np.int32(0), vector)
            state, measured = program(state, *on_device, portion.batches, np.int32(begin), np.int32(end), vector)
            found = np.asarray(measured)[: end - begin]
        else:
            program, each = self._program(trains, state, *on_device, portion.batches[0], vector), []
            for chosen in portion.batches[begin:end]:
                state, measured = program(state, *on_device, chosen, vector)
                each.append(measured)
            found = np.array(each, np.float32)
        if trains:
            self._set(state)
        return found

    def _get(self) -> Any:
        return tuple([variable.value for variable in variables] for variables in self._variables)

    def _set(self, state: Any) -> None:
        for variables, values in zip(self._variables, state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def _step(self, trains: bool) -> tuple[Callable[..., tuple[Any, Any]], tuple[int, ...]]:
        """What is done with a batch, and the shape of the numbers that come of it."""
        return (self._trained, (MEASURED,)) if trains else (self._validated, (self.parts.num_measures, self._validation_size))

    def _program(self, trains: bool, *arguments: Any) -> Any:
        """The program, compiled the first time for so many images; it gives state, if it trains, and numbers."""
        key = trains, len(arguments[1])
        if key not in self._compiled:
            step, shape = self._step(trains)
            function = functools.partial(_over, step, shape) if self._is_loop else step
            self._compiled[key] = jax.jit(function, donate_argnums=0 if trains else ()).lower(*arguments).compile()
        return self._compiled[key]


def _loops() -> bool:
    return str(jax.default_backend()) != "cpu"


def _over(
    step: Callable[..., tuple[Any, Any]],
    shape: tuple[int, ...],
    state: Any,
    images: Any,
    labels: Any,
    batches: Any,
    begin: Any,
    end: Any,
    vector: Any,
) -> tuple[Any, Any]:
    """State after the batches from `begin` to `end`, and what each gave, first of (most batches, *shape)."""

    def body(number: Any, carried: Any) -> Any:
        state, found = carried
        state, measured = step(state, images, labels, batches[number], vector)
        return state, found.at[number - begin].set(measured)

    after: tuple[Any, Any] = lax.fori_loop(begin, end, body, (state, jnp.zeros((len(batches), *shape), "float32")))
    return after
