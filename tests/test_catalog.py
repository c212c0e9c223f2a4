"""The catalog: one conformance kit over all kinds, and how little it loads."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sweeper import catalog
from sweeper.errors import UnknownNameError

KINDS = sorted(catalog.PACKAGES)
EVERYTHING = [(kind, name) for kind in KINDS for name in catalog.names(kind)]
FUNCTIONS = [(kind, name) for kind, name in EVERYTHING if kind in ("architecture", "dataset", "cluster")]
HEAVY = (
    "ray",
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "optuna",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "matplotlib",
    "seaborn",
    "sklearn",
)


def loaded_by(code: str, *arguments: str) -> list[str]:
    """The heavy packages in a fresh process after it ran `code`, even if that ended it."""
    report = f"""
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(set(sys.modules) & set({HEAVY!r}))), file=sys.stderr))
"""
    done = subprocess.run([sys.executable, "-c", report + code, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return found


# -------------------------------------------------------------------------------------------------------- conformance


@pytest.mark.parametrize(("kind", "name"), EVERYTHING)
def test_a_file_begins_with_a_sentence_and_defines_its_name(kind: str, name: str) -> None:
    summary = catalog.summary(kind, name)
    assert 10 < len(summary) < 120
    assert summary[0].isupper() or summary[0].isdigit()
    assert not summary.endswith(".")
    text = (catalog._folder(catalog.PACKAGES[kind]) / f"{name}.py").read_text(encoding="utf-8")
    assert f"\ndef {name}(" in text or f"\n{name} = " in text
    assert name == name.lower()


@pytest.mark.parametrize(("kind", "name"), FUNCTIONS)
def test_every_argument_is_annotated_and_optional_or_required(kind: str, name: str) -> None:
    for parameter in catalog.parameters(kind, name).values():
        assert parameter.annotation, f"{parameter.name} of {kind} {name} says no type"


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name in FUNCTIONS if kind != "architecture"])
def test_arguments_read_from_the_source_are_those_of_the_function(kind: str, name: str) -> None:
    parameters = list(inspect.signature(catalog.load(kind, name)).parameters.values())
    if kind == "cluster" and catalog.submits(name):
        parameters = parameters[1:]  # the job
    assert {parameter.kind for parameter in parameters} <= {inspect.Parameter.KEYWORD_ONLY}
    expected = {
        parameter.name: (
            parameter.annotation,
            catalog.Parameter.REQUIRED if parameter.default is inspect.Parameter.empty else parameter.default,
        )
        for parameter in parameters
    }
    assert {item.name: (item.annotation, item.default) for item in catalog.parameters(kind, name).values()} == expected
    assert list(catalog.parameters(kind, name)) == [parameter.name for parameter in parameters]


@pytest.mark.parametrize("name", catalog.names("dataset"))
def test_a_dataset_says_where_it_comes_from(name: str) -> None:
    function = catalog.load("dataset", name)
    assert function.source
    assert function.licence
    assert function.__doc__


@pytest.mark.parametrize("name", catalog.names("space"))
def test_a_space_belongs_to_an_architecture_and_names_its_arguments(name: str) -> None:
    space = catalog.load("space", name)
    if space.architecture is None:
        assert not space.model, "training knobs alone go with every architecture"
        return
    assert space.architecture in catalog.names("architecture")
    assert set(space.model) <= set(catalog.parameters("architecture", space.architecture))


# ------------------------------------------------------------------------------------------------------------ loading


def test_listing_imports_nothing_heavy() -> None:
    code = """
from sweeper import catalog
for kind in catalog.PACKAGES:
    for name in catalog.names(kind):
        catalog.summary(kind, name)
        if kind in ("architecture", "dataset", "cluster"):
            catalog.parameters(kind, name)
for name in catalog.names("space"):
    catalog.load("space", name)
