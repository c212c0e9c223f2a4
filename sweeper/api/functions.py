"""A function of a notebook or a script as a file of own code: its source, and what it needs of its surroundings.

What a function uses is written into the same file: imports, plain constants, and other functions and classes of the user's, again
with what those use. Nothing is pickled, so a study can be read, resumed and trained again by people who see what they run. What
cannot be written so is refused: an object that lives in this process alone, such as a loaded model.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

from sweeper.api import imports, sources
from sweeper.errors import InputError

LARGEST_CONSTANT = 20_000
"""Characters that a constant may take in a file; data belong into a dataset."""

_OF_EVERY_MODULE = ("__name__", "__file__", "__doc__", "__package__", "__spec__", "__loader__", "__builtins__")


def file_of(function: Callable[..., Any]) -> str:
    """The text of the file ``architectures/<name of the function>.py``.

    Args:
        function: A function that was written with ``def``, in a notebook's cell, a script or a module of the user's.

    Raises:
        InputError: It, or something that it uses, cannot be written so; the message names that and says what to do.
    """
    plain = checked(function)
    return _File(plain).text()


def checked(function: Callable[..., Any]) -> FunctionType:
    """The function itself, without what decorators wrapped around it.

    Raises:
        InputError: It is no function that has a name of its own.
    """
    if isinstance(function, MethodType):
        raise _refusal(_name(function), "it is a method, bound to an object of this process", "Write a plain function.")
    if isinstance(function, functools.partial):
        advice = "Give the function itself, and the values as its knobs: sweeper.arm(function, width=32)."
        raise _refusal(_name(function.func), "it is a functools.partial", advice)
    plain = inspect.unwrap(function)
    if not isinstance(plain, FunctionType):
        what = "a class" if isinstance(function, type) else f"a {type(function).__name__}"
        raise InputError(f"an architecture is a name or a function that gives a Keras model, not {what}: {function!r:.100}")
    if plain.__name__ == "<lambda>":
        raise InputError(
            "a lambda has no name that a file could be called by. Write it with def: def mine(input_shape, num_classes): ..."
        )
    if plain.__name__.startswith("_"):
        raise InputError(
            f"the function {plain.__name__} cannot be an architecture: names that begin with '_' are helpers. Rename it."
        )
    return plain


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _refusal(user: str, why: str, advice: str) -> InputError:
    return InputError(f"the function {user} cannot be written into a file of the study: {why}. {advice}")


class _File:
    """The file of one function, as it grows."""

    def __init__(self, function: FunctionType):
        self._main = function
        self._bound: dict[str, Any] = {function.__name__: function}
        self._imports: set[str] = set()
        self._statements: list[str] = []
        self._add_function(function)

    def text(self) -> str:
        """All of it."""
        name = self._main.__name__
        line = (inspect.getdoc(self._main) or "").strip().split("\n")[0]
        if not 11 <= len(line) <= 119 or '"' in line or "\\" in line:
            line = f"The network that the function {name} builds."
        about = "Written by `sweeper.Study` from the function of this name and what it uses."
        head = f'"""{line}\n\n{about}\n"""\n\nfrom __future__ import annotations\n'
        imported = imports.block(self._imports)
        constants = "".join(f"{text}\n" for text in self._statements if _is_constant(text))
        rest = [text for text in self._statements if not _is_constant(text)]
        parts = [head, *filter(None, [imported, constants])]
        return "\n".join(parts) + "".join(f"\n\n{text}\n" for text in rest)

    # ------------------------------------------------------------------------------------------------ what a statement needs

    def _add_function(self, function: FunctionType) -> None:
        text = sources.of_function(function)
        self._add_needs(text, sources.surroundings(function), function.__name__)
        self._statements.append(text)

    def _add_class(self, owner: type) -> None:
        text, scope = sources.of_class(owner)
        self._add_needs(text, scope, owner.__name__)
        self._statements.append(text)

    def _add_needs(self, text: str, scope: Mapping[str, Any], user: str) -> None:
        """Whatever a statement uses. What annotations name is left out where it cannot be written: nothing evaluates them."""
        needed, named = sources.names(text)
        for name in sorted(needed):
            if name in scope:
                self._need(name, scope[name], user)
                self._need_submodules(text, name, scope[name])
            elif not hasattr(builtins, name) and name not in _OF_EVERY_MODULE and name != user:
                advice = "Define or import it before the study is made."
                raise _refusal(user, f"it uses '{name}', which is not defined here", advice)
        for name in sorted(named - needed):
            if name in scope:
                before = dict(self._bound), set(self._imports), list(self._statements)
                try:
                    self._need(name, scope[name], user)
                except InputError:
                    self._bound, self._imports, self._statements = before

    def _need(self, name: str, value: Any, user: str) -> None:
        """Let `name` stand for `value` in the file."""
        if name in _OF_EVERY_MODULE or name == self._main.__name__:
            return
        if name in self._bound:
            if self._bound[name] is not value and not _is_same_constant(self._bound[name], value):
                raise _refusal(user, f"'{name}' stands for two things in what it uses", "Give one of them another name.")
            return
        self._bound[name] = value
        plain = inspect.unwrap(value) if callable(value) and not isinstance(value, type) else None
        if isinstance(value, ModuleType):
            self._imports.add(self._import_of(name, value, user))
        elif isinstance(plain, FunctionType) and not imports.is_installed(plain.__module__):
            if plain.__name__ == "<lambda>":
                raise _refusal(user, f"it uses '{name}', a lambda", "Write it with def.")
            self._add_named(name, plain.__name__, value, user, lambda: self._add_function(plain))
        elif isinstance(value, type) and not imports.is_installed(value.__module__):
            self._add_named(name, value.__name__, value, user, lambda: self._add_class(value))
        elif (statement := imports.of_object(name, value)) is not None:
            self._imports.add(statement)
        else:
            self._statements.append(f"{name} = {self._expression(value, name, user)}")

    def _add_named(self, name: str, own: str, value: Any, user: str, add: Callable[[], None]) -> None:
        """A function or a class, also under another name than its own."""
        if own != name and own in self._bound:
            self._need(own, value, user)
        else:
            self._bound[own] = value
            add()
        if own != name:
            self._statements.append(f"{name} = {own}")

    def _import_of(self, name: str, module: ModuleType, user: str) -> str:
        if imports.is_installed(module.__name__):
            return imports.of_module(name, module)
        advice = (
            f"Import from it by name what is needed (from {module.__name__} import ...), then that is copied along; or put the "
            "function and the module into my_code/architectures/, the module's name beginning with '_'."
        )
        raise _refusal(user, f"it uses '{name}', a module of yours that is not installed, so workers may not have it", advice)

    def _need_submodules(self, text: str, name: str, value: Any) -> None:
        if isinstance(value, ModuleType):
            self._imports |= imports.submodules(text, name, value)

    # ----------------------------------------------------------------------------------------------------------- constants

    def _expression(self, value: Any, name: str, user: str) -> str:
        """The value as source text."""
        text = self._written(value, name, user)
        if len(text) > LARGEST_CONSTANT:
            raise _refusal(user, f"it uses '{name}', which is too large for source text", "Put data into the dataset.")
        return text

    def _written(self, value: Any, name: str, user: str) -> str:
        if isinstance(value, float) and type(value) is float and (value != value or value in (float("inf"), float("-inf"))):
            return f'float("{value}")'
        if value is None or value is ... or type(value) in (bool, int, float, complex, str, bytes, range):
            return repr(value)
        if type(value) in (list, tuple, set, frozenset):
            inside = ", ".join(self._written(item, name, user) for item in _ordered(value))
            if type(value) is list:
                return f"[{inside}]"
            if type(value) is tuple:
                return f"({inside},)" if len(value) == 1 else f"({inside})"
            return f"{{{inside}}}" if type(value) is set and value else f"{type(value).__name__}([{inside}])"
        if type(value) is dict:
            pairs = ((self._written(key, name, user), self._written(item, name, user)) for key, item in value.items())
            return "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}"
        if isinstance(value, FunctionType | type) or inspect.isbuiltin(value):
            if value.__name__ not in vars(builtins):
                self._need(value.__name__, value, user)
            return value.__name__
        if isinstance(value, functools.partial):
            self._need("functools", functools, user)
            given = [self._written(item, name, user) for item in (value.func, *value.args)]
            given += [f"{key}={self._written(item, name, user)}" for key, item in value.keywords.items()]
            return f"functools.partial({', '.join(given)})"
        raise _refusal(
            user,
            f"it uses '{name}', {_described(value)} that lives in this process alone",
            "Make it inside the function, pass a number or a text instead, as an argument of the function; or write the function "
            "into a file, my_code/architectures/" + f"{self._main.__name__}.py.",
        )


def _is_constant(statement: str) -> bool:
    """Whether a statement gives a name to a plain value, so that it may come before all others."""
    (node,) = ast.parse(statement).body
    return isinstance(node, ast.Assign) and not any(isinstance(part, ast.Name) for part in ast.walk(node.value))


def _ordered(values: Any) -> list[Any]:
    """Items in an order that is the same in every process."""
    return sorted(values, key=repr) if isinstance(values, set | frozenset) else list(values)


def _described(value: Any) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[:1].lower() in 'aeiou' or kind == 'ndarray' else 'a'} {kind}"


def _is_same_constant(one: Any, other: Any) -> bool:
    plain = (bool, int, float, complex, str, bytes, type(None))
    return type(one) is type(other) and isinstance(one, plain) and bool(one == other)
