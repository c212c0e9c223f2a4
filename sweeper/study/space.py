"""Search spaces as pure data: what a hyperparameter may be, and when it exists.

A space belongs to one architecture and has two groups of knobs: ``model`` (arguments of the architecture) and ``training``
(fields of the training recipe, see `TRAINING`). A configuration is one flat mapping from knob name to value; names are unique
over both groups. Every knob has a default, and all defaults together are the configuration of an arm's trial 0.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Self

from sweeper.errors import KnobError, unknown

Value = bool | int | float | str
Configuration = dict[str, Value]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Knob:
    """What all knobs share.

    Args:
        default: The value of an arm's trial 0.
        condition: ``(name of another knob, values)``: this knob exists only when that one has one of these values.
        centre: Where good values are expected, if not at the default.
    """

    default: Value
    condition: tuple[str, tuple[Value, ...]] | None = None
    centre: Value | None = None

    @property
    def has_default(self) -> bool:
        """Whether it has one; what describes an argument with a default needs none."""
        return self.default is not None

    @property
    def likely(self) -> Value:
        """Where good values are expected: near it a search begins (`search.prior` in a study file)."""
        return self.default if self.centre is None else self.centre

    def when(self, **condition: Value | tuple[Value, ...]) -> Self:
        """The same knob, existing only when another knob has this value (or one of these values).

        Args:
            condition: One keyword: the other knob's name and its value or values.

        Raises:
            KnobError: With no or several keywords.
        """
        if len(condition) != 1:
            raise KnobError(f".when(...) takes exactly one knob=value, not {len(condition)}.")
        name, values = next(iter(condition.items()))
        return dataclasses.replace(self, condition=(name, values if isinstance(values, tuple) else (values,)))

    def _check(self) -> None:
        for name, value in (("default", self.default), ("centre", self.likely)):
            if value is not None and (problem := self.problem(value)) is not None:
                raise KnobError(f"the {name} {problem}")

    def problem(self, value: object) -> str | None:
        """Why `value` is not allowed, as the end of a sentence, or None when it is."""
        raise NotImplementedError

    def describe(self) -> str:
        """The allowed values in words."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Number(Knob):
    default: Value = None  # type: ignore[assignment]  # until what it is for has one: see `Space`
    low: float
    high: float
    log: bool = False
    width: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.width <= 10:
            raise KnobError(f"{self}: width must be above 0 and at most 10, as a part of the range.")
        if not self.low < self.high:
            raise KnobError(f"{self}: low must be below high.")
        if self.log and self.low <= 0:
            raise KnobError(f"{self}: a logarithmic range must start above 0.")
        self._check()

    def problem(self, value: object) -> str | None:
        """As `Knob.problem`."""
        wanted = "a whole number" if isinstance(self, Int) else "a number"
        accepted = int if isinstance(self, Int) else (int, float)
        if isinstance(value, bool) or not isinstance(value, accepted):
            return f"{value!r} is not {wanted}; allowed: {self.describe()}."
        if not math.isfinite(value) or not self.low <= value <= self.high:
            return f"{value!r} is outside its range; allowed: {self.describe()}."
        return None

    def describe(self) -> str:
        """As `Knob.describe`."""
        return f"{self.low:g} to {self.high:g}{', logarithmic' if self.log else ''}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Float(_Number):
    """A real number from `low` to `high`, both included; `log` samples it on a logarithmic scale.

    `width` is how far from the centre good values are expected: a standard deviation, as a part of the range in its own scale.
    Without a default it describes the argument of a function, which has one.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Int(_Number):
    """A whole number from `low` to `high`, both included; `log` and `width` as for `Float`."""

    low: int
    high: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice(Knob):
    """One of a few values (text, numbers, booleans), without an order."""

    options: tuple[Value, ...]

    def __init__(self, *options: Value, default: Value | None = None, condition: Any = None, centre: Value | None = None):
        if not options:
            raise KnobError("Choice(...) needs at least one option.")
        if len({(type(option), option) for option in options}) != len(options):
            raise KnobError(f"Choice{options}: the same option occurs twice.")
        object.__setattr__(self, "options", options)
        object.__setattr__(self, "default", options[0] if default is None else default)
        object.__setattr__(self, "condition", condition)
        object.__setattr__(self, "centre", centre)
        self._check()

    def when(self, **condition: Value | tuple[Value, ...]) -> Choice:
        """As `Knob.when`."""
        plain = Knob(default=self.default).when(**condition)
        return Choice(*self.options, default=self.default, condition=plain.condition, centre=self.centre)

    def problem(self, value: object) -> str | None:
        """As `Knob.problem`."""
        if any(value == option and isinstance(value, bool) == isinstance(option, bool) for option in self.options):
            return None
        return f"{value!r} is not one of its options; allowed: {self.describe()}."

    def describe(self) -> str:
        """As `Knob.describe`."""
        return ", ".join(str(option).lower() if isinstance(option, bool) else str(option) for option in self.options)


TRAINING: Mapping[str, Knob] = {
    "optimizer": Choice("adam", "adamw", "sgd", "nadam", "rmsprop"),
    "learning_rate": Float(low=1e-7, high=10.0, log=True, default=1e-3),
    "schedule": Choice("constant", "cosine", "step", "one_cycle"),
    "warmup_epochs": Int(low=0, high=1000, default=0).when(schedule=("constant", "cosine", "step")),
    "batch_size": Int(low=1, high=65536, log=True, default=32),
    "momentum": Float(low=0.0, high=0.9999, default=0.9).when(optimizer="sgd"),
    "weight_decay": Float(low=0.0, high=1.0, default=0.0),
    "label_smoothing": Float(low=0.0, high=0.9, default=0.0),
    "clip_norm": Float(low=0.0, high=1e6, default=0.0),
    "class_weights": Choice("none", "balanced"),
    "ema_momentum": Float(low=0.0, high=0.9999, default=0.0),
    "flip": Choice("none", "horizontal", "vertical", "both"),
    "shift": Float(low=0.0, high=0.5, default=0.0),
    "rotation_degrees": Float(low=0.0, high=180.0, default=0.0),
    "brightness": Float(low=0.0, high=1.0, default=0.0),
    "rand_augment": Float(low=0.0, high=1.0, default=0.0),
    "cutout": Float(low=0.0, high=0.9, default=0.0),
    "mix": Choice("none", "mixup", "cutmix"),
    "mix_alpha": Float(low=0.01, high=1.0, default=0.2).when(mix=("mixup", "cutmix")),
    "weights": Choice("none", "imagenet"),
    "trained": Choice("all", "head", "last-1", "last-2", "last-3", "last-4").when(weights="imagenet"),
    "scaling": Choice("standardise", "unit").when(weights="none"),
}
"""The training recipe's fields: every value they may have, and their defaults. A space narrows them, a study may fix them.

