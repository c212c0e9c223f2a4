"""Arms given in Python: names, functions, and what goes with them, as a study file writes them down."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sweeper import catalog
from sweeper.api import functions, spaces
from sweeper.errors import InputError
from sweeper.owncode import Code
from sweeper.study.space import Knob, Space, Value

Build = Callable[..., Any]
"""A function ``build(input_shape, num_classes, ...)`` that gives a Keras model."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """One contender of a study; see `arm`."""

    architecture: str | Build | None = None
    space: str | Space | Mapping[str, Knob] | None = None
    fixed: Mapping[str, Value] | None = None
    points: Sequence[Mapping[str, Value]] | None = None
    resources: Mapping[str, Any] | None = None


ArmLike = Arm | Mapping[str, Any] | Build | str | None
"""What an arm may be given as: what `arm` gives, a mapping as in a study file, a function, a name, or None for its own name."""


def arm(
    architecture: str | Build,
    /,
    *,
    space: str | Space | Mapping[str, Knob] | None = None,
    fixed: Mapping[str, Value] | None = None,
    points: Sequence[Mapping[str, Value]] | None = None,
    resources: Mapping[str, Any] | None = None,
    **knobs: Value,
) -> Arm:
    """An arm: an architecture, what is searched of it, and what is not.

    Args:
        architecture: A name of the catalog, or a function ``build(input_shape, num_classes, ...)`` that gives a Keras model with
            logits.
        space: What is searched: a name of the catalog, a `sweeper.Space`, or knobs by name, to which the common knobs of training
            are added. Without, the space of the architecture's name; that of a function follows from annotations of its
            arguments, and without any only training is searched.
        fixed: Values that are not searched, for knobs whose names are arguments here.
        points: Configurations to be tried first, after the default one.
        resources: What its trials occupy where that is not what the study says, for example ``{"gpus_per_trial": 0.5}``.
        **knobs: Values that are not searched.

    Raises:
        InputError: A knob is fixed twice.

    >>> import sweeper
    >>> sweeper.arm("resnet", attention="se").fixed
    {'attention': 'se'}
    """
    if twice := sorted({*(fixed or {})} & {*knobs}):
        raise InputError(f"sweeper.arm: '{twice[0]}' is given twice, in fixed and by its name; keep one.")
    return Arm(
        architecture=architecture, space=space, fixed={**(fixed or {}), **knobs} or None, points=points, resources=resources
    )


def written(arms: Mapping[str, ArmLike] | Sequence[str], code: Code | None) -> tuple[dict[str, Any], Code | None]:
    """The section ``arms`` of a study file, and the code it needs: what there is, with a file for each function and space.

    Raises:
        InputError: A function, or what is given in the place of an arm, cannot be written down.
    """
    if isinstance(arms, str) or not isinstance(arms, Mapping | list | tuple):
        raise InputError(f"arms is {arms!r:.100}; allowed: {{name: arm}}, or a list of names of architectures.")
    given = arms if isinstance(arms, Mapping) else dict.fromkeys(arms)
    section = {name: _section(name, one) for name, one in given.items()}
    files = dict(_architectures(section))
    made = _joined(code, files)
    with catalog.using(made):
        for one in section.values():
            if isinstance(one.get("space"), Mapping):
                one["space"] = spaces.space_of(one["architecture"], _name(one["architecture"]), one["space"])
    files |= _spaces(section)
    for name, one in section.items():
        one["architecture"] = _name(one["architecture"])
        if one["architecture"] == name:
            del one["architecture"]
    return section, _joined(code, files)


def _section(name: str, given: ArmLike) -> dict[str, Any]:
    """The keys of an arm; a function and a space are still themselves."""
    if given is None:
        found: dict[str, Any] = {}
    elif isinstance(given, Arm):
        fields = ((field.name, getattr(given, field.name)) for field in dataclasses.fields(given))
        found = {key: value for key, value in fields if value is not None}
    elif isinstance(given, Mapping):
        found = dict(given)
    else:
        found = {"architecture": given}
    architecture = found.setdefault("architecture", name)
    if not isinstance(architecture, str):
        found["architecture"] = checked(architecture)
    return found


def checked(function: Build) -> Build:
    """The function, once it is known to take an image's shape and a number of classes.

    Raises:
        InputError: It does not.
    """
    plain = functions.checked(function)
    parameters = list(inspect.signature(plain).parameters.values())
    places = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    if len(places) < 2 and not any(one.kind is one.VAR_POSITIONAL for one in parameters):
        taken = ", ".join(one.name for one in parameters)
        raise InputError(
            f"{plain.__name__}({taken}) cannot be an architecture: it is called with input_shape and num_classes, and with every "
            f"knob as an argument of its own. Write def {plain.__name__}(input_shape, num_classes, width=32): ..."
        )
    return plain


def _architectures(section: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """A file for each function."""
    seen: dict[str, tuple[str, Any]] = {}
    for arm_name, one in section.items():
        function = one["architecture"]
        if isinstance(function, str):
            continue
        name = function.__name__
        first, known = seen.setdefault(name, (arm_name, function))
        if known is not function:
            raise InputError(
                f"arms '{first}' and '{arm_name}' have two functions called {name}. Give them different names; or make one "
                f"function with an argument for what differs, and fix that: sweeper.arm({name}, width=32)."
            )
        if first == arm_name:
            yield f"architectures/{name}.py", functions.file_of(function)


def _spaces(section: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """A file for each space, whose name takes its place.

    It is called like the function that it is of, or, where that is built in or its arms have several, with the arm's name added.
    """
    given = {name: one["space"] for name, one in section.items() if isinstance(one.get("space"), Space)}
    for arm_name, space in given.items():
        architecture = section[arm_name]["architecture"]
        of_it = [given.get(other) for other, one in section.items() if one["architecture"] is architecture]
        is_shared = callable(architecture) and all(other == space for other in of_it)
        name = _name(architecture) if is_shared else f"{_name(architecture)}_{arm_name}"
        section[arm_name]["space"] = name
        yield f"search_spaces/{name}.py", spaces.file_of(name, space)


def _name(architecture: str | Build) -> str:
    return architecture if isinstance(architecture, str) else str(getattr(architecture, "__name__", architecture))


def _joined(code: Code | None, files: Mapping[str, str]) -> Code | None:
    """The code there is with files added.

    Raises:
        InputError: A file is there already, and differs.
    """
    if not files:
        return code
    if code is None:
        return Code(origin="my_code/", files=files)
    for path, text in files.items():
        if code.files.get(path, text) != text:
            raise InputError(f"{code.origin}{path} is there already, and is not the function given. Rename one of them.")
    return dataclasses.replace(code, files={**code.files, **files})
