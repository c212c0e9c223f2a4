"""The source text of functions and classes that a user wrote, and the names that it takes from around it."""

from __future__ import annotations

import ast
import inspect
import symtable
import sys
import textwrap
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

from sweeper.errors import InputError


def of_function(function: FunctionType) -> str:
    """The source of a function as it was written, decorators included.

    Raises:
        InputError: There is none, or it is no longer what the function was made from.
    """
    name = function.__name__
    try:
        lines, _ = inspect.getsourcelines(function.__code__)
    except (OSError, TypeError):
        raise _no_source(name) from None
    text = textwrap.dedent("".join(lines)).rstrip()
    try:
        tree = ast.parse(text)
    except SyntaxError:
        raise _no_source(name) from None
    (node, *others) = tree.body
    if others or not isinstance(node, ast.FunctionDef) or node.name != name or _arguments(node) != _taken(function):
        raise InputError(
            f"the source of the function {name} ({function.__code__.co_filename}) is no longer what it was made from. Run the "
            "cell, or import the file, again; then make the study."
        )
    return text


def of_class(owner: type) -> tuple[str, Mapping[str, Any]]:
    """The source of a class, and what its names stand for; found by one of its methods, since a class does not know its cell.

    Raises:
        InputError: There is none.
    """
    for method in _methods(owner):
        try:
            lines, _ = inspect.findsource(method.__code__)
            tree = ast.parse("".join(lines))
        except (OSError, SyntaxError):
            continue
        line = method.__code__.co_firstlineno
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == owner.__name__]
        around = [node for node in nodes if _first_line(node) <= line <= (node.end_lineno or 0)]
        if around:
            node = max(around, key=lambda node: node.lineno)
            text = "".join(lines[_first_line(node) - 1 : node.end_lineno])
            scopes = [surroundings(other) for other in _methods(owner)]
            return textwrap.dedent(text).rstrip(), {name: value for scope in scopes for name, value in scope.items()}
    try:
        return textwrap.dedent(inspect.getsource(owner)).rstrip(), vars(sys.modules[owner.__module__])
    except (OSError, TypeError, KeyError):
        raise _no_source(owner.__name__) from None


def surroundings(function: FunctionType) -> dict[str, Any]:
    """What the names outside of a function stand for: globals, then variables of the functions that it was made in."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    closed = {}
    for name, cell in cells:
        try:
            closed[name] = cell.cell_contents
        except ValueError:  # not set yet
            continue
    closed.pop("__class__", None)
    return {**function.__globals__, **closed}


def names(text: str) -> tuple[set[str], set[str]]:
    """The names that a definition takes from outside: those that running it needs, and all, annotations included."""
    without = ast.unparse(_Plain().visit(ast.parse(text)))
    return set(_outer(symtable.symtable(without, "own", "exec"))), set(_outer(symtable.symtable(text, "own", "exec")))


class _Plain(ast.NodeTransformer):
    """Takes annotations away."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)


def _outer(table: symtable.SymbolTable) -> Iterator[str]:
    is_module = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or (is_module and not symbol.is_assigned())):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _outer(child)


def _methods(owner: type) -> list[FunctionType]:
    """Functions written in the body of a class, not those that a decorator of it made."""
    found = []
    for value in vars(owner).values():
        plain: Any = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        plain = inspect.unwrap(plain) if callable(plain) else plain
        is_own = isinstance(plain, FunctionType) and plain.__qualname__.startswith(f"{owner.__qualname__}.")
        if is_own and not plain.__code__.co_filename.startswith("<string>"):
            found.append(plain)
    return found


def _first_line(node: ast.ClassDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _arguments(node: ast.FunctionDef) -> list[str]:
    given = node.args
    return [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]


def _taken(function: FunctionType) -> list[str]:
    code = function.__code__
    return list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def _no_source(name: str) -> InputError:
    return InputError(
        f"the source of {name} cannot be found: it was typed where nothing keeps it, or made by a program. Define it in a cell "
        "of a notebook or in a file; or write it into my_code/architectures/ and name that: sweeper.Study(..., code='my_code')."
    )
