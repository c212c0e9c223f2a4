"""The training recipe: optimizer, learning rate, loss and augmentation settings of one configuration."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self

from sweeper.study.space import TRAINING, Value


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

    def build_optimizer(self) -> Any:
        """The optimizer with the peak as its learning rate, which is a variable and may be set at any time."""
        import keras

        common: dict[str, Any] = {
            "learning_rate": self.learning_rate,
            # None spares the graph a multiplication by zero; AdamW alone does not take it.
            "weight_decay": self.weight_decay if self.optimizer == "adamw" else self.weight_decay or None,
            "global_clipnorm": self.clip_norm or None,
            "use_ema": self.ema_momentum > 0,
            "ema_momentum": self.ema_momentum,
        }
        if self.optimizer == "sgd":
            return keras.optimizers.SGD(momentum=self.momentum, nesterov=self.momentum > 0, **common)
        kinds = {
            "adam": keras.optimizers.Adam,
            "adamw": keras.optimizers.AdamW,
            "nadam": keras.optimizers.Nadam,
            "rmsprop": keras.optimizers.RMSprop,
        }
        return kinds[self.optimizer](**common)

    @property
    def graph_key(self) -> tuple[Value, ...]:
        """What is a constant of the compiled program: everything but the learning rate, its schedule and its warm-up."""
        outside = ("learning_rate", "schedule", "warmup_epochs", "weights", "trained")
        key = tuple(getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in outside)
        return key if self.weights == "none" else (*key, self.weights, self.trained)
