"""Several trials of one configuration as an axis of one program, on JAX.

They differ in their seeds alone, so all state has the axis, optimizer and learning rate included, and so have the batches. Images
and the numbers of `sweeper.training.values` have not: all members share them. Each member computes what it computes alone, up to
rounding: the compiler adds in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp
from numpy.typing import NDArray

from sweeper.training.loop.base import Images, Parts, training_means, validation_means
from sweeper.training.loop.on_jax import JaxLoop


class SeveralLoop(JaxLoop):
    """As `JaxLoop`, for members that have states of their own and share the variables of the model.

    `put` and `take` carry the state of a member from the variables and back into them.

    Args:
        parts: What it runs.
        train: Training images.
        validation: Validation images.
        count: Members.
    """

    def __init__(self, parts: Parts, train: Images, validation: Images, count: int):
        super().__init__(parts, train, validation)
        self._count = count
        self._host: Any = None
        """The states of all members, the axis first; None where the device has newer ones, or there are none yet."""
        self._device: Any = None
        rate = parts.optimizer.inner._learning_rate
        self._rate = next(number for number, variable in enumerate(self._variables[2]) if variable is rate)
        self._average = jax.jit(jax.vmap(self._averaged))

    def put(self, number: int) -> None:
        """Keep the values of the variables as the state of a member."""
        states, self._device = self._on_host(), None
        for together, own in zip(jax.tree.leaves(states), jax.tree.leaves(self._of_variables()), strict=True):
            together[number] = own

    def take(self, number: int) -> None:
        """Give the variables the state of a member."""
        super()._set(jax.tree.map(lambda together: together[number], self._on_host()))

    def release(self) -> None:
        """Forget the states of all members."""
        self._host = self._device = None

    def train_each(
        self, orders: Sequence[NDArray[Any]], learning_rates: Sequence[float], vector: NDArray[np.float32]
    ) -> list[dict[str, float]]:
        """An epoch of every member, as `train`, each with the order and the learning rate of its own."""
        trained, others, slots = self._get()
        slots[self._rate] = jnp.asarray(learning_rates, slots[self._rate].dtype)
        self._set((trained, others, slots))
        found = self._run(True, self._train, self._whole(np.stack(orders)), vector)
        return [training_means(found[:, number]) for number in range(self._count)]

    def validate_each(self) -> list[dict[str, float]]:
        """As `validate`, for every member, with the moving average of the weights where the recipe asks for one."""
        kept = self._get()
        if self.parts.recipe.ema_momentum:
            self._device = (self._average(kept), *kept[1:])
        found = self._numbers_of(self._validation)
        self._device = kept
        return [validation_means(found[:, number], len(self._validation)) for number in range(self._count)]

    def _averaged(self, state: Any) -> list[Any]:
        """The moving average of the trained variables."""
        with keras.StatelessScope([*self._of_model(*state[:2]), *self._of_optimizer(state[2])]) as scope:
            self.parts.optimizer.put_average()
            return [scope.get_current_value(variable) for variable in self._variables[0]]

    def _any_order(self) -> NDArray[Any]:
        return np.stack([super()._any_order()] * self._count)

    def _whole(self, order: NDArray[Any]) -> NDArray[np.int32]:
        """(batches, members, batch size) from (members, images)."""
        return np.stack([super(SeveralLoop, self)._whole(own) for own in order], axis=1)

    def _step(self, trains: bool) -> tuple[Callable[..., tuple[Any, Any]], tuple[int, ...]]:
        step, shape = super()._step(trains)
        # Validation has the same batches for all.
        return jax.vmap(step, in_axes=(0, None, None, 0 if trains else None, None)), (self._count, *shape)

    def _get(self) -> Any:
        if self._device is None:
            self._device, self._host = jax.tree.map(jnp.asarray, self._on_host()), None
        return self._device

    def _set(self, state: Any) -> None:
        self._device, self._host = state, None

    def _on_host(self) -> Any:
        if self._host is None and self._device is None:
            self._host = jax.tree.map(lambda value: np.stack([value] * self._count), self._of_variables())
        elif self._host is None:
            self._host = jax.tree.map(np.array, self._device)
        return self._host

    def _of_variables(self) -> Any:
        return jax.tree.map(np.asarray, super()._get())
