"""What each file may import: the table of layers, held against every import there is, at module level and inside functions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layers import DYNAMIC, OURS, PICKLE_OF_TUNE, ROOT, TABLE, circles, graph, problems, upward


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
