"""Finds architectures, search spaces, datasets, cluster kinds and plots by file name.

Adding something is adding one file: ``<folder of the kind>/<name>.py`` defines an object called ``<name>``. Names, summaries and
parameters are read from the source text, so listing imports nothing; only `load` imports the one module that is needed.

Beside what is built in there is what installed packages offer (`sweeper.installed`) and, within `using`, a user's own code.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from sweeper import installed, owncode
from sweeper.errors import InputError, UnknownNameError
from sweeper.owncode import Code
from sweeper.signature import Parameter as Parameter
from sweeper.signature import arguments_of, function_named, parameter

PACKAGES = {
    "architecture": "architectures",
    "space": "search_spaces",
    "dataset": "sweeper.datasets",
    "cluster": "cluster",
    "plot": "sweeper.plots",
}
"""Package that holds the files of each kind."""

BUILT_IN = "built in"
"""Origin of what belongs to this project."""

OWN = "own code: "
"""Prefix of the path of a user's file, where rows have its hash among their versions."""

_DECIDING = ("architecture", "dataset")
"""Kinds that decide what a trial gives."""

_GIVEN = {"architecture": 2, "plot": 1, "cluster": 1}
"""Arguments, the first positional ones, that a function of a kind gets in any case, if it has them."""

_FACTS: Mapping[str, Mapping[str, Any]] = {
    "architecture": {"paper": "", "tiny": {}, "published": (), "rates": ()},
    "dataset": {"source": "not said", "licence": "not said"},
}
"""What a function of a kind says of itself, where no decorator does."""

Object = TypeVar("Object", bound=Callable[..., Any])


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
    *, paper: str = "", tiny: Mapping[str, Any] = {}, published: tuple[Published, ...] = (), rates: tuple[str, ...] = ()
) -> Callable[[Object], Object]:
    """Mark a function as an architecture: ``<name>(input_shape, num_classes, *, ...)`` giving an uncompiled model with logits.

    A model may have several outputs: the logits first, then the logits of auxiliary heads in the middle of the network, which
    only training uses. Their losses are added to that of the logits (`sweeper.training.program`); every metric and every size
    is of the network without them (`sweeper.training.measuring.measure.inference_network`).

    A user's own architecture may go without this mark.

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


# --------------------------------------------------------------------------------------------------------- what is in use

_in_use: list[Code] = []
"""The user's own code, the innermost last. Threads share it, as they share imported modules."""


@contextlib.contextmanager
def using(code: Code | None) -> Iterator[None]:
    """Know a user's own code within the block, in the place of one that was known; None changes nothing.

    Raises:
        InputError: Something in it has the name of something that is built in or installed.
    """
    if code is None:
        yield
        return
    use(code)
    try:
        yield
    finally:
        _in_use.remove(code)


def use(code: Code) -> None:
    """As `using`, for as long as this process lives."""
    for kind in owncode.FOLDERS:
        others = {**_built_in(kind), **_installed(kind)}
        for name, path in code.names(kind).items():
            if name in others:
                raise InputError(
                    f"{code.origin}{path}: the {kind} '{name}' exists already ({others[name].origin}). Rename the file and what "
                    f"it defines, for example my_{name}."
                )
    _in_use.append(code)


def current() -> Code | None:
    """The user's own code that is in use; None without."""
    return _in_use[-1] if _in_use else None


def versions() -> dict[str, str]:
    """What decides a trial's numbers beside this project's own version: installed packages, and hashes of a user's files.

    Returns:
        The version of each package that offers architectures or datasets, and the SHA-256 of each of the user's files of these.
    """
    offered = [entry.distribution for kind in _DECIDING for entry in installed.entries(kind).values()]
    code, folders = current(), [owncode.FOLDERS[kind] for kind in _DECIDING]
    files = {} if code is None else code.sha256s()
    own = {f"{OWN}{path}": hexadecimal for path, hexadecimal in files.items() if path.split("/")[0] in folders}
    return dict(offered) | own


# ---------------------------------------------------------------------------------------------------------------- names


def names(kind: str) -> list[str]:
    """The names of one kind, sorted."""
    return sorted(_files(kind))


def check(kind: str, name: str) -> None:
    """Raise `UnknownNameError` unless `name` is one of the names of `kind`."""
    _file(kind, name)


def origin(kind: str, name: str) -> str:
    """Where `name` comes from: ``built in``, the folder of a user's own code, or name and version of an installed package."""
    return _file(kind, name).origin


def where(kind: str, name: str) -> str:
    """The file that holds `name`, as a person knows it."""
    return _file(kind, name).label


def summary(kind: str, name: str) -> str:
    """The first line of the docstring of the file that holds `name`, or of a user's own function where the file has none."""
    file = _file(kind, name)
    tree = file.tree()
    text = ast.get_docstring(tree) or ""
    if not text and file.origin != BUILT_IN and (function := function_named(tree, file.attribute)) is not None:
        text = ast.get_docstring(function) or ""
    return text.split("\n", 1)[0].rstrip(".")