`learning_rate` is the peak; `schedule` and `warmup_epochs` say how it moves from epoch to epoch; `weight_decay` is decoupled
from the gradient; `clip_norm` is the largest global gradient norm, 0 for no clipping; `momentum` (Nesterov) is for sgd only;
`class_weights` ``balanced`` lets every class weigh the same in the loss however few images it has; `ema_momentum` is that of an
exponential moving average of the weights, which is what gets validated, 0 for none. `flip` to `mix_alpha` are augmentation, see
`sweeper.training.augmentation`: 0 or ``none`` switches each off. `weights` ``imagenet`` starts from the weights that Keras
Applications has for this very network, all but the head; `trained` says what is trained then: everything, the head alone, or the
head and as many of the last stages, see `sweeper.training.weights.pretrained`. `scaling` is how images reach a network without
such weights: ``standardise`` for a mean of 0 and a deviation of 1 per channel over the training images, ``unit`` for 0 to 1.
"""


COMMON: Mapping[str, Knob] = {
    "optimizer": Choice("adam", "adamw", "sgd"),
    "learning_rate": Float(low=1e-4, high=3e-2, log=True, default=1e-3),
    "schedule": Choice("cosine", "constant"),
    "batch_size": Choice(32, 64, 128),
    "momentum": Float(low=0.8, high=0.99, default=0.9).when(optimizer="sgd"),
    "weight_decay": Float(low=1e-5, high=1e-1, log=True, default=1e-3).when(optimizer="adamw"),
    "label_smoothing": Float(low=0.0, high=0.2, default=0.0),
}
"""What is searched of training where nothing more is known of a network: right for those with normalisation or few layers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Space:
    """The knobs of one architecture, or training knobs that go with every architecture.

    Args:
        architecture: Name of the architecture whose arguments `model` names; None for a space of training knobs alone, which a
            study adds to the space of every arm (`search.recipe` in a study file).
        model: Knobs of the architecture.
        training: Knobs of the training recipe; each inside its range in `TRAINING`.

    Raises:
        KnobError: When a name is in both groups, a training knob is unknown or too wide, a condition names no knob, a
            value its knob cannot have or a conditional knob, or conditions form a circle; when a training knob lacks the
            condition it has in `TRAINING`; when there are knobs of a model and no architecture.
    """

    architecture: str | None
    model: Mapping[str, Knob] = dataclasses.field(default_factory=dict)
    training: Mapping[str, Knob] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.architecture is None and self.model:
            raise KnobError(f"a space without an architecture cannot have knobs of a model: {', '.join(self.model)}.")
        for name in self.model:
            if name in TRAINING:
                raise KnobError(f"space of {self.architecture}: '{name}' is a field of the training recipe, not of the model.")
        for name, knob in self.training.items():
            if name not in TRAINING:
                raise KnobError(f"space of {self.architecture}: {unknown('training knob', name, TRAINING)}")
            extremes = knob.options if isinstance(knob, Choice) else (knob.low, knob.high)  # type: ignore[attr-defined]
            for value in extremes:
                if (problem := TRAINING[name].problem(value)) is not None:
                    raise KnobError(f"space of {self.architecture}: training knob '{name}': {problem}")
            if (missing := self._missing_condition(name, knob)) is not None:
                raise KnobError(f"space of {self.architecture}: training knob '{name}': {missing}")
        for name, knob in self.knobs.items():
            if not knob.has_default:
                raise KnobError(f"space of {self.architecture}: '{name}' has no default. Write one: default=...")
        order = list(self.knobs)
        for position, (name, knob) in enumerate(self.knobs.items()):
            if knob.condition is None:
                continue
            parent, values = knob.condition
            if parent not in order[:position]:
                raise KnobError(
                    f"space of {self.architecture}: '{name}' depends on '{parent}', which must be a knob written before it."
                )
            for value in values:
                if (problem := self.knobs[parent].problem(value)) is not None:
                    raise KnobError(f"space of {self.architecture}: '{name}' depends on '{parent}', where {problem}")

    def _missing_condition(self, name: str, knob: Knob) -> str | None:
        """Why a training knob could have a value where it has no meaning; None when it cannot."""
        if (condition := TRAINING[name].condition) is None:
            return None
        parent, values = condition
        chosen = self.training.get(parent, Choice(TRAINING[parent].default))
        possible = chosen.options if isinstance(chosen, Choice) else ()
        if knob.condition is not None and knob.condition[0] == parent:
            possible = knob.condition[1]
        wrong = [value for value in possible if value not in values]
        allowed = ", ".join(repr(value) for value in values)
        return f"it has no meaning with {parent}={wrong[0]!r}; write .when({parent}=({allowed}))." if wrong else None

    def with_recipe(self, recipe: Space) -> Space:
        """This space with the training knobs of another one added; where both have a knob, the other's counts.

        A knob of this space that depends on one of the other keeps the conditions that can still be met. Without any, it is
        dropped.

        Raises:
            KnobError: The result is not a valid space: see the class.
        """
        own = {name: kept for name, knob in self.training.items() if (kept := _possible(knob, recipe.training)) is not None}
        return dataclasses.replace(self, training={**own, **recipe.training})

    @property
    def knobs(self) -> dict[str, Knob]:
        """All knobs by name, model first, in the order written; a knob comes after the one it depends on."""
        return {**self.model, **self.training}

    def active(self, configuration: Mapping[str, Value]) -> dict[str, Knob]:
        """The knobs that exist given the values in `configuration`; a knob whose parent does not exist does not exist either.

        A parent absent from the space's knobs so far (because it does not exist) hides its children; values are looked up in
        `configuration` alone.
        """
        chosen: dict[str, Knob] = {}
        for name, knob in self.knobs.items():
            if is_active(knob, configuration, chosen):
                chosen[name] = knob
        return chosen

    def default(self, fixed: Mapping[str, Value] | None = None, chosen: Mapping[str, Value] | None = None) -> Configuration:
        """The default configuration, with `fixed` values in place of defaults, and `chosen` ones of knobs that then exist."""
        values = chosen or {}
        return self.fill(fixed or {}, lambda name, knob: values.get(name, knob.default))

    def fill(self, fixed: Mapping[str, Value], value: Callable[[str, Knob], Value]) -> Configuration:
        """The configuration of `fixed` values and, for every other knob that exists given those before it, its `value`.

        Args:
            fixed: Values by name; they are in the configuration whatever they depend on.
            value: Called with a knob's name and the knob.
        """
        configuration: Configuration = dict(fixed)
        for name, knob in self.knobs.items():
            if name not in configuration and is_active(knob, configuration, configuration):
                configuration[name] = value(name, knob)
        return configuration

    def problems(self, configuration: Mapping[str, Value]) -> list[str]:
        """Everything that keeps `configuration` from being a complete point of this space; empty when it is one."""
        active = self.active(configuration)
        found = [f"'{name}' is missing." for name in active if name not in configuration]
        for name, value in configuration.items():
            if name in active and (problem := active[name].problem(value)) is not None:
                found.append(f"'{name}': {problem}")
            elif name in self.knobs and name not in active:
                parent, values = self.knobs[name].condition or ("", ())
                found.append(f"'{name}' exists only when '{parent}' is {' or '.join(map(str, values))}.")
        return found


def is_active(knob: Knob, configuration: Mapping[str, Value], existing: Mapping[str, object]) -> bool:
    """Whether `knob` exists: it has no condition, or its parent exists and has one of the values asked for."""
    if knob.condition is None:
        return True
    parent, values = knob.condition
    return parent in existing and configuration.get(parent) in values


def _possible(knob: Knob, parents: Mapping[str, Knob]) -> Knob | None:
    """The knob under those of its conditions that a new parent can meet; None when there are none left."""
    if knob.condition is None or knob.condition[0] not in parents:
        return knob
    name, values = knob.condition
    left = tuple(value for value in values if parents[name].problem(value) is None)
    return knob.when(**{name: left}) if left else None
