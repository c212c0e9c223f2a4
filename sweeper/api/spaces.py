"""Search spaces given in Python as files of own code."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from sweeper import catalog
from sweeper.errors import InputError, KnobError, unknown
from sweeper.study.space import COMMON, TRAINING, Choice, Float, Int, Knob, Space, Value


def space_of(architecture: str | Callable[..., Any], name: str, knobs: Mapping[str, Knob]) -> Space:
    """The search space that some knobs make, with what is commonly searched of training; given knobs count.

    Args:
        architecture: A function, or a name of the catalog.
        name: What it is called.
        knobs: Arguments of the architecture and knobs of training. One without a default has that of its argument.

    Raises:
        InputError: What is given is no knob, or none that the architecture has.
    """
    defaults, takes_any = _arguments(architecture)
    completed: dict[str, Knob] = {}
    for key, knob in knobs.items():
        if not isinstance(knob, Int | Float | Choice):
            raise InputError(f"space of {name}: '{key}' is {knob!r:.100}; allowed: sweeper.Int, sweeper.Float or sweeper.Choice.")
        if key in TRAINING:
            completed[key] = _with_default(key, name, knob, (COMMON.get(key) or TRAINING[key]).default)
        elif key in defaults or takes_any:
            completed[key] = _with_default(key, name, knob, defaults.get(key))
        else:
            raise InputError(f"space of {name}: {unknown('knob', key, {*defaults, *TRAINING})}")
    model = {key: knob for key, knob in completed.items() if key not in TRAINING}
    training = {key: knob for key, knob in completed.items() if key in TRAINING}
    parents = {knob.condition[0] for knob in training.values() if knob.condition is not None} - training.keys()
    training = {key: COMMON[key] for key in COMMON if key in parents} | training
    ordered = dict(sorted(training.items(), key=lambda item: item[1].condition is not None))  # what others depend on first
    return Space(architecture=name, model=model, training=COMMON).with_recipe(Space(architecture=None, training=ordered))


def _arguments(architecture: str | Callable[..., Any]) -> tuple[dict[str, Any], bool]:
    """Arguments of an architecture that may be searched, with their defaults, and whether it takes any others."""
    if isinstance(architecture, str):
        found = catalog.parameters("architecture", architecture)
        return {key: None if one.default == catalog.Parameter.REQUIRED else one.default for key, one in found.items()}, False
    parameters = list(inspect.signature(architecture).parameters.values())
    named = [one for one in parameters[2:] if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    defaults = {one.name: None if one.default is one.empty else one.default for one in named}
    return defaults, any(one.kind is one.VAR_KEYWORD for one in parameters)


def _with_default(key: str, name: str, knob: Knob, default: Any) -> Knob:
    """The knob with a default: its own, or the one given."""
    if isinstance(knob, Choice):
        fits = knob.default == knob.options[0] and default is not None and knob.problem(default) is None
        return Choice(*knob.options, default=default, condition=knob.condition, centre=knob.centre) if fits else knob
    if knob.has_default:
        return knob
    if default is None:
        raise KnobError(f"space of {name}: '{key}' has no default, and its argument has none. Write one: default=...")
    if (problem := knob.problem(default)) is not None:
        raise KnobError(f"space of {name}: the default of argument '{key}': {problem} Give the knob a default of its own.")
    return dataclasses.replace(knob, default=default)


def file_of(name: str, space: Space) -> str:
    """The text of the file ``search_spaces/<name>.py``."""
    groups = [(group, knobs) for group, knobs in (("model", space.model), ("training", space.training)) if knobs]
    used = sorted({type(knob).__name__ for _, knobs in groups for knob in knobs.values()} | {"Space"})
    lines = [
        f'"""What is searched of {space.architecture or "training"}.\n\nWritten by `sweeper.Study`.\n"""\n',
        "from __future__ import annotations\n",
        f"from sweeper import {', '.join(used)}\n",
        f"{name} = Space(",
        f"    architecture={_text(space.architecture) if space.architecture else None},",
    ]
    for group, knobs in groups:
        lines += [f"    {group}={{", *(f"        {_text(key)}: {_written(knob)}," for key, knob in knobs.items()), "    },"]
    return "\n".join([*lines, ")", ""])


def _written(knob: Knob) -> str:
    """A knob as it is made."""
    given: dict[str, Any] = {}
    options: list[str] = []
    if isinstance(knob, Choice):
        options = [_text(option) for option in knob.options]
        given = {} if knob.default == knob.options[0] else {"default": knob.default}
    elif isinstance(knob, Int | Float):
        given = {"low": knob.low, "high": knob.high}
        given |= {"log": True} if knob.log else {}
        given |= {"default": knob.default}
        given |= {} if knob.width == type(knob).width else {"width": knob.width}
    given |= {} if knob.centre is None else {"centre": knob.centre}
    text = f"{type(knob).__name__}({', '.join([*options, *(f'{key}={_text(value)}' for key, value in given.items())])})"
    if knob.condition is None:
        return text
    parent, values = knob.condition
    wanted = ", ".join(map(_text, values))
    return f"{text}.when({parent}={wanted if len(values) == 1 else f'({wanted})'})"


def _text(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
