"""Search spaces by name; that of an architecture without one follows from the annotations of its arguments.

::

    def mine(
        input_shape,
        num_classes,
        *,
        width: Annotated[int, Int(low=8, high=64, log=True)] = 32,
        dropout: Annotated[float, Field(ge=0, le=0.5)] = 0.2,
        norm: Literal["batch", "layer"] = "batch",
        skip: bool = True,
        kernel: int = 3,  # says no range, so it is not searched
    ): ...

The source is read, never run: ranges and options must be written as plain values. Training is searched as `COMMON` says.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sweeper import catalog
from sweeper.errors import InputError, KnobError, UnknownNameError
from sweeper.study.space import COMMON, Choice, Float, Int, Knob, Space


def names() -> list[str]:
    """Every search space there is, also those that follow from annotations."""
    return sorted({*catalog.names("space"), *catalog.names("architecture")})


def load(name: str) -> Space:
    """The search space of a name.

    Raises:
        UnknownNameError: There is none.
        InputError: A user's own file holds something else, or annotations that say nothing sensible.
    """
    if name in catalog.names("space"):
        space = catalog.load("space", name)
        if not isinstance(space, Space):
            what = type(space).__name__
            raise InputError(f"{catalog.where('space', name)}: {name} is a {what}. Make it a search space: sweeper.Space(...).")
        return space
    if name not in catalog.names("architecture"):
        raise UnknownNameError("space", name, names())
    return _derived(name)


def _derived(architecture: str) -> Space:
    """The space of an architecture, from the arguments it has."""
    model: dict[str, Knob] = {}
    where = catalog.where("architecture", architecture)
    for name, argument in catalog.parameters("architecture", architecture).items():
        place = f"{where}, line {argument.line}: argument '{name}'"
        if argument.default == catalog.Parameter.REQUIRED:
            raise InputError(f"{place} has no default, so no arm can begin. Give it one, for example {name}=1.")
        try:
            knob = _knob(ast.parse(argument.written, mode="eval").body, argument.default) if argument.written else None
        except (KnobError, SyntaxError) as error:
            raise InputError(f"{place}: {error}") from None
        if knob is not None:
            model[name] = knob
    try:
        return Space(architecture=architecture, model=model, training=COMMON)
    except KnobError as error:
        raise InputError(f"{where}: {error} Rename the argument.") from None


def _knob(annotation: ast.expr, default: Any) -> Knob | None:
    """The knob that an annotation describes; None where it says too little."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return _knob(ast.parse(annotation.value, mode="eval").body, default)
    if not isinstance(annotation, ast.Subscript):
        return Choice(False, True, default=default) if _named(annotation) == "bool" and isinstance(default, bool) else None
    parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
    if _named(annotation.value) == "Literal":
        options = [_plain(part, "Literal") for part in parts]
        is_searched = all(isinstance(option, bool | int | float | str) for option in options)
        return Choice(*options, default=default) if is_searched and default is not None else None
    if _named(annotation.value) != "Annotated":
        return None
    kind, *said = parts
    for call in said:
        if isinstance(call, ast.Call) and (make := _MADE.get(_named(call.func))) is not None:
            options = [_plain(part, _named(call.func)) for part in call.args]
            given = {str(part.arg): _plain(part.value, _named(call.func)) for part in call.keywords}
            return make(_named(kind), options, given, default)
    return _knob(kind, default)


def _named(expression: ast.expr) -> str:
    """``Int`` for ``Int`` and ``sweeper.Int``."""
    return ast.unparse(expression).split(".")[-1]


def _plain(expression: ast.expr, where: str) -> Any:
    try:
        return ast.literal_eval(expression)
    except ValueError:
        text = ast.unparse(expression)
        raise KnobError(f"{where} has {text}, but annotations are read, not run. Write a plain value.") from None


Make = Callable[[str, list[Any], Mapping[str, Any], Any], Knob | None]


def _number(kind: str, given: Mapping[str, Any], default: Any, name: str) -> Knob:
    """An `Int` or a `Float`, as the annotated type asks."""
    if {"int": "Int", "float": "Float"}.get(kind) != name:
        raise KnobError(f"{name} goes with {name.lower()}, not with {kind}.")
    if missing := [key for key in ("low", "high") if not _is_number(given.get(key), kind)]:
        wanted = "a whole number" if kind == "int" else "a number"
        raise KnobError(f"{name}(low=..., high=...): {missing[0]} must be {wanted}.")
    if unknown := sorted(given.keys() - {"low", "high", "log", "width", "centre"}):
        raise KnobError(
            f"{name} has no {unknown[0]} here; allowed: low, high, log, width, centre. The default is the argument's."
        )
    return Int(default=default, **given) if kind == "int" else Float(default=_as_float(default), **given)


def _int_or_float(name: str) -> Make:
    def make(kind: str, options: list[Any], given: Mapping[str, Any], default: Any) -> Knob | None:
        if options:
            raise KnobError(f"{name} takes names and values, for example {name}(low=1, high=8).")
        return _number(kind, given, default, name)

    return make


def _choice(kind: str, options: list[Any], given: Mapping[str, Any], default: Any) -> Knob | None:
    if given:
        raise KnobError("Choice takes its options alone here; the default is the argument's.")
    return Choice(*options, default=default)


def _field(kind: str, options: list[Any], given: Mapping[str, Any], default: Any) -> Knob | None:
    """A range in the words of pydantic; None where an end is missing, or open for a number that is not whole."""
    ends = dict(_ends(kind, given))
    if kind not in ("int", "float") or ends.keys() != {"low", "high"}:
        return None
    return _number(kind, ends, default, "Int" if kind == "int" else "Float")


def _ends(kind: str, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, name, step in (("ge", "low", 0), ("le", "high", 0), ("gt", "low", 1), ("lt", "high", -1)):
        if key in given and (not step or (kind == "int" and _is_number(given[key], "int"))):
            yield name, given[key] + step if step else given[key]


_MADE: Mapping[str, Make] = {
    "Int": _int_or_float("Int"),
    "Float": _int_or_float("Float"),
    "Choice": _choice,
    "Field": _field,
}


def _is_number(value: Any, kind: str) -> bool:
    return isinstance(value, int if kind == "int" else int | float) and not isinstance(value, bool)


def _as_float(value: Any) -> Any:
    return float(value) if type(value) is int else value
