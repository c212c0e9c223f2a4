"""Weights that a network begins with: all of a network but its head, how their images were standardised, and what is frozen.

The weights of a network of Keras Applications are read once, by `sweeper.training.weights.files`, and travel as arrays. In a
worker, this module puts them into a network built under its trial's seed, so that only the head stays random, and freezes the
layers that are not to be trained.

Stages are the blocks in front of the head, as `sweeper.training.measuring.blocks` finds them on images of 224x224, so that
``last-2`` means the same layers for images of every size. A frozen layer keeps its weights; frozen batch normalisation uses the
statistics it came with and keeps them. Dropout and stochastic depth stay active inside frozen stages.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from sweeper.errors import KnobError
from sweeper.study.space import Configuration, Value

Array = np.ndarray[Any, Any]

TRAINING_ONLY = ("dropout", "dense_dropout", "head_dropout", "stochastic_depth_rate", "norm_momentum")
"""Knobs of architectures that change what happens while a network trains, but neither its weights nor what it computes then."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asking:
    """An arm some of whose trials begin with weights.

    Args:
        name: The arm's.
        architecture: Name in the catalog.
        space: Its search space; None when every knob is fixed.
        recipe: The search space of training knobs that is added to it.
        fixed: Values that are not searched.
    """

    name: str
    architecture: str
    space: str | None
    recipe: str | None
    fixed: Configuration


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What a trained network gives to one of ours.

    Args:
        file: Name of the file its weights came from.
        sha256: Of that file.
        mean: Per channel (red, green, blue), what its images were centred at, as a share of the largest value.
        deviation: Per channel, what they were divided by.
        is_bgr: Whether it takes channels in the order blue, green, red.
        arrays: For each weight of our network, as `weights_in_order` lists them, its value; None for those of the head.
        stages: For each weight its stage, counted from the end: 0 for the head, 1 for the last stage.
    """

    file: str
    sha256: str
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    is_bgr: bool
    arrays: tuple[Array | None, ...]
    stages: tuple[int, ...]

    def give(self, network: Any) -> None:
        """Put the weights into a network of ours."""
        for weight, array in zip(weights_in_order(network), self.arrays, strict=True):
            if array is not None:
                weight.assign(array)

    def freeze(self, network: Any, trained: str) -> None:
        """Freeze all layers of a network that are not to be trained; call it before the network is compiled.

        Args:
            network: One of those the arrays are for.
            trained: ``all``, ``head``, or ``last-1`` and so on: the head and so many stages in front of it.

        Raises:
            KnobError: It has fewer stages.
        """
        if trained == "all":
            return
        count = check_trained(trained, self.stages)
        stage_of = {id(weight): stage for weight, stage in zip(weights_in_order(network), self.stages, strict=True)}
        for layer in network.layers:
            if layer.weights and min(stage_of[id(weight)] for weight in layer.weights) > count:
                layer.trainable = False

    @property
    def label(self) -> str:
        """The file and its content in a few words, for the record."""
        return f"{self.file} sha256:{self.sha256}"

    def save(self, folder: Path) -> None:
        """Write everything to an empty folder: JSON, and the arrays as .npz."""
        facts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "arrays"}
        (folder / "facts.json").write_text(json.dumps({**facts, "num_weights": len(self.arrays)}), encoding="utf-8")
        arrays = {str(place): array for place, array in enumerate(self.arrays) if array is not None}
        np.savez(folder / "arrays.npz", **arrays)  # type: ignore[arg-type]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `save` wrote."""
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        places = map(str, range(facts.pop("num_weights")))
        with np.load(folder / "arrays.npz", allow_pickle=False) as stored:
            arrays = tuple(stored.get(place) for place in places)
        facts.update({name: tuple(facts[name]) for name in ("mean", "deviation", "stages")})
        return cls(**facts, arrays=arrays)


def weights_in_order(network: Any) -> list[Any]:
    """The weights of a network by the class of their layer, and layers of one class in the order in which they were made.

    ``network.weights`` lists layers by depth, and one more layer on one of two paths, such as dropout, shifts all behind it.
    """
    from sweeper.training.measuring.measure import leaves

    def key(layer: Any) -> tuple[str, str, int]:
        stem, number = re.fullmatch(r"(.*?)_?(\d*)", layer.name).groups()  # type: ignore[union-attr]
        return type(layer).__name__, stem, int(number or 0)

    return [weight for layer in sorted(leaves(network), key=key) for weight in layer.weights]


def wants_weights(configuration: Mapping[str, Value]) -> bool:
    """Whether a trial with this configuration begins with weights."""
    return configuration.get("weights", "none") != "none"


def check_trained(trained: str, stages: tuple[int, ...]) -> int:
    """How many stages in front of the head `trained` names; raises `KnobError` when the network has fewer."""
    count = 0 if trained == "head" else int(trained.removeprefix("last-"))
    if count > max(stages):
        allowed = ", ".join(["all", "head", *(f"last-{number}" for number in range(1, max(stages) + 1))])
        raise KnobError(
            f"'trained' is '{trained}', but this network has {max(stages)} stages in front of its head; allowed: {allowed}. "
            "Change 'trained'."
        )
    return count
