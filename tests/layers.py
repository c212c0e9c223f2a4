"""The table of layers, and the imports of every file as they are in its source, at module level and inside functions."""

from __future__ import annotations

import ast
import dataclasses
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = ("sweeper", "architectures", "search_spaces", "cluster")

DRIVEN = "driver training datasets search study ledger storage catalog secrecy errors"
"""What runs a study, and what is below that."""

TABLE: dict[str, tuple[str, str]] = {
    # third-party packages, then modules of ours without "sweeper."; a package covers what is in it. From the ground floor up:
    # nothing imports from a floor above its own.
    "sweeper/__init__.py": ("", ""),
    "sweeper/errors.py": ("", ""),
    "sweeper/secrecy.py": ("", ""),
    "sweeper/garbage.py": ("", ""),
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
    "sweeper/storage": ("pyarrow obstore", "storage errors"),
    "sweeper/ledger": ("pyarrow", "ledger storage garbage errors"),
    "sweeper/ledger/records.py": ("pyarrow", ""),
    "sweeper/study": ("pydantic pydantic_core yaml", "study ledger.records catalog secrecy errors"),
    "sweeper/study/space.py": ("", "errors"),
    "sweeper/study/strict_yaml.py": ("yaml", ""),
    "search_spaces": ("", "study.space search_spaces._common"),
    "sweeper/datasets": ("numpy PIL sklearn keras", "datasets ledger.records catalog owncode errors"),
    "sweeper/search": ("optuna numpy scipy sklearn", "search study ledger.records streams errors"),
    "sweeper/replay": ("numpy pyarrow", "replay search study ledger.records streams errors"),
    "sweeper/training": (
        "keras tensorflow jax torch numpy",
        "training datasets study ledger.records ledger.lock ledger.predictions storage streams catalog owncode secrecy garbage"
        " errors",
    ),
    "sweeper/driver": (
        "ray psutil pydantic",
        "driver training datasets search study ledger storage catalog owncode secrecy garbage errors",
    ),
    "sweeper/driver/networks.py": ("keras", "driver.weights training datasets study catalog owncode errors"),
    "sweeper/driver/session.py": (
        "",
        "driver.retention driver.places driver.crew training search study.spec ledger secrecy errors",
    ),
    "sweeper/driver/opened.py": ("", "search study ledger storage errors"),
    "sweeper/driver/retrain.py": ("", "training ledger.records storage errors"),
    "sweeper/analysis": ("numpy pandas scipy sklearn", "analysis ledger.records errors"),
    "sweeper/plots": ("matplotlib seaborn pandas numpy", "plots analysis ledger.records storage errors"),
    "sweeper/report": ("numpy pandas", "report analysis plots ledger.records errors"),
    "sweeper/audit": ("pyarrow", "audit driver.opened training.checkpoint search study ledger storage errors"),
    "sweeper/models": ("keras numpy", f"models report analysis streams {DRIVEN}"),
    "sweeper/models/convert.py": ("keras tensorflow onnxruntime numpy", ""),
    "sweeper/service": ("rich", f"submission service report plots analysis {DRIVEN}"),
    "sweeper/doctor": ("ray", f"doctor service owncode {DRIVEN}"),
    "sweeper/api": ("keras pandas numpy matplotlib", f"api service models report plots analysis owncode {DRIVEN}"),
    "sweeper/exports": ("tensorboard mlflow optuna wandb", "exports ledger storage study errors"),
    "sweeper/cli": (
        "click rich",
        f"submission cli doctor exports service models audit report plots analysis replay owncode {DRIVEN}",
    ),
    "sweeper/__main__.py": ("", "cli"),
}
"""The longest entry that fits a file counts."""

HEAVY = ("ray", "keras", "tensorflow", "jax", "torch", "optuna", "sklearn", "PIL", "matplotlib", "seaborn", "pandas", "scipy",
         "pyarrow", "numpy", "obstore", "tensorboard", "mlflow", "wandb")  # fmt: skip

AT_THE_TOP = {
    "sweeper/training": "keras numpy",
    "sweeper/training/loop/on_tensorflow.py": "tensorflow numpy",
    "sweeper/training/loop/on_jax.py": "jax keras numpy",
    "sweeper/training/loop/several.py": "jax keras numpy",
    "sweeper/training/loop/on_torch.py": "torch keras numpy",
    "sweeper/search": "numpy",
    "sweeper/search/in_optuna.py": "optuna",
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
