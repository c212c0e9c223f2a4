"""The training recipe: optimizer, learning rate, loss and augmentation settings of one configuration."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Self

from sweeper.study.space import TRAINING, Value

OUTSIDE = ("learning_rate", "schedule", "warmup_epochs", "label_smoothing", "mix_alpha", "weights", "trained")
"""Fields that no program depends on; on the last two it does where there are weights."""

AS_VALUES = ("momentum", "weight_decay", "clip_norm", "ema_momentum", "shift", "rotation_degrees", "brightness", "cutout")
"""Fields that a program is given, where they are above 0."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one trial is trained; the fields, their ranges and defaults are those of `sweeper.study.space.TRAINING`."""

    optimizer: str
    learning_rate: float
    schedule: str
    warmup_epochs: int
    batch_size: int
    momentum: float
    weight_decay: float
    label_smoothing: float
    clip_norm: float
    class_weights: str
    ema_momentum: float
    flip: str
    shift: float
    rotation_degrees: float
    brightness: float
    rand_augment: float
    cutout: float
    mix: str
    mix_alpha: float
    weights: str
    trained: str
    scaling: str

    @classmethod
    def of(cls, configuration: Mapping[str, Value]) -> Self:
        """The recipe in a configuration, absent fields at their defaults."""
        return cls(**{name: configuration.get(name, knob.default) for name, knob in TRAINING.items()})  # type: ignore[arg-type]

    def learning_rate_at(self, epoch: int, max_epochs: int) -> float:
        """The learning rate of an epoch, constant within it.

        Warm-up rises in equal steps to the peak, reached in the first epoch after it. Then ``cosine`` falls from the peak towards
        zero, which the epoch after the last would have; ``step`` divides by ten after half of all epochs and again after three
        quarters, as He et al. 2015 did on CIFAR. ``one_cycle`` brings a warm-up of its own, from a 25th of the peak over the
        first 30 % of the epochs, and falls as ``cosine`` (Smith 2018; momentum stays as it is).

        Args:
            epoch: From 1 to `max_epochs`.
            max_epochs: Length of the whole schedule.
        """
        is_one_cycle = self.schedule == "one_cycle"
        rise = round(0.3 * max_epochs) if is_one_cycle else self.warmup_epochs
        if epoch <= rise:
            share = 1 / 25 + 24 / 25 * (epoch - 1) / rise if is_one_cycle else epoch / (rise + 1)
            return self.learning_rate * share
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "step":
            done = (epoch - 1) / max_epochs
            return self.learning_rate * (1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01)
        progress = (epoch - 1 - rise) / (max_epochs - rise)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))

    @property
    def graph_key(self) -> tuple[Value, ...]:
        """What is fixed in the compiled program; of a number that is one of `sweeper.training.values`, whether it is above 0."""
        key = tuple(
            getattr(self, field.name) > 0 if field.name in AS_VALUES else getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in OUTSIDE
        )
        return key if self.weights == "none" else (*key, self.weights, self.trained)
