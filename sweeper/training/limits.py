"""The size of a network, and whether a study allows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweeper.errors import KnobError
from sweeper.study.constraints import violation


class LimitError(KnobError):
    """A network exceeds a constraint of its study.

    Args:
        text: Which one, and by how much.
        sizes: As of `sizes_of`.
    """

    def __init__(self, text: str, sizes: Mapping[str, int]):
        super().__init__(text)
        self.sizes = dict(sizes)


def sizes_of(network: Any, limits: Mapping[str, int]) -> dict[str, int]:
    """``parameters`` and ``macs`` of a network without auxiliary heads, nothing of it frozen yet.

    Args:
        network: A Keras model.
        limits: The largest value of each of them that is allowed, where there is one.

    Raises:
        LimitError: It exceeds one.
    """
    from sweeper.training.measuring import measure

    counted = measure.inference_network(network)
    sizes = {"parameters": measure.trainable_parameters(counted), "macs": measure.count_macs(counted)}
    if text := violation(limits, sizes):
        raise LimitError(text, sizes)
    return sizes
