"""The import statements that give a file what a function has imported."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import inspect
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

OURS = ("sweeper", "architectures", "search_spaces", "cluster")

PRIVATE = ("src", "api", "_api", "impl")
"""Folders of packages that keep what others are to import from elsewhere."""


@functools.cache
def _distributed() -> frozenset[str]:
    return frozenset(importlib.metadata.packages_distributions())


def is_installed(module: str | None) -> bool:
    """Whether a module belongs to Python, to this program or to an installed package, so that workers have it too."""
    top = (module or "").split(".")[0]
    if top == "__main__":
        return False
    return top in sys.stdlib_module_names or top in sys.builtin_module_names or top in OURS or top in _distributed()


def of_module(name: str, module: ModuleType) -> str:
    """What imports a module under a name."""
    full = module.__name__
    last = full.split(".")[-1]
    if full == name:
        return f"import {full}"
    if name == last and (parent := _public(module, last)) is not None:
        return f"from {parent} import {last}"
    public = full
    if _is_private(full) and (parent := _public(module, last)) is not None:
        public = f"{parent}.{last}"
    return f"import {public} as {name}"


def of_object(name: str, value: Any) -> str | None:
    """What imports a function, a class or another object of an installed package under a name; None where nothing does."""
    tried = [getattr(value, attribute, None) for attribute in ("__qualname__", "__name__", "_name")]
    for own in dict.fromkeys([*tried, name]):
        if isinstance(own, str) and own.isidentifier() and (module := _public(value, own)) is not None:
            return f"from {module} import {own}" if own == name else f"from {module} import {own} as {name}"
    return None


def submodules(text: str, name: str, package: ModuleType) -> set[str]:
    """What imports the modules inside a package that a text reaches through its name, where the package does not do so itself."""
    found = set()
    for chain in _chains(ast.parse(text), name):
        module: Any = package
        full = package.__name__
        for part in chain:
            inner = getattr(module, part, None)
            if inner is None or sys.modules.get(f"{full}.{part}") is not inner:
                break
            if not _imports_itself(module, part):
                found.add(f"import {full}.{part}")
            module, full = inner, f"{full}.{part}"
    return found


def block(statements: Iterable[str]) -> str:
    """Import statements in the usual order: of Python, of packages, of this program."""
    together: dict[str, list[str]] = {}
    for statement in sorted(statements):
        head, word, named = statement.partition(" import ")
        together.setdefault(f"{head}{word}", []).append(named)
    groups: tuple[list[str], ...] = ([], [], [])
    joined = [f"{head}{', '.join(named)}" for head, named in together.items()]
    for statement in sorted(joined, key=lambda text: (text.split()[1].lower(), text.startswith("from"), text)):
        top = statement.split()[1].split(".")[0]
        groups[0 if top in sys.stdlib_module_names else 2 if top in OURS else 1].append(statement)
    return "\n".join("".join(f"{line}\n" for line in group) for group in groups if group)


def _public(value: Any, attribute: str) -> str | None:
    """The module to import `attribute` from: of those that hold this object under this name, the one with the plainest name."""
    homes = [getattr(value, "__module__", None), type(value).__module__, getattr(value, "__name__", None)]
    tops = {home.split(".")[0] for home in homes if isinstance(home, str) and is_installed(home)} - {"builtins"}
    holding = [
        module
        for module, held in list(sys.modules.items())
        if module.split(".")[0] in tops and isinstance(held, ModuleType) and vars(held).get(attribute) is value
    ]
    offering = [top for top in tops if attribute in getattr(sys.modules.get(top), "__all__", ())]  # also when it loads lazily
    holding += [top for top in offering if getattr(sys.modules[top], attribute, None) is value]
    return min(holding, key=lambda module: (_is_private(module), module.count("."), module), default=None)


def _is_private(module: str) -> bool:
    return any(part.startswith("_") or part in PRIVATE for part in module.split("."))


def _chains(tree: ast.AST, name: str) -> Iterator[list[str]]:
    """``["layers", "Dense"]`` for each ``name.layers.Dense``."""
    for node in ast.walk(tree):
        parts: list[str] = []
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if parts and isinstance(inner, ast.Name) and inner.id == name:
            yield parts


@functools.cache
def _imports_itself(package: ModuleType, part: str) -> bool:
    """Whether a package has a module of its own as soon as it is imported, or gets it when it is asked for."""
    if hasattr(package, "__getattr__"):
        return True
    try:
        tree = ast.parse(inspect.getsource(package))
    except (OSError, TypeError, SyntaxError):
        return False
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    named = {alias.asname or alias.name for statement in statements for alias in statement.names}
    return part in {name.split(".")[-1] for name in named}