"""
    assert loaded_by(code) == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["list"], ["list", "plot"], ["launch", "--help"], ["pareto", "--help"]]
)
def test_help_and_lists_import_nothing_heavy(arguments: list[str]) -> None:
    assert loaded_by("from sweeper.cli import main\nmain()", *arguments) == []


def test_reading_a_study_imports_nothing_heavy() -> None:
    study = Path(__file__).parents[1] / "studies" / "digits.yaml"
    assert loaded_by("import sys\nfrom sweeper.study import spec\nspec.load(sys.argv[1])", str(study)) == []


def test_the_package_itself_imports_nothing_heavy() -> None:
    names = "sweeper.ledger.records, sweeper.streams, sweeper.errors"
    assert loaded_by(f"import sweeper, {names}\nsweeper.Space, sweeper.StudySpec") == []


def test_results_are_read_without_ray_keras_and_optuna() -> None:
    found = loaded_by("import sweeper.ledger.ledger, sweeper.ledger.tables, sweeper.analysis.results, sweeper.plots.pareto")
    assert not {"ray", "keras", "tensorflow", "jax", "torch", "optuna"} & set(found)


# -------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("kind", KINDS)
def test_a_misspelt_name_is_answered_with_the_closest_one(kind: str) -> None:
    for name in catalog.names(kind)[:2]:
        wrong = name[:-1] + ("x" if name[-1] != "x" else "y") + "s"
        with pytest.raises(UnknownNameError) as caught:
            catalog.load(kind, wrong)
        assert f"unknown {kind} '{wrong}'" in str(caught.value)
        assert "Allowed: " in str(caught.value)
        assert caught.value.exit_code == 2
        if len(name) > 4:
            assert "Did you mean '" in str(caught.value)


@pytest.mark.parametrize("name", ["", "__init__", "_blocks", "../cnn", "cnn.py", "CNN", "a\0b", "x" * 5000])
def test_an_odd_name_is_no_name(name: str) -> None:
    for ask in (catalog.load, catalog.summary, catalog.parameters):
        with pytest.raises(UnknownNameError) as caught:
            ask("architecture", name)
        assert len(str(caught.value)) < 2000


# ----------------------------------------------------------------------------------------------- adding is one file


@pytest.fixture
def contenders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty package that holds the architectures."""
    package = f"contenders_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(catalog.PACKAGES, "architecture", package)
    return folder


def test_adding_one_file_is_adding_one_thing(contenders: Path) -> None:
    assert catalog.names("architecture") == []
    (contenders / "_shared.py").write_text("raise RuntimeError('only files without an underscore are contenders')\n")
    (contenders / "_parts").mkdir()
    (contenders / "_parts" / "layer.py").write_text("raise RuntimeError('a folder holds no contenders')\n")
    (contenders / "tiny.py").write_text(
        '"""Tiny network: one layer.\n\nMore."""\n\n'
        "def tiny(shape, classes, *, width: int = 8, bias: int = -1):\n    return width\n"
    )
    assert catalog.names("architecture") == ["tiny"]
    assert catalog.summary("architecture", "tiny") == "Tiny network: one layer"
    assert [(item.name, item.annotation, item.default) for item in catalog.parameters("architecture", "tiny").values()] == [
        ("width", "int", 8),
        ("bias", "int", -1),
    ]
    assert catalog.load("architecture", "tiny")((8, 8, 1), 10, width=3) == 3
    (contenders / "tiny.py").unlink()
    assert catalog.names("architecture") == []


def test_a_file_that_breaks_the_rules_says_which(contenders: Path) -> None:
    (contenders / "other.py").write_text('"""Defines something else."""\n\ndef another():\n    pass\n')
    with pytest.raises(AssertionError, match=r"other\.py defines no function called other"):
        catalog.parameters("architecture", "other")
    with pytest.raises(AssertionError, match=r"other\.py defines nothing called other"):
        catalog.load("architecture", "other")
    (contenders / "clever.py").write_text(
        '"""Has a clever default."""\n\nWIDTH = 8\n\ndef clever(*, width: int = WIDTH):\n    pass\n'
    )
    with pytest.raises(AssertionError, match="architecture clever, width: the default must be a plain value, not WIDTH"):
        catalog.parameters("architecture", "clever")
    (contenders / "broken.py").write_text("def broken(:\n")
    with pytest.raises(SyntaxError, match=r"broken\.py"):
        catalog.summary("architecture", "broken")
    (contenders / "silent.py").write_text("def silent():\n    pass\n")
    assert catalog.summary("architecture", "silent") == ""