def parameters(kind: str, name: str) -> dict[str, Parameter]:
    """The arguments of the function `name` that may be set, by name, in order, read without importing it.

    Raises:
        InputError: A user's file does not define it as a function.
    """
    file = _file(kind, name)
    function = function_named(file.tree(), file.attribute)
    if function is None:
        _refuse(file, f"{file.label} defines no function called {file.attribute}")
    found = {}
    for argument, written in arguments_of(function, _GIVEN.get(kind, 0)):
        try:
            found[argument.arg] = parameter(argument, written)
        except ValueError:
            if file.origin != BUILT_IN:
                continue  # nothing that a study file can hold; the function has its default
            text = "" if written is None else ast.unparse(written)
            raise AssertionError(f"{kind} {name}, {argument.arg}: the default must be a plain value, not {text}") from None
    return found


def submits(name: str) -> bool:
    """Whether a study is submitted to a kind of cluster: its function takes a job. Else it says how this process connects."""
    file = _file("cluster", name)
    function = function_named(file.tree(), file.attribute)
    return function is not None and bool(function.args.posonlyargs or function.args.args)


def takes_any(kind: str, name: str) -> bool:
    """Whether the function `name` takes arguments of any name: ``**knobs``."""
    file = _file(kind, name)
    function = function_named(file.tree(), file.attribute)
    return function is None or function.args.kwarg is not None


def load(kind: str, name: str) -> Any:
    """The object called `name` of one kind; imports its module.

    Raises:
        UnknownNameError: No file of that name.
        InputError: A user's own file, or that of an installed package, raises or does not define it.
    """
    file = _file(kind, name)
    if file.origin == BUILT_IN:
        module = importlib.import_module(file.module)
        assert hasattr(module, name), f"{module.__file__} defines nothing called {name}"
        return getattr(module, name)
    found = file.code.load(file.module, name) if file.code is not None else _load_installed(kind, name, file)
    for fact, value in _FACTS.get(kind, {}).items() if callable(found) else ():
        if not hasattr(found, fact):
            setattr(found, fact, value)
    return found


def _load_installed(kind: str, name: str, file: _File) -> Any:
    try:
        return getattr(importlib.import_module(file.module), file.attribute)
    except Exception as error:
        raise InputError(f"{kind} '{name}' of the installed package {file.origin} cannot be loaded: {error}") from error


# ---------------------------------------------------------------------------------------------------------------- files


@dataclasses.dataclass(frozen=True, kw_only=True)
class _File:
    """Where a name is defined.

    Args:
        origin: As `origin` gives it.
        label: The file as a person knows it.
        module: Module of what is built in or installed; path of a file of own code.
        attribute: What it is called there.
        path: The file, where it is one.
        code: The user's own code that it is of.
        installed: The entry point that it is of.
    """

    origin: str
    label: str
    module: str
    attribute: str
    path: Path | None = None
    code: Code | None = None
    installed: installed.Installed | None = None

    def tree(self) -> ast.Module:
        """What it says."""
        if self.code is not None:
            return _parsed_text(self.code.files[self.module], self.label)
        assert self.path is not None
        return _parsed(self.path)


def _file(kind: str, name: str) -> _File:
    files = _files(kind)
    if name not in files:
        raise UnknownNameError(kind, name, files)
    return files[name]


def _files(kind: str) -> dict[str, _File]:
    """Everything of a kind, by name."""
    code = current()
    own = {} if code is None else {name: _own(code, name, path) for name, path in code.names(kind).items()}
    return {**_built_in(kind), **_installed(kind), **own}


def _own(code: Code, name: str, path: str) -> _File:
    return _File(origin=code.origin, label=f"{code.origin}{path}", module=path, attribute=name, code=code)


def _built_in(kind: str) -> Mapping[str, _File]:
    package = PACKAGES[kind]
    folder = _folder(package)
    return _listed(package, folder, folder.stat().st_mtime_ns)


@functools.cache
def _listed(package: str, folder: Path, changed_ns: int) -> Mapping[str, _File]:
    """What lies in a folder as it was changed last: a study file asks dozens of times, and listing takes longer than all else."""
    return {
        path.stem: _File(origin=BUILT_IN, label=str(path), module=f"{package}.{path.stem}", attribute=path.stem, path=path)
        for path in folder.glob("*.py")
        if not path.stem.startswith("_")
    }


def _installed(kind: str) -> dict[str, _File]:
    found = installed.entries(kind)
    built_in = _built_in(kind) if found else {}
    for name, entry in found.items():
        if name in built_in:
            raise InputError(f"the installed package {entry.origin} offers the {kind} '{name}', which is built in. Uninstall it.")
    return {
        name: _File(
            origin=entry.origin,
            label=str(entry.path),
            module=entry.module,
            attribute=entry.attribute,
            path=entry.path,
            installed=entry,
        )
        for name, entry in found.items()
    }


@functools.cache
def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations, f"package {package} is not installed"
    return Path(next(iter(spec.submodule_search_locations)))


def _refuse(file: _File, sentence: str) -> NoReturn:
    """A fault of ours in what is built in; the user's in what is not."""
    if file.origin == BUILT_IN:
        raise AssertionError(sentence)
    raise InputError(f"{sentence}. Name the function like the file, or the file like the function.")


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@functools.lru_cache(maxsize=256)
def _parsed_text(text: str, label: str) -> ast.Module:
    """Kept by the text, so that two versions of a file never mix."""
    return ast.parse(text, filename=label)
