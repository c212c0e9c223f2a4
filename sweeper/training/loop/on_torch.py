"""An epoch as a plain loop: PyTorch computes as it goes, so there is nothing to compile."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from keras import ops
from numpy.typing import NDArray

from sweeper.training.loop.base import Loop, Portion


class TorchLoop(Loop):
    """As `Loop`."""

    def _place(self, array: NDArray[Any]) -> Any:
        return ops.convert_to_tensor(array)

    def _call(self, trains: bool, portion: Portion, begin: int, end: int, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        images, labels, batches, _ = portion
        chosen = ops.convert_to_tensor(batches[begin:end].astype(np.int64))
        if not trains:
            with torch.no_grad():
                found = [self.parts.measure(images[numbers], labels[numbers]) for numbers in chosen]
        else:
            self.parts.optimizer.take_small()
            # Numbers as they are: an operation on the device for each of them would cost more than it saves.
            with self.parts.values.given(vector.tolist()) as given:
                found = [self._step(images[numbers], labels[numbers], given) for numbers in chosen]
        return np.array([ops.convert_to_numpy(one) for one in found], np.float32)

    def _step(self, images: Any, labels: Any, given: Any) -> Any:
        optimizer = self.parts.optimizer
        self.parts.model.zero_grad()
        loss, measured = self.parts.forward(images, labels, given)
        optimizer.outer.scale_loss(loss).backward()
        with torch.no_grad():
            gradients = optimizer.joined([variable.value.grad for variable in optimizer.trained])
            optimizer.outer.apply(optimizer.clipped(gradients, given.clip_norm), optimizer.variables)
            optimizer.give_small()
        return measured.detach()
