"""What each file may import: the table of layers, held against every import there is, at module level and inside functions."""

from __future__ import annotations

import ast
import dataclasses
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("sweeper", "architectures", "search_spaces", "cluster")

DRIVEN = "driver training datasets search study ledger storage catalog errors"
"""What runs a study, and what is below that."""

TABLE: dict[str, tuple[str, str]] = {
    # third-party packages, then modules of ours without "sweeper."; a package covers what is in it. From the ground floor up:
    # nothing imports from a floor above its own.
    "sweeper/__init__.py": ("", ""),
    "sweeper/errors.py": ("", ""),
    "sweeper/streams.py": ("numpy", ""),
    "sweeper/owncode.py": ("", "errors"),
    "sweeper/installed.py": ("", "owncode errors"),
    "sweeper/signature.py": ("", ""),
    "sweeper/submission.py": ("", "errors"),
    "sweeper/catalog.py": ("", "installed owncode signature errors"),
    "architectures/_blocks": ("keras", "catalog errors architectures._blocks.layers architectures._blocks.checks"),
    "architectures/_blocks/layers.py": ("keras", ""),
    "architectures/_blocks/checks.py": ("", "errors"),
    "architectures/_blocks/__init__.py": ("", "architectures._blocks"),
    "architectures": ("keras", "catalog errors architectures._blocks"),
    "cluster": ("ray", "cluster catalog submission owncode errors"),
    "sweeper/storage": ("pyarrow", "storage errors"),
    "sweeper/ledger": ("pyarrow", "ledger storage errors"),
    "sweeper/ledger/records.py": ("pyarrow", ""),
    "sweeper/study": ("pydantic pydantic_core yaml", "study ledger.records catalog errors"),
    "sweeper/study/space.py": ("", "errors"),
    "sweeper/study/strict_yaml.py": ("yaml", ""),
    "search_spaces": ("", "study.space search_spaces._common"),
    "sweeper/datasets": ("numpy PIL sklearn keras", "datasets ledger.records catalog owncode errors"),
    "sweeper/search": ("optuna numpy scipy sklearn", "search study ledger.records streams errors"),
    "sweeper/replay": ("numpy pyarrow", "replay search study ledger.records streams errors"),
    "sweeper/training": (
        "keras tensorflow jax torch numpy",
        "training datasets study ledger.records ledger.lock ledger.predictions storage streams catalog owncode errors",
    ),
    "sweeper/driver": ("ray pydantic", "driver training datasets search study ledger storage catalog owncode errors"),
    "sweeper/driver/networks.py": ("keras", "driver.weights training datasets study catalog owncode errors"),
    "sweeper/driver/session.py": ("", "driver.retention training search ledger errors"),
    "sweeper/driver/opened.py": ("", "search study ledger storage errors"),
    "sweeper/driver/retrain.py": ("", "training ledger.records storage errors"),
    "sweeper/analysis": ("numpy pandas scipy sklearn", "analysis ledger.records errors"),
    "sweeper/plots": ("matplotlib seaborn pandas numpy", "plots analysis ledger.records storage errors"),
    "sweeper/report": ("numpy pandas", "report analysis plots ledger.records errors"),
    "sweeper/audit": ("pyarrow", "audit driver.opened training.checkpoint search study ledger storage errors"),
    "sweeper/models": ("keras numpy", f"models report analysis streams {DRIVEN}"),
    "sweeper/models/convert.py": ("keras tensorflow onnxruntime numpy", ""),
    "sweeper/service": ("rich", f"submission service report plots analysis {DRIVEN}"),
    "sweeper/api": ("keras pandas numpy matplotlib", f"api service models report plots analysis owncode {DRIVEN}"),
    "sweeper/exports": ("tensorboard mlflow optuna wandb", "exports ledger storage study errors"),
    "sweeper/cli": ("click rich", f"submission cli exports service models audit report plots analysis replay owncode {DRIVEN}"),
    "sweeper/__main__.py": ("", "cli"),
}
"""The longest entry that fits a file counts."""

HEAVY = ("ray", "keras", "tensorflow", "jax", "torch", "optuna", "sklearn", "PIL", "matplotlib", "seaborn", "pandas", "scipy",
         "pyarrow", "numpy", "tensorboard", "mlflow", "wandb")  # fmt: skip

