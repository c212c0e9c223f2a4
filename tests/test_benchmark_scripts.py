"""The scripts of ``benchmarks/`` are run by hand, so nothing else sees that what they import is still there."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("framework")

ROOT = Path(__file__).parents[1]

SCRIPTS = sorted((ROOT / "benchmarks").rglob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT / "benchmarks")))
def test_what_a_script_imports_of_ours_is_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sweeper":
            module = importlib.import_module(node.module or "")
            for name in node.names:
                if not hasattr(module, name.name):  # then it is a module of its own
                    importlib.import_module(f"{node.module}.{name.name}")
