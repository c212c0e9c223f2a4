"""An epoch as a `tf.function` that loops over batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sweeper.training.loop.base import MEASURED, Images, Loop, Parts, Portion


class TensorFlowLoop(Loop):
    """As `Loop`.

    Keras's layers are traced as they are, without AutoGraph, which none of them needs and which doubles the time of tracing.
    """

    def __init__(self, parts: Parts, train: Images, validation: Images):
        super().__init__(parts, train, validation)
        dtype = tf.as_dtype(train.images.dtype)
        # TensorFlow has no kernel that picks rows of bytes on a GPU. Numbers up to 255 are exact in half precision.
        self._stored_dtype = tf.float16 if dtype == tf.uint8 and _has_gpu() else dtype
        self._programs: dict[bool, Any] = {}

    def _program(self, trains: bool) -> Any:
        """The program, traced at its first use, from then on called without looking for another trace that might fit better."""
        if trains not in self._programs:
            function, size = (self._trained, self._size) if trains else (self._validated, self._validation_size)
            images, number = self._train.images, tf.TensorSpec((), tf.int32)
            self._programs[trains] = tf.function(function, autograph=False).get_concrete_function(
                tf.TensorSpec((None, *images.shape[1:]), self._stored_dtype),
                tf.TensorSpec((None,), tf.int32),
                tf.TensorSpec((None, size), tf.int32),
                number,
                number,
                tf.TensorSpec(self.parts.values.vector.shape, tf.float32),
            )
        return self._programs[trains]

    def _trained(self, images: Any, labels: Any, batches: Any, begin: Any, end: Any, vector: Any) -> Any:
        parts, optimizer = self.parts, self.parts.optimizer
        optimizer.take_small()

        def step(images: Any, labels: Any) -> Any:
            with tf.GradientTape() as tape:
                loss, measured = parts.forward(images, labels, given)
                scaled = optimizer.outer.scale_loss(loss)
            gradients = optimizer.joined(tape.gradient(scaled, [variable.value for variable in optimizer.trained]))
            if given.clip_norm is not None:
                gradients = [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in gradients]
            optimizer.outer.apply(optimizer.clipped(gradients, given.clip_norm), optimizer.variables)
            optimizer.give_small()
            return measured

        with parts.values.given(vector) as given:
            return self._over(step, (MEASURED,), images, labels, batches, begin, end)

    def _validated(self, images: Any, labels: Any, batches: Any, begin: Any, end: Any, vector: Any) -> Any:
        return self._over(
            self.parts.measure, (self.parts.num_measures, self._validation_size), images, labels, batches, begin, end
        )

    def _place(self, array: NDArray[Any]) -> Any:
        return tf.constant(array, tf.int32 if array.dtype == np.int32 else self._stored_dtype)

    def _call(self, trains: bool, portion: Portion, begin: int, end: int, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        images, labels, batches, _ = portion
        arguments = map(tf.constant, (batches, np.int32(begin), np.int32(end), vector))
        found: NDArray[np.float32] = self._program(trains)(images, labels, *arguments).numpy()
        return found

    def _over(
        self,
        step: Callable[[Any, Any], Any],
        shape: tuple[int, ...],
        images: Any,
        labels: Any,
        batches: Any,
        begin: Any,
        end: Any,
    ) -> Any:
        """What a step gives, for the batches from `begin` to `end`: (batches, *shape)."""
        size, dtype = batches.shape[1], self._train.images.dtype

        def body(number: Any, found: Any) -> tuple[Any, Any]:
            chosen = batches[number]
            picked = tf.ensure_shape(tf.cast(tf.gather(images, chosen), dtype), (size, *images.shape[1:]))
            return number + 1, found.write(number - begin, step(picked, tf.gather(labels, chosen)))

        found = tf.TensorArray(tf.float32, size=end - begin, element_shape=shape)
        return tf.while_loop(lambda number, _: number < end, body, (begin, found), parallel_iterations=1)[1].stack()


def _has_gpu() -> bool:
    return bool(tf.config.list_logical_devices("GPU"))
