"""What each file may import: the table of layers, held against every import there is, at module level and inside functions."""

from __future__ import annotations

import ast
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("sweeper", "architectures", "search_spaces", "cluster")

TABLE: dict[str, tuple[str, str]] = {
    # third-party packages, then modules of ours without "sweeper."; a package covers what is in it
    "sweeper/__init__.py": ("", ""),
    "sweeper/__main__.py": ("", "cli"),
    "sweeper/errors.py": ("", ""),
    "sweeper/catalog.py": ("", "errors"),
    "sweeper/space.py": ("", "errors"),
    "sweeper/streams.py": ("numpy", ""),
    "sweeper/strict_yaml.py": ("yaml", ""),
    "sweeper/budget.py": ("", ""),
    "sweeper/grid.py": ("", "space"),
    "sweeper/spec.py": ("pydantic pydantic_core yaml", "budget catalog grid space errors spec_faults strict_yaml"),
    "sweeper/spec_faults.py": ("", "budget catalog grid space errors records strict_yaml"),
    "sweeper/schema.py": ("", "spec spec_faults catalog records"),
    "sweeper/records.py": ("pyarrow", ""),
    "sweeper/search": ("optuna numpy scipy", "search spec grid space records errors streams"),
    "sweeper/training": (
        "keras tensorflow jax torch numpy",
        "training spec space catalog datasets records errors streams storage lock",
    ),
    "sweeper/datasets": ("numpy PIL sklearn keras", "datasets catalog records errors"),
    "sweeper/storage.py": ("", "errors object_store"),
    "sweeper/object_store.py": ("pyarrow", "errors storage"),
    "sweeper/lock.py": ("", "errors storage"),
    "sweeper/parts.py": ("pyarrow", "records errors storage"),
    "sweeper/store.py": ("pyarrow", "records errors storage lock parts"),
    "sweeper/tables.py": ("pyarrow", "records errors storage"),
    "sweeper/requests.py": ("pydantic", "spec storage"),
    "sweeper/keeper.py": ("", "search storage records training"),
    "sweeper/tune.py": ("ray", "keeper lock search storage store spec records errors training datasets"),
    "sweeper/nodes.py": ("ray", "spec errors storage"),
    "sweeper/stored.py": ("", "catalog spec search store records errors"),
    "sweeper/transfer.py": ("", "spec space errors training datasets"),
    "sweeper/provenance.py": ("", "spec datasets"),
    "sweeper/runner.py": (
        "ray",
        "keeper nodes provenance requests stored search storage store tables spec records errors training datasets catalog "
        "transfer tune",
    ),
    "sweeper/retrain.py": ("", "records errors training"),
    "sweeper/analysis": ("numpy pandas scipy", "analysis records errors"),
    "sweeper/plots": ("matplotlib seaborn pandas numpy", "plots analysis records errors storage"),
    "sweeper/audit": (
        "pyarrow",
        "audit parts storage records errors search spec store stored tables training.checkpoint",
    ),
    "sweeper/cli": (
        "click rich",
        "cli audit errors catalog provenance space spec spec_faults schema records requests search store stored storage tables "
        "runner transfer retrain training analysis plots",
    ),
    "architectures": ("keras", "catalog errors architectures._blocks"),
    # No circles: the two files that the others need import none of them, and no file imports the package it is in.
    "architectures/_blocks": ("keras", "catalog errors architectures._blocks.layers architectures._blocks.checks"),
    "architectures/_blocks/layers.py": ("keras", ""),
    "architectures/_blocks/checks.py": ("", "errors"),
    "architectures/_blocks/__init__.py": ("", "architectures._blocks"),
    "search_spaces": ("", "space search_spaces._common"),
    "cluster": ("ray", "catalog errors"),
}
"""The longest entry that fits a file counts."""

HEAVY = ("ray", "keras", "tensorflow", "jax", "torch", "optuna", "sklearn", "PIL", "matplotlib", "seaborn", "pandas", "scipy",
         "pyarrow", "numpy")  # fmt: skip

AT_THE_TOP = {
    "sweeper/training": "keras numpy",
    "sweeper/search": "numpy",
    "sweeper/analysis": "numpy pandas scipy",
    "sweeper/plots": "matplotlib seaborn pandas numpy",
    "sweeper/tune.py": "ray",
    "sweeper/parts.py": "pyarrow",
    "sweeper/store.py": "pyarrow",
    "sweeper/tables.py": "pyarrow",
    "architectures": "keras",
    "architectures/_blocks": "keras",
    "architectures/_blocks/layers.py": "keras",
}
"""Heavy packages a file may import as soon as it is imported itself; anywhere else only inside the function that needs them."""

