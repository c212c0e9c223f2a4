"""The comparison with the introductions of Keras Tuner and Ray Tune: what is counted, and that the page says what was counted."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.test_docs import blocks

ROOT = Path(__file__).parents[1]
HERE = ROOT / "benchmarks" / "peers" / "side_by_side"
PAGE = ROOT / "docs" / "compared.md"


@pytest.fixture(scope="module", autouse=True)
def importable() -> None:
    sys.path.insert(0, str(HERE))


def test_lines_that_say_something_are_counted(tmp_path: Path) -> None:
    from killed import lines_of_code  # type: ignore[import-not-found]

    script = tmp_path / "script.py"
    lines = ['"""What', 'it does."""', "", "import os  # not counted", "", "# why", 'x = """two', 'lines"""', "", "def f():"]
    script.write_text("\n".join([*lines, '    """It."""', "    return x", ""]))
    assert lines_of_code(script) == 4, "the text of two lines, def, return"
    study = tmp_path / "study.yaml"
    study.write_text("# what\nname: a\n\narms: {}  # two\n")
    assert lines_of_code(study) == 2


def test_the_page_has_the_lines_of_today() -> None:
    from killed import SIDES, lines_of_code

    rows = {cells[0]: cells[1] for line in PAGE.read_text().splitlines() if len(cells := line.strip("| ").split(" | ")) == 5}
    assert {side.name: rows.get(side.name) for side in SIDES.values()} == {
        side.name: str(sum(lines_of_code(HERE / file) for file in side.files)) for side in SIDES.values()
    }


def test_both_of_our_forms_and_the_page_have_the_same_network() -> None:
    def network(text: str) -> str:
        (found,) = re.findall(r"^def dense\(.*?^    return model$", text, flags=re.DOTALL | re.MULTILINE)
        return str(found).replace("sweeper.Int", "Int")

    own = network((HERE / "my_code/architectures/dense.py").read_text())
    assert network((HERE / "ours.py").read_text()) == own
    shown = blocks(PAGE, "python|text")
    files = ("keras_tuner_peer.py", "ours.py", "my_code/architectures/dense.py", "clothes.yaml", "ray_tune_example.py")
    whole = " ".join(" ".join((HERE / file).read_text() for file in files).split())
    assert shown
    for block in shown:
        for part in block.split("...\n"):
            assert " ".join(part.split()) in whole, part