AT_THE_TOP = {
    "sweeper/training": "keras numpy",
    "sweeper/training/loop/on_tensorflow.py": "tensorflow numpy",
    "sweeper/training/loop/on_jax.py": "jax keras numpy",
    "sweeper/training/loop/several.py": "jax keras numpy",
    "sweeper/training/loop/on_torch.py": "torch keras numpy",
    "sweeper/search": "numpy",
    "sweeper/replay": "numpy",
    "sweeper/analysis": "numpy pandas scipy",
    "sweeper/plots": "matplotlib seaborn pandas numpy",
    "sweeper/report": "numpy pandas",
    "sweeper/driver/tune.py": "ray",
    "sweeper/ledger/parts.py": "pyarrow",
    "sweeper/ledger/ledger.py": "pyarrow",
    "sweeper/ledger/stamp.py": "pyarrow",
    "sweeper/ledger/tables.py": "pyarrow",
    "architectures": "keras",
    "architectures/_blocks": "keras",
    "architectures/_blocks/layers.py": "keras",
}
"""Heavy packages a file may import as soon as it is imported itself; anywhere else only inside the function that needs them."""

DYNAMIC = ("sweeper/__init__.py", "sweeper/catalog.py", "sweeper/owncode.py", "sweeper/training/trial.py")
"""Files that may import a module whose name is a variable."""

PICKLES = ("pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib")
"""Reading one of these runs whatever code its writer wanted."""

PICKLE_OF_TUNE = ("sweeper/driver/tune.py",)
"""Reads the class of an error that Tune itself has just written to its temporary folder; nothing of a results folder."""


@dataclasses.dataclass(frozen=True)
class Import:
    """One imported module.

    Args:
        module: Its full name, as far as it is a module.
        line: Where.
        is_at_top: Whether it happens when the file itself is imported.
        is_for_types: Whether only type checkers follow it.
    """

    module: str
    line: int
    is_at_top: bool
    is_for_types: bool = False


class _Walker(ast.NodeVisitor):
    """Every import of one file, and what is forbidden everywhere."""

    def __init__(self, root: Path, file: Path):
        self.root, self.file = root, file
        self.imports: list[Import] = []
        self.forbidden: list[str] = []
        self._depth = 0
        self._is_for_types = False

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self._is_for_types = True
            for statement in node.body:
                self.visit(statement)
            self._is_for_types = False
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
        self.imports.append(Import(module, getattr(node, "lineno", 0), self._depth == 0, self._is_for_types))

    def _is_module(self, name: str) -> bool:
        path = self.root.joinpath(*name.split("."))
        return path.is_dir() or path.with_suffix(".py").is_file()


def walked(root: Path, file: Path) -> _Walker:
    """What is found in one file."""
    walker = _Walker(root, file)
    walker.visit(ast.parse(file.read_text(encoding="utf-8"), filename=str(file)))
    return walker


def problems(root: Path, pattern: str = "*.py") -> Iterator[str]:
    """Everything in the files of the tree under `root` that the table does not allow, one line each."""
    for file in sorted(file for name in OURS for file in (root / name).rglob(pattern)):
        name = _relative(root, file)
        entry = _entry(name, TABLE)
        if entry is None:
            yield f"{name}: the table of layers does not cover it; add it to TABLE in tests/test_layers.py"
            continue
        walker = walked(root, file)
        yield from (f"{name}, {text}" for text in walker.forbidden)
        packages, modules = (words.split() for words in TABLE[entry])
        top = AT_THE_TOP.get(_entry(name, AT_THE_TOP) or "", "").split()
        for found in dict.fromkeys(one for one in walker.imports if not one.is_for_types):
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


def _entry(name: str, table: Mapping[str, object]) -> str | None:
    """The longest entry of a table that covers a file."""
    return max((entry for entry in table if name == entry or name.startswith(f"{entry}/")), key=len, default=None)


def floors() -> list[str]:
    """The rooms from the ground floor up, in the order of `TABLE`; one that has files with entries of their own counts once."""
    return [entry for entry in TABLE if not any(entry.startswith(f"{room}/") for room in TABLE)]


def graph(root: Path) -> dict[str, set[str]]:
    """Which files of ours each file imports, wherever it does so, also for type checkers alone."""
    files = {_relative(root, file): file for name in OURS for file in sorted((root / name).rglob("*.py"))}
    found: dict[str, set[str]] = {}
    for name, file in files.items():
        targets = {module.module.replace(".", "/") for module in walked(root, file).imports}
        paths = {path for target in targets for path in (f"{target}.py", f"{target}/__init__.py") if path in files}
        found[name] = paths - {name}
    return found


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Every circle of imports, as the files that reach each other."""
    reach = {name: _reached(arrows, name) for name in arrows}
    found = {tuple(sorted({name, *(other for other in reach[name] if name in reach[other])})) for name in arrows}
    return sorted([*group] for group in found if len(group) > 1)


def _reached(arrows: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = arrows[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def upward(arrows: dict[str, set[str]]) -> list[str]:
    """Imports from a floor above the file's own; the version, which everybody may read, is on the ground floor."""
    order = floors()

    def floor(name: str) -> int:
        return next(number for number, room in enumerate(order) if name == room or name.startswith(f"{room}/"))

    return sorted(f"{name} -> {target}" for name, targets in arrows.items() for target in targets if floor(target) > floor(name))


