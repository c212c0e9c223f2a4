"""The examples in docstrings and on the page of docs run, and a user's file is typed."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from tests.cli.test_confirm import confirmed
from tests.test_docs import ROOT

MODULES = ("arms", "data", "results", "study")

USER = '''
import numpy as np
import sweeper


def build(input_shape: tuple[int, int, int], num_classes: int, *, width: int = 8) -> object:
    return (input_shape, num_classes, width)


data = sweeper.arrays(np.zeros((4, 8, 8), "uint8"), [0, 1, 0, 1])
study = sweeper.Study(
    name="typed",
    dataset=data,
    arms={"own": build, "r": sweeper.arm("resnet", attention="se"), "wide": sweeper.arm(build, space={"width": sweeper.Int(low=1, high=2)})},
    trials=2,
    max_epochs=1,
)
results = study.run("results", num_cpus=2, quiet=True)
best: float = results.best("own")["val_accuracy"]
front = results.pareto(x="macs").head()
table = sweeper.open("results/typed").ablate(seeds=3, max_concurrent=1)
text: str = study.to_yaml()
again: sweeper.Study = sweeper.Study.from_yaml(text)
results.plot("pareto").savefig("pareto.png")
sweeper.Study(name="x")  # error: dataset
study.run(num_cpu=2)  # error: num_cpu
results.bestt()  # error: bestt
sweeper.nothing  # error: nothing
'''  # fmt: skip  # noqa: E501


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study, made without Ray, that the examples open."""
    monkeypatch.chdir(tmp_path)
    confirmed(tmp_path / "results" / "made")
    monkeypatch.setattr(mpl, "rcParams", mpl.rcParams.copy())
    return tmp_path


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module: str, made: Path) -> None:
    found = doctest.testmod(importlib.import_module(f"sweeper.api.{module}"), extraglobs={"np": np})
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.long
def test_a_users_file_is_typed(tmp_path: Path) -> None:
    """With our own settings, so that `make lint` need not read again what mypy has read of us here."""
    from mypy import api

    (tmp_path / "user.py").write_text(USER)
    settings = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    out, err, _ = api.run([*settings, str(tmp_path / "user.py")])
    assert not err
    errors = {int(line): text for line, text in re.findall(r"user\.py:(\d+): error: (.*)", out)}
    wanted = {number: line.split("# error: ")[1] for number, line in enumerate(USER.splitlines(), 1) if "# error: " in line}
    assert errors.keys() == wanted.keys(), out
    assert all(word in errors[number] for number, word in wanted.items()), out
