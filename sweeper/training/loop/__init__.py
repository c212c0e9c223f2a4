"""An epoch as one program: compiled once, called once for many batches, without a step through Python for each.

base            what the backends share: order, chunks, means; and what one batch is, in the words of Keras
on_tensorflow   a `tf.function` that loops over batches
on_jax          a `lax.fori_loop` over stateless steps
on_torch        a plain loop
several         on JAX, several trials as an axis of one program
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweeper.training.loop.base import Images, Loop, Parts


def new_loop(parts: Parts, train: Images, validation: Images) -> Loop:
    """The loop of Keras's backend; not compiled yet.

    Args:
        parts: What it runs.
        train: Training images.
        validation: Validation images.
    """
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        from sweeper.training.loop.on_tensorflow import TensorFlowLoop

        return TensorFlowLoop(parts, train, validation)
    if backend == "jax":
        from sweeper.training.loop.on_jax import JaxLoop

        return JaxLoop(parts, train, validation)
    from sweeper.training.loop.on_torch import TorchLoop

    return TorchLoop(parts, train, validation)
