"""Finds architectures, search spaces, datasets, cluster kinds and plots by file name.

Adding something is adding one file: ``<folder of the kind>/<name>.py`` defines an object called ``<name>``. Names, summaries and
parameters are read from the source text, so listing imports nothing; only `load` imports the one module that is needed.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sweeper.errors import UnknownNameError

PACKAGES = {
    "architecture": "architectures",
    "space": "search_spaces",
    "dataset": "sweeper.datasets",
    "cluster": "cluster",
    "plot": "sweeper.plots",
}
"""Package that holds the files of each kind."""

Object = TypeVar("Object", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parameter:
    """One argument of a function in the catalog, read from its source.

    Args:
        name: Its name.
        annotation: Its type as written, or ``""``.
        default: Its default value; `Parameter.REQUIRED` when it has none.
    """

    REQUIRED = "<required>"

    name: str
    annotation: str
    default: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """One published network, to be built and checked.

    Args:
        arguments: Arguments of the architecture that give it.
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        parameters: Trainable parameters, without those of auxiliary heads.
        parameters_tolerance: Largest relative difference allowed; 0 unless the source itself rounds.
        macs: Multiply-accumulates of one forward pass; None when no source states them.
        macs_tolerance: Largest relative difference allowed, because sources count differently.
        source: Where the figures are published.
    """

    arguments: Mapping[str, Any]
    input_shape: tuple[int, int, int]
    num_classes: int
    parameters: int
    source: str
    parameters_tolerance: float = 0.0
    macs: int | None = None
    macs_tolerance: float = 0.03


def architecture(
    *, paper: str, tiny: Mapping[str, Any], published: tuple[Published, ...] = (), rates: tuple[str, ...] = ()
) -> Callable[[Object], Object]:
    """Mark a function as an architecture: ``<name>(input_shape, num_classes, *, ...)`` giving an uncompiled model with logits.

    A model may have several outputs: the logits first, then the logits of auxiliary heads in the middle of the network, which
    only training uses. Their losses are added to that of the logits (`sweeper.training.program`); every metric and every size
    is of the network without them (`sweeper.training.measuring.measure.inference_network`).

    Args:
        paper: Where the architecture comes from.
        tiny: Arguments of its smallest instance, so that every test is cheap.
        published: Networks from the literature the function must reproduce.
        rates: Arguments that set the rates of its `keras.layers.Dropout` and nothing else. Trials that differ in these alone
            share a compiled program.
    """
    return _mark(paper=paper, tiny=dict(tiny), published=published, rates=rates)


def dataset(*, source: str, licence: str) -> Callable[[Object], Object]:
    """Mark a function as a dataset: ``<name>(*, ...)`` giving `sweeper.datasets.Dataset`.

    Args:
        source: Where the data come from.
        licence: Under which terms they may be used.
    """
    return _mark(source=source, licence=licence)


def _mark(**facts: Any) -> Callable[[Object], Object]:
    def decorate(function: Object) -> Object:
        for name, value in facts.items():
            setattr(function, name, value)
        return function

    return decorate


def names(kind: str) -> list[str]:
    """The names of one kind, sorted."""
    return sorted(path.stem for path in _folder(kind).glob("*.py") if not path.stem.startswith("_"))


def summary(kind: str, name: str) -> str:
    """The first line of the docstring of the file that holds `name`."""
    text = ast.get_docstring(_tree(kind, name)) or ""
    return text.split("\n", 1)[0].rstrip(".")


def parameters(kind: str, name: str) -> dict[str, Parameter]:
    """The keyword-only arguments of the function `name`, by name, in order, read without importing it."""
    for node in _tree(kind, name).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            arguments = node.args
            return {
                argument.arg: Parameter(
                    name=argument.arg,
                    annotation=ast.unparse(argument.annotation) if argument.annotation else "",
                    default=Parameter.REQUIRED if default is None else _literal(default, f"{kind} {name}, {argument.arg}"),
                )
                for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            }
    raise AssertionError(f"{_folder(kind) / name}.py defines no function called {name}")


def _literal(default: ast.expr, where: str) -> Any:
    try:
        return ast.literal_eval(default)
    except ValueError:
        raise AssertionError(f"{where}: the default must be a plain value, not {ast.unparse(default)}") from None


def load(kind: str, name: str) -> Any:
    """The object called `name` of one kind; imports its module.

    Raises:
        UnknownNameError: No file of that name.
    """
    check(kind, name)
    module = importlib.import_module(f"{PACKAGES[kind]}.{name}")
    assert hasattr(module, name), f"{module.__file__} defines nothing called {name}"
    return getattr(module, name)


def check(kind: str, name: str) -> None:
    """Raise `UnknownNameError` unless `name` is one of the names of `kind`."""
    if name not in names(kind):
        raise UnknownNameError(kind, name, names(kind))


def _folder(kind: str) -> Path:
    spec = importlib.util.find_spec(PACKAGES[kind])
    assert spec is not None and spec.submodule_search_locations, f"package {PACKAGES[kind]} is not installed"
    return Path(next(iter(spec.submodule_search_locations)))


def _tree(kind: str, name: str) -> ast.Module:
    check(kind, name)
    return _parsed(_folder(kind) / f"{name}.py")


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
