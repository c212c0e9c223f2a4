"""The arguments of a function, read from its source text."""

from __future__ import annotations

import ast
import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parameter:
    """One argument of a function in the catalog, read from its source.

    Args:
        name: Its name.
        annotation: Its type, or ``""``: of ``Annotated[int, ...]`` what it annotates, of ``Literal`` the types of its values, and
            of an argument without annotation the type of its default.
        default: Its default value; `Parameter.REQUIRED` when it has none.
        written: Its annotation as written, or ``""``.
        line: Where.
    """

    REQUIRED = "<required>"

    name: str
    annotation: str
    default: Any
    written: str = ""
    line: int = 0


def function_named(tree: ast.Module, name: str) -> ast.FunctionDef | None:
    """The function of a name that a file defines; None without."""
    return next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name), None)


def arguments_of(function: ast.FunctionDef, given: int) -> list[tuple[ast.arg, ast.expr | None]]:
    """The arguments of a function but the first `given` ones, each with its default as written."""
    own = function.args
    plain = [*own.posonlyargs, *own.args]
    defaults = [*[None] * (len(plain) - len(own.defaults)), *own.defaults]
    return [*[*zip(plain, defaults, strict=True)][given:], *zip(own.kwonlyargs, own.kw_defaults, strict=True)]


def parameter(argument: ast.arg, written: ast.expr | None) -> Parameter:
    """One argument.

    Raises:
        ValueError: Its default is no plain value.
    """
    default = Parameter.REQUIRED if written is None else ast.literal_eval(written)
    return Parameter(
        name=argument.arg,
        annotation=_kind_of(default) if argument.annotation is None else _type(argument.annotation),
        default=default,
        written=ast.unparse(argument.annotation) if argument.annotation else "",
        line=argument.lineno,
    )


def _kind_of(default: Any) -> str:
    """The type of an argument that has a default and no annotation."""
    kinds = {int: "int | float", float: "float", bool: "bool", str: "str"}
    return "" if default == Parameter.REQUIRED else kinds.get(type(default), "")


def _type(annotation: ast.expr) -> str:
    if isinstance(annotation, ast.Subscript):
        inner = annotation.slice
        options = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        match ast.unparse(annotation.value).split(".")[-1]:
            case "Annotated":
                return _type(options[0])
            case "Literal":
                kinds = (_literal_kind(option) for option in options)
                return " | ".join(dict.fromkeys(kinds))
    return ast.unparse(annotation)


def _literal_kind(option: ast.expr) -> str:
    try:
        value = ast.literal_eval(option)
    except ValueError:
        return ast.unparse(option)
    return "None" if value is None else type(value).__name__
