"""Where the parameters of a network sit: by block and by kind of layer."""

from __future__ import annotations

import math
from typing import TypedDict

import keras

from sweeper.training.measuring.blocks import blocks, layers
from sweeper.training.measuring.measure import leaves

KINDS = {
    "Conv": "convolution",
    "Dense": "dense",
    "Normalization": "normalisation",
    "Attention": "attention",
}
"""Kinds of layers, by a part of their class's name; what has none of these is ``other``."""


class Share(TypedDict):
    """Trainable parameters of one kind of layer in one block: how many, and which fraction of all."""

    block: str
    kind: str
    parameters: int
    share: float


def parameter_shares(model: keras.Model) -> list[Share]:
    """The trainable parameters of each block by kind of layer, from input to logits, the largest kind of a block first.

    A block without parameters has no entry. A weight that several layers share counts where it is used first.

    Args:
        model: As for `sweeper.training.measuring.measure.count_macs`.

    Raises:
        SweeperError: As `sweeper.training.measuring.measure.count_macs`.
    """
    total = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    seen: set[int] = set()
    found: list[Share] = []
    for block, group in zip(blocks(model), layers(model), strict=True):
        counts: dict[str, int] = {}
        for layer in group:
            for leaf in leaves(layer) if isinstance(layer, keras.Model) else [layer]:
                new = [weight for weight in leaf.trainable_weights if id(weight) not in seen]
                seen.update(map(id, new))
                kind = kind_of(leaf)
                counts[kind] = counts.get(kind, 0) + sum(math.prod(weight.shape) for weight in new)
        found += [
            Share(block=block.title, kind=kind, parameters=count, share=count / total)
            for kind, count in sorted(counts.items(), key=lambda pair: -pair[1])
            if count
        ]
    return found


def kind_of(layer: keras.layers.Layer) -> str:
    """What a layer counts as."""
    name = type(layer).__name__
    return next((kind for part, kind in KINDS.items() if part in name), "other")
