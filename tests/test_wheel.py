"""The installed program: a wheel holds all it needs, and runs a study from a folder that knows nothing of the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("sweeper", "architectures", "search_spaces", "cluster")

STUDY = """
name: away
dataset: {name: digits, fraction: 0.1}
arms: {cnn: {fixed: {width: 16, num_blocks: 2}}}
budget: {trials: 1, max_epochs: 1}
"""


def test_every_package_of_the_tree_is_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    there = {".".join(file.relative_to(ROOT).parent.parts) for name in PACKAGES for file in (ROOT / name).rglob("*.py")}
    assert sorted(declared) == sorted(there)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, because building leaves files in the tree."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in (*PACKAGES, "pyproject.toml", "README.md", "LICENSE"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", out, copy], check=True, capture_output=True)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a new environment with the wheel in it. Its dependencies are this environment's, the checkout is not there."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    # A folder named in a .pth file is searched for packages; .pth files in it, one of which names the checkout, are not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed"]
    subprocess.run([*pip, wheel], check=True, capture_output=True, env=_environment(folder))
    return folder / "bin"


def _environment(home: Path) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, "HOME": str(home)}


def _run(command: list[object], folder: Path) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=_environment(folder), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_the_wheel_holds_every_module_the_style_and_script_of_reports_and_says_it_is_typed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    there = {file.relative_to(ROOT).as_posix() for name in PACKAGES for file in (ROOT / name).rglob("*.py")}
    beside = {"sweeper/__init__.pyi", "sweeper/report/page.css", "sweeper/report/page.js"}
    files = [file for file in (ROOT / "cluster").iterdir() if file.is_file()]
    templates = {f"cluster/{file.name}" for file in files if file.suffix not in (".py", ".typed")}
    assert held == there | beside | templates | {f"{name}/py.typed" for name in PACKAGES}


@pytest.mark.long
@pytest.mark.ray
def test_the_installed_program_runs_a_study_from_another_folder(installed: Path, tmp_path: Path) -> None:
    code = "import sweeper, architectures; print(sweeper.__file__, architectures.__file__)"
    where = _run([installed / "python", "-c", code], tmp_path)
    assert str(ROOT) not in where
    assert where.count(str(installed.parent)) == 2
    assert "0.1.0" in _run([installed / "sweeper", "--version"], tmp_path)
    assert "resnet" in _run([installed / "sweeper", "list", "architecture"], tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY)
    said = _run([installed / "sweeper", "launch", "study.yaml", "--num-cpus", 1, "--quiet"], tmp_path)
    assert "cnn-00000" in said
    assert (tmp_path / "results" / "away" / "tables" / "trials.parquet").is_file()
    assert "nothing lost" in _run([installed / "sweeper", "audit", "away"], tmp_path)