def _is_allowed(module: str, allowed: list[str]) -> bool:
    if module == "sweeper":
        return True  # its version; it loads nothing by itself
    names = [name if name.split(".")[0] in OURS else f"sweeper.{name}" for name in allowed]
    return any(module == name or module.startswith(f"{name}.") for name in names)


def _relative(root: Path, file: Path) -> str:
    return file.relative_to(root).as_posix()


def test_every_file_keeps_to_its_layer() -> None:
    assert list(problems(ROOT)) == []


def test_no_import_runs_in_a_circle() -> None:
    assert circles(graph(ROOT)) == []


def test_no_import_runs_up() -> None:
    assert upward(graph(ROOT)) == []


def test_a_circle_and_an_import_that_runs_up_would_be_noticed(tmp_path: Path) -> None:
    for name, text in {
        "sweeper/search/one.py": "def f():\n    from sweeper.search import two",
        "sweeper/search/two.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sweeper.search.one import f",
        "sweeper/errors.py": "def f():\n    import sweeper.search.one",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    arrows = graph(tmp_path)
    assert circles(arrows) == [["sweeper/search/one.py", "sweeper/search/two.py"]]
    assert upward(arrows) == ["sweeper/errors.py -> sweeper/search/one.py"]


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
        ("sweeper/search/study.py", "from sweeper.driver import launch", "imports sweeper.driver.launch"),
        ("sweeper/search/study.py", "from ..training import trial", "imports sweeper.training.trial"),
        ("sweeper/search/stopping.py", "import scipy.stats", "imports scipy at the top"),
        ("sweeper/analysis/results.py", "import matplotlib", "imports matplotlib"),
        ("sweeper/analysis/results.py", "from sweeper.ledger.ledger import StudyFolder", "imports sweeper.ledger.ledger"),
        ("sweeper/plots/pareto.py", "import scipy", "imports scipy"),
        ("sweeper/study/spec.py", "def f():\n    import ray", "imports ray"),
        ("sweeper/streams.py", "import numpy", "at the top"),
        ("sweeper/cli/figures.py", "import pandas", "imports pandas"),
        ("sweeper/datasets/digits.py", "import sklearn", "at the top"),
        ("sweeper/driver/launch.py", "import ray", "at the top"),
        ("sweeper/ledger/ledger.py", "import pickle", "imports pickle"),
        ("sweeper/ledger/ledger.py", "async def f():\n    import joblib", "imports joblib"),
        ("sweeper/ledger/ledger.py", "def f(n, p):\n    n.load(p, allow_pickle=True)", "allows pickle"),
        ("sweeper/driver/launch.py", "def f(ray, s):\n    ray.cloudpickle.load(s)", "uses ray.cloudpickle"),
        ("sweeper/driver/launch.py", "x = eval('1')", "calls eval("),
        ("sweeper/study/spec.py", "def f(x):\n    exec(x)", "calls exec("),
        ("sweeper/study/spec.py", "import importlib\nimportlib.import_module('ray')", "imports ray"),
        ("sweeper/study/spec.py", "import importlib\ndef f(x):\n    importlib.import_module(x)", "whose name is a variable"),
        ("architectures/cnn.py", "import tensorflow as tf", "imports tensorflow"),
        ("architectures/cnn.py", "from architectures.resnet import resnet", "imports architectures.resnet"),
        ("architectures/cnn.py", "import numpy", "imports numpy"),
        ("architectures/_blocks/layers.py", "from architectures.resnet import resnet", "imports architectures.resnet"),
        ("architectures/_blocks/layers.py", "from architectures._blocks import convolution", "imports architectures._blocks;"),
        ("architectures/_blocks/layers.py", "from . import convolutions", "imports architectures._blocks.convolutions"),
        ("architectures/_blocks/novelty.py", "from architectures._blocks import heads", "imports architectures._blocks.heads"),
        ("search_spaces/cnn.py", "import keras", "imports keras"),
        ("search_spaces/cnn.py", "from sweeper.catalog import names", "imports sweeper.catalog"),
        ("cluster/local.py", "from sweeper.driver.launch import launch", "imports sweeper.driver.launch"),
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
    from sweeper.ledger.ledger import Ledger
else:
    import json
"""
    (tmp_path / "sweeper" / "errors.py").write_text(text)
    assert list(problems(tmp_path)) == []
    (tmp_path / "sweeper" / "driver").mkdir()
    (tmp_path / "sweeper" / "driver" / "tune.py").write_text("def f():\n    import ray\n    import matplotlib.pyplot\n")
    assert "sweeper/driver/tune.py: imports both ray and matplotlib" in list(problems(tmp_path))