DYNAMIC = ("sweeper/__init__.py", "sweeper/catalog.py", "sweeper/training/trial.py")
"""Files that may import a module whose name is a variable."""

PICKLES = ("pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib")
"""Reading one of these runs whatever code its writer wanted."""

PICKLE_OF_TUNE = ("sweeper/tune.py",)
"""Reads the class of an error that Tune itself has just written to its temporary folder; nothing of a results folder."""


@dataclasses.dataclass(frozen=True)
class Import:
    """One imported module.

    Args:
        module: Its full name, as far as it is a module.
        line: Where.
        is_at_top: Whether it happens when the file itself is imported.
    """

    module: str
    line: int
    is_at_top: bool


class _Walker(ast.NodeVisitor):
    """Every import of one file that is not for type checkers alone, and what is forbidden everywhere."""

    def __init__(self, root: Path, file: Path):
        self.root, self.file = root, file
        self.imports: list[Import] = []
        self.forbidden: list[str] = []
        self._depth = 0

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for statement in node.orelse:
                self.visit(statement)
        else:
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._inside(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._inside(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._inside(node)

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            self._add(name.name, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level:
            package = self.file.relative_to(self.root).parent.parts
            module = ".".join([*package[: len(package) - node.level + 1], *filter(None, [module])])
        for name in node.names:
            self._add(f"{module}.{name.name}" if self._is_module(f"{module}.{name.name}") else module, node)

    def visit_Call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func)
        if called in ("eval", "exec", "compile", "builtins.eval", "builtins.exec"):
            self.forbidden.append(f"line {node.lineno}: calls {called}(")
        if called.split(".")[-1] in ("import_module", "__import__"):
            if node.args and isinstance(node.args[0], ast.Constant):
                self._add(str(node.args[0].value), node)
            elif _relative(self.root, self.file) not in DYNAMIC:
                self.forbidden.append(f"line {node.lineno}: imports a module whose name is a variable")
        for keyword in node.keywords:
            if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                self.forbidden.append(f"line {node.lineno}: allows pickle")
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in PICKLES and _relative(self.root, self.file) not in PICKLE_OF_TUNE:
            self.forbidden.append(f"line {node.lineno}: uses {ast.unparse(node)}")
        self.generic_visit(node)

    def _inside(self, node: ast.AST) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    def _add(self, module: str, node: ast.AST) -> None:
        self.imports.append(Import(module, getattr(node, "lineno", 0), self._depth == 0))

    def _is_module(self, name: str) -> bool:
        path = self.root.joinpath(*name.split("."))
        return path.is_dir() or path.with_suffix(".py").is_file()


def problems(root: Path, pattern: str = "*.py") -> Iterator[str]:
    """Everything in the files of the tree under `root` that the table does not allow, one line each."""
    for file in sorted(file for name in OURS for file in (root / name).rglob(pattern)):
        name = _relative(root, file)
        entry = max((entry for entry in TABLE if name == entry or name.startswith(f"{entry}/")), key=len, default=None)
        if entry is None:
            yield f"{name}: the table of layers does not cover it; add it to TABLE in tests/test_layers.py"
            continue
        walker = _Walker(root, file)
        walker.visit(ast.parse(file.read_text(encoding="utf-8"), filename=str(file)))
        yield from (f"{name}, {text}" for text in walker.forbidden)
        packages, modules = (words.split() for words in TABLE[entry])
        top = AT_THE_TOP.get(entry, "").split()
        for found in dict.fromkeys(walker.imports):
            package = found.module.split(".")[0]
            where = f"{name}, line {found.line}"
            if package in OURS:
                if not _is_allowed(found.module, modules):
                    yield f"{where}: imports {found.module}; allowed: {', '.join(modules) or 'nothing of ours'}"
            elif package in PICKLES:
                yield f"{where}: imports {package}"
            elif package not in sys.stdlib_module_names and package != "__future__":
                if package not in packages:
                    yield f"{where}: imports {package}; allowed: {', '.join(packages) or 'the standard library'}"
                elif found.is_at_top and package in HEAVY and package not in top:
                    yield f"{where}: imports {package} at the top; do it inside the function that needs it"
        if {"ray", "matplotlib"} <= {found.module.split(".")[0] for found in walker.imports}:
            yield f"{name}: imports both ray and matplotlib"


def _is_allowed(module: str, allowed: list[str]) -> bool:
    if module == "sweeper":
        return True  # its version; it loads nothing by itself
    names = [name if name.split(".")[0] in OURS else f"sweeper.{name}" for name in allowed]
    return any(module == name or module.startswith(f"{name}.") for name in names)


def _relative(root: Path, file: Path) -> str:
    return file.relative_to(root).as_posix()


def test_every_file_keeps_to_its_layer() -> None:
    assert list(problems(ROOT)) == []


def test_the_table_names_nothing_that_is_gone() -> None:
    gone = [entry for entry in (*TABLE, *DYNAMIC, *PICKLE_OF_TUNE) if not (ROOT / entry).exists()]
    assert gone == []


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree to doctor."""
    root = tmp_path_factory.mktemp("tree")
    for source in (source for name in OURS for source in (ROOT / name).rglob("*.py")):
        copy = root / source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    return root


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("sweeper/search/study.py", "import ray", "imports ray"),
        ("sweeper/search/study.py", "def f():\n    from keras import ops", "imports keras"),
        ("sweeper/search/study.py", "from sweeper import runner", "imports sweeper.runner"),
        ("sweeper/search/study.py", "from ..training import trial", "imports sweeper.training.trial"),
        ("sweeper/search/stopping.py", "import scipy.stats", "imports scipy at the top"),
        ("sweeper/analysis/results.py", "import matplotlib", "imports matplotlib"),
        ("sweeper/analysis/results.py", "from sweeper.store import StudyStore", "imports sweeper.store"),
        ("sweeper/plots/pareto.py", "import scipy", "imports scipy"),
        ("sweeper/spec.py", "def f():\n    import ray", "imports ray"),
        ("sweeper/streams.py", "import numpy", "at the top"),
        ("sweeper/cli/answers.py", "import pandas", "imports pandas"),
        ("sweeper/datasets/digits.py", "import sklearn", "at the top"),
        ("sweeper/runner.py", "import ray", "at the top"),
        ("sweeper/store.py", "import pickle", "imports pickle"),
        ("sweeper/store.py", "async def f():\n    import joblib", "imports joblib"),
        ("sweeper/store.py", "def f(n, p):\n    n.load(p, allow_pickle=True)", "allows pickle"),
        ("sweeper/runner.py", "def f(ray, s):\n    ray.cloudpickle.load(s)", "uses ray.cloudpickle"),
        ("sweeper/runner.py", "x = eval('1')", "calls eval("),
        ("sweeper/spec.py", "def f(x):\n    exec(x)", "calls exec("),
        ("sweeper/spec.py", "import importlib\nimportlib.import_module('ray')", "imports ray"),
        ("sweeper/spec.py", "import importlib\ndef f(x):\n    importlib.import_module(x)", "whose name is a variable"),
        ("architectures/cnn.py", "import tensorflow as tf", "imports tensorflow"),
        ("architectures/cnn.py", "from architectures.resnet import resnet", "imports architectures.resnet"),
        ("architectures/cnn.py", "import numpy", "imports numpy"),
        ("architectures/_blocks/layers.py", "from architectures.resnet import resnet", "imports architectures.resnet"),
        ("architectures/_blocks/layers.py", "from architectures._blocks import convolution", "imports architectures._blocks;"),
        ("architectures/_blocks/layers.py", "from . import convolutions", "imports architectures._blocks.convolutions"),
        ("architectures/_blocks/novelty.py", "from architectures._blocks import heads", "imports architectures._blocks.heads"),
        ("search_spaces/cnn.py", "import keras", "imports keras"),
        ("search_spaces/cnn.py", "from sweeper.catalog import names", "imports sweeper.catalog"),
        ("cluster/local.py", "from sweeper.runner import launch", "imports sweeper.runner"),
        ("sweeper/novelty.py", "import os", "the table of layers does not cover it"),
    ],
)
def test_a_forbidden_line_is_reported(file: str, text: str, said: str, tree: Path) -> None:
    path = tree / file
    before = path.read_bytes() if path.exists() else None
    old = set(problems(tree, path.name))
    try:
        path.write_bytes((before or b"") + f"\n{text}\n".encode())
        new = [problem for problem in problems(tree, path.name) if problem not in old]
    finally:
        path.unlink() if before is None else path.write_bytes(before)
    assert all(problem.startswith(file) for problem in new)
    assert any(said in problem for problem in new), new


def test_two_worlds_in_one_file_and_imports_for_type_checkers(tmp_path: Path) -> None:
    (tmp_path / "sweeper").mkdir()
    text = """
import os
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import numpy
    from sweeper.store import Ledger
else:
    import json
"""
    (tmp_path / "sweeper" / "errors.py").write_text(text)
    assert list(problems(tmp_path)) == []
    (tmp_path / "sweeper" / "tune.py").write_text("def f():\n    import ray\n    import matplotlib.pyplot\n")
    assert "sweeper/tune.py: imports both ray and matplotlib" in list(problems(tmp_path))
