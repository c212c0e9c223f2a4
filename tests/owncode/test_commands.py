"""Own code on the command line, without Ray and Keras: what is listed, asked, refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from sweeper import catalog
from sweeper.cli import _code, cli
from tests.conftest import Run

STUDY = """\
name: own
code: my_code/
dataset: {name: stripes}
arms: {mine: {}, cnn: {}}
budget: {trials: 2, max_epochs: 1}
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study beside own code, where commands are called."""
    files = {
        "my_code/architectures/mine.py": '"""Mine, a small network."""\ndef mine(shape, classes, width: int = 8): ...\n',
        "my_code/datasets/stripes.py": "def stripes(size: int = 8):\n    raise FileNotFoundError('no stripes here')\n",
        "my_code/architectures/weights.pkl": "cos\nsystem\n",
        "study.yaml": STUDY,
        "other/architectures/mine.py": "def mine(input_shape, num_classes): ...\n",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_that_looks_something_up_takes_it() -> None:
    takes = {name for name, command in cli.commands.items() if any("--code" in one.opts for one in command.params)}
    assert takes >= set(cli.commands) - set(_code.WITHOUT)
    assert takes >= {"launch", "resume", "check", "describe", "list", "describe-data", "confirm", "ablate", "retrain", "measure"}
    assert takes >= {"benchmark", "predict", "plot", "schema", "replay"}


@pytest.mark.usefixtures("work")
def test_it_is_listed_with_its_origin_and_told_what_is_not_read(run: Run) -> None:
    code, out, err = run("list", "--code", "my_code/")
    assert code == 0
    assert re.search(r"^  mine +Mine, a small network \(my_code/\)$", out, re.MULTILINE)
    assert re.search(r"^  stripes +no description \(my_code/\)$", out, re.MULTILINE)
    assert err == "note: my_code/: architectures/weights.pkl: not read, since only *.py files are.\n"
    code, out, _ = run("list", "architecture", "--json", "--code", "my_code")
    assert json.loads(out)["architecture"]["mine"] == "Mine, a small network (my_code/)"
    assert catalog.current() is None
    assert "mine" not in run("list", "architecture", "--json")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "--code", "gone"], "error: gone: there is no such folder. Own code is a folder that holds architectures, "),
        (
            ["check", "study.yaml"],
            "error: study.yaml needs the code in my_code/, which is run only if you say so. Add: --code my_code/",
        ),
        (
            ["check", "study.yaml", "--code", "my_code"],
            "error: my_code/datasets/stripes.py, line 2: FileNotFoundError: no stripes",
        ),
        (["check", "study.yaml", "--code", "other"], "note: --code other is taken, not my_code/, which study.yaml names\n"),
        (
            ["check", "study.yaml", "--code", "other"],
            "error: study.yaml: 1 fault\n  - line 3: dataset.name: unknown dataset 'stripes'",
        ),
        (["describe-data", "stripes", "--code", "my_code"], "stripes.py, line 2: FileNotFoundError: no stripes here."),
        (
            ["describe", "mine", "--code", "my_code"],
            "error: my_code/architectures/mine.py: mine returns nothing, not a model. End",
        ),
        (["describe", "mine", "--set", "width=8.5", "--code", "my_code"], "width=8.5: '8.5' cannot be read as a whole number."),
    ],
)
@pytest.mark.usefixtures("work")
def test_a_mistake_is_one_sentence(arguments: list[str], said: str, run: Run) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert said in err


def test_the_schema_knows_it(run: Run, work: Path) -> None:
    schema = json.loads(run("schema", "--code", "my_code")[1])
    assert "mine" in schema["$defs"]["ArmSpec"]["properties"]["architecture"]["enum"]
    assert schema["properties"]["code"]["type"] == "string"


@pytest.mark.parametrize(("answer", "code_of_exit"), [(True, 2), (False, 130)])
def test_in_a_terminal_one_is_asked_once(
    answer: bool, code_of_exit: int, run: Run, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def confirm(question: str, **options: object) -> bool:
        asked.append(question)
        if not answer:
            raise click.Abort
        return True

    monkeypatch.setattr(click, "confirm", confirm)
    monkeypatch.setattr("sweeper.cli._code.is_anybody_there", lambda: True)
    code, _, err = run("check", "study.yaml")
    assert asked == ["my_code/ holds 2 Python files and will be run. Go on?"]
    assert code == code_of_exit
    assert ("FileNotFoundError: no stripes here" in err) == answer


def test_code_that_is_no_text_is_a_fault_with_its_line(run: Run, work: Path) -> None:
    (work / "study.yaml").write_text(STUDY.replace("code: my_code/", "code: [my_code]"))
    code, _, err = run("check", "study.yaml", "--code", "my_code")
    assert code == 2
    assert "line 2: code: allowed: the folder of your own code, as text, for example my_code/." in err


def test_a_clash_is_refused(run: Run, work: Path) -> None:
    (work / "my_code" / "architectures" / "resnet.py").write_text("")
    code, _, err = run("list", "--code", "my_code")
    assert code == 2
    assert "my_code/architectures/resnet.py: the architecture 'resnet' exists already (built in)." in err
