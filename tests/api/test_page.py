"""The page on Python: its blocks run, one after another as a reader's would, and it names everything there is."""

from __future__ import annotations

import re
from pathlib import Path
from unittest.mock import create_autospec

import matplotlib as mpl
import numpy as np
import pytest

import sweeper
from sweeper.api.running import Options
from tests.api.cells import run
from tests.test_docs import README, ROOT, blocks

PAGE = ROOT / "docs" / "python.md"


def public(owner: type) -> set[str]:
    return {name for name in vars(owner) if not name.startswith("_")}


def test_everything_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]*`", text))))
    assert public(sweeper.Study) | public(sweeper.StudyResults) | set(Options.__annotations__) <= named


def test_the_first_page_makes_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results = create_autospec(sweeper.StudyResults, instance=True)
    monkeypatch.setattr(sweeper.Study, "run", lambda study: results)
    (block,) = blocks(README, "python")
    names = run("def build_my_model(input_shape, num_classes): return 1")
    names |= {"images": np.zeros((40, 8, 8), "uint8"), "labels": np.arange(40) % 4}
    study = run(block, names)["study"]
    assert list(study.spec.arms) == ["mine", "cnn", "resnet_se"]
    results.model.assert_called_once_with("mine", "mine.keras")


@pytest.mark.ray
@pytest.mark.long
@pytest.mark.usefixtures("ray_ready", "one_at_a_time")
def test_the_blocks_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mpl, "rcParams", mpl.rcParams.copy())
    names = None
    for block in blocks(PAGE, "python"):
        names = run(block, names)
    assert names is not None
    assert len(names["results"].seeds) == 2
    assert all((tmp_path / file).is_file() for file in ("small.keras", "own.yaml", "my_code/architectures/mine.py"))
    assert "def block(x, width, activation):" in capsys.readouterr().out
