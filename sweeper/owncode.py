"""A user's own code: architectures, search spaces, datasets and plots in a folder beside a study, read as text, run from memory.

::

    my_code/
    ├── architectures/mine.py       # def mine(input_shape, num_classes, ...)
    ├── architectures/_parts.py     # helpers: from ._parts import block
    ├── search_spaces/mine.py
    ├── datasets/...
    └── plots/...

Only ``*.py`` files of these four folders are read. They travel as text, so a worker runs what the driver was given, wherever it
is, and they are imported under a package whose name holds their hash, so two versions of a file never mix in one process.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import keyword
import linecache
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from sweeper.errors import InputError, did_you_mean, first_line, listed

FOLDERS = {"architecture": "architectures", "space": "search_spaces", "dataset": "datasets", "plot": "plots"}
"""Folder of each kind."""

LARGEST_FILE = 1_000_000
"""Bytes a file may have; source that a person wrote has some thousands."""

_PACKAGE = "sweeper_own_"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Code:
    """The code in one folder.

    Args:
        origin: What the user called the folder, for example ``my_code/``.
        files: Source text by path, for example ``architectures/mine.py``.
        notes: What a person should know of the folder: files and folders in it that are not read.
    """

    origin: str
    files: Mapping[str, str]
    notes: tuple[str, ...] = dataclasses.field(default=(), compare=False)

    def sha256s(self) -> dict[str, str]:
        """The SHA-256 of every file by its path, in hexadecimal digits."""
        return {path: hashlib.sha256(text.encode()).hexdigest() for path, text in sorted(self.files.items())}

    def names(self, kind: str) -> dict[str, str]:
        """The path of each name of one kind: files right in its folder whose name does not begin with an underscore."""
        found = {}
        for path in sorted(self.files):
            folder, _, file = path.rpartition("/")
            if folder == FOLDERS.get(kind) and not file.startswith("_"):
                found[file.removesuffix(".py")] = path
        return found

    def write(self, folder: Path | str) -> None:
        """Write the files into a folder."""
        for path, text in self.files.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="")

    def load(self, path: str, name: str) -> Any:
        """The object `name` of a file; runs the file unless this process has.

        Raises:
            InputError: The file raises, or holds nothing of that name.
        """
        return _load(self, path, name)

    def place_of(self, error: BaseException) -> str:
        """``my_code/architectures/mine.py, line 3``: the innermost of these lines that an exception came through, or ``""``."""
        if isinstance(error, SyntaxError) and (error.filename or "").startswith(self.origin):
            return f"{error.filename}, line {error.lineno}"
        frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        inside = [one for one in frames if one[0].startswith(self.origin) and one[0].removeprefix(self.origin) in self.files]
        return f"{inside[-1][0]}, line {inside[-1][1]}" if inside else ""

    @property
    def package(self) -> str:
        """Name of the package that the files are imported under."""
        told = repr((self.origin, sorted(self.files.items())))
        return f"{_PACKAGE}{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def read(folder: Path | str) -> Code:
    """The code in a folder; nothing of it is run.

    Raises:
        InputError: There is no such folder, it holds no code, or a file is no source text in Python; every such file is named.
    """
    root = Path(folder)
    origin = f"{str(root).rstrip('/')}/"
    if not root.is_dir():
        what = "it is a file" if root.exists() else "there is no such folder"
        raise InputError(f"{folder}: {what}. Own code is a folder that holds {_or(list(FOLDERS.values()))}.")
    files: dict[str, str] = {}
    faults: list[str] = []
    others: list[str] = []
    for path in _paths(root):
        if not path.endswith(".py"):
            others.append(path)
            continue
        try:
            files[path] = text_of((root / path).read_bytes(), path, f"{origin}{path}")
        except OSError as error:
            faults.append(f"{origin}{path} cannot be read: {error.strerror}.")
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError("\n".join(faults))
    strange = _strange_folders(root)
    if not files:
        raise InputError(
            f"{origin} holds no Python file in {_or(list(FOLDERS.values()))}.{''.join(f' {words}' for words in strange)} "
            "`sweeper new architecture NAME` writes a first one."
        )
    if others:
        strange.append(f"{listed(others)}: not read, since only *.py files are.")
    return Code(origin=origin, files=files, notes=tuple(f"{origin}: {words}" for words in strange))


def plain(code: Code | None) -> dict[str, Any] | None:
    """The code as data for JSON, for another process."""
    return None if code is None else {"origin": code.origin, "files": dict(code.files)}


def from_plain(data: dict[str, Any] | None) -> Code | None:
    """The code that `plain` told."""
    return None if data is None else Code(**data)


def _paths(root: Path) -> Iterator[str]:
    """Files in the folders of `FOLDERS`, without hidden ones."""
    for folder in FOLDERS.values():
        for where, inner, files in os.walk(root / folder):
            inner[:] = sorted(name for name in inner if not name.startswith(".") and name != "__pycache__")
            for name in sorted(files):
                if not name.startswith("."):
                    yield Path(where, name).relative_to(root).as_posix()


def _strange_folders(root: Path) -> list[str]:
    """What is to be said of what lies in the folder itself: none of it is read."""
    said = []
    for entry in sorted(root.iterdir()):
        if entry.name.startswith((".", "__")) or entry.name in FOLDERS.values():
            continue
        if entry.is_dir():
            said.append(f"{entry.name}/ is not read.{did_you_mean(entry.name, FOLDERS.values())}")
        elif entry.suffix == ".py":
            said.append(f"{entry.name} is not read; move it into {_or([f'{name}/' for name in FOLDERS.values()])}.")
    return said


def text_of(data: bytes, path: str, label: str) -> str:
    """The source text in a file, once it is known to be Python; `label` names the file in errors.

    Raises:
        InputError: It is not, or its name is none that can be imported.
    """
    for part in path.removesuffix(".py").split("/"):
        if not part.isidentifier() or keyword.iskeyword(part):
            raise InputError(f"{label}: '{part}' is no name in Python. Rename it: letters, digits and '_', and no digit first.")
    if len(data) > LARGEST_FILE:
        raise InputError(
            f"{label} is larger than {LARGEST_FILE:,} bytes; source text is smaller. Keep data in files of their own."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{label} is not text in UTF-8. Save it as such.") from None
    try:
        importlib.abc.InspectLoader.source_to_code(text, label)
    except SyntaxError as error:
        raise InputError(f"{label}, line {error.lineno or 1}: this is not Python: {error.msg}.") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{label} is not Python: {first_line(error, 200)}.") from None
    return text


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


# ------------------------------------------------------------------------------------------------------------- imports


class _Loader(importlib.abc.InspectLoader):
    """Gives modules their source, so that tracebacks and `inspect` show it."""

    def __init__(self, code: Code, path: str):
        self._code, self._path = code, path

    def get_filename(self, fullname: str) -> str:
        """As the user knows the file."""
        return f"{self._code.origin}{self._path}"

    def get_source(self, fullname: str) -> str:
        """Its text; none for a folder."""
        return self._code.files.get(self._path, "")

    def get_code(self, fullname: str) -> CodeType:
        """Its text compiled."""
        return self.source_to_code(self.get_source(fullname), self.get_filename(fullname))

    def is_package(self, fullname: str) -> bool:
        """Whether it stands for a folder."""
        return self._path.endswith("__init__.py")


class _Finder(importlib.abc.MetaPathFinder):
    """Finds modules in the files of every code that this process has used."""

    def __init__(self) -> None:
        self.codes: dict[str, Code] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's specification; None of what is not the user's."""
        package, *parts = fullname.split(".")
        if (code := self.codes.get(package)) is None:
            return None
        inside = "/".join(parts)
        if f"{inside}.py" in code.files:
            file = f"{inside}.py"
        elif not parts or any(known.startswith(f"{inside}/") for known in code.files):
            file = f"{inside}/__init__.py".lstrip("/")
        else:
            return None
        loader = _Loader(code, file)
        spec = importlib.util.spec_from_loader(fullname, loader, is_package=loader.is_package(fullname))
        assert spec is not None
        spec.submodule_search_locations = [] if loader.is_package(fullname) else None
        return spec


_FINDER = _Finder()


def _load(code: Code, path: str, name: str) -> Any:
    if code.package not in _FINDER.codes:
        _FINDER.codes[code.package] = code
        for file in code.files:
            linecache.cache.pop(f"{code.origin}{file}", None)  # of an earlier version
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    label = f"{code.origin}{path}"
    try:
        module = importlib.import_module(f"{code.package}.{path.removesuffix('.py').replace('/', '.')}")
    except (Exception, SystemExit) as error:
        told = code.place_of(error) or label
        raise InputError(f"{told}: {_in_words(error)}.{_advice(error, code, path)}") from error
    if not hasattr(module, name):
        raise InputError(
            f"{label} defines nothing called {name}. Name the function like the file, or the file like the function."
        )
    return getattr(module, name)


def _in_words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300].rstrip('.')}" if lines else type(error).__name__


def _advice(error: BaseException, code: Code, path: str) -> str:
    folder = path.split("/")[0]
    if isinstance(error, ModuleNotFoundError) and error.name and f"{folder}/{error.name}.py" in code.files:
        return f" It lies beside this file: write `from .{error.name} import ...`."
    return ""
