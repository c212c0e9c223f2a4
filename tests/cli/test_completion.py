"""Completion in a shell: what is completed, how quickly, and what installing it writes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sweeper import catalog
from sweeper.cli.completion import LOADED, script
from sweeper.ledger.tables import FORMATS
from tests.conftest import Run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name in ("digits", "digits_2", "flowers"):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "study.yaml").write_text("")
    (tmp_path / "results" / "digits_no_study").mkdir()
    return tmp_path / "results"


def completed(run: Run, monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """What is offered for the last word of a line."""
    monkeypatch.setenv("_SWEEPER_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    _, out, _ = run()
    return [line.split(",")[1] for line in out.split()]


def test_commands_and_names(run: Run, monkeypatch: pytest.MonkeyPatch, results: Path) -> None:
    def offered(*words: str) -> list[str]:
        return completed(run, monkeypatch, "sweeper", *words)

    assert offered("re") == ["recommend", "replay", "report", "resume", "retrain"]
    assert offered("describe", "res") == ["resnet"]
    assert offered("benchmark", "cnn", "cnn_") == ["cnn_se"]
    assert offered("describe-data", "cifar") == ["cifar10", "cifar100"]
    assert offered("list", "d") == ["dataset"]
    assert offered("status", "dig") == ["digits", "digits_2"]
    assert offered("status", "--results", str(results.parent), "dig") == []
    assert offered("resume", "--results", str(results), "f") == ["flowers"]
    assert offered("status", "--results", "s3://bucket/x", "f") == [], "a bucket is not asked"
    assert offered("status", "results/f") == ["results/f"], "the shell goes on with folders"
    assert offered("plot", "digits", "pareto") == [name for name in catalog.names("plot") if name.startswith("pareto")]
    assert {*offered("export", "digits", "--to", "c"), *offered("export", "digits", "--to", "p")} == set(FORMATS)


def test_nothing_heavy_is_loaded(tmp_path: Path, results: Path) -> None:
    environment = {"_SWEEPER_COMPLETE": "bash_complete", "COMP_CWORD": "2", "PYTHONPATH": str(ROOT)}
    for words in ("sweeper describe res", "sweeper status dig", "sweeper plot digits"):
        command = [sys.executable, "-X", "importtime", "-m", "sweeper"]
        done = subprocess.run(
            command,
            env={**os.environ, **environment, "COMP_WORDS": words},
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=True,
        )
        loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
        assert "sweeper.cli" in loaded
        heavy = ("keras", "ray", "numpy", "pandas", "pyarrow", "tensorflow", "pydantic", "optuna", "matplotlib", "rich")
        assert loaded.isdisjoint(heavy), words
        assert done.stdout.startswith("plain,")


def test_a_real_bash_completes(tmp_path: Path, run: Run, results: Path) -> None:
    program = tmp_path / "bin" / "sweeper"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m sweeper "$@"\n')
    program.chmod(0o755)
    _, text, _ = run("--show-completion", "bash")
    (tmp_path / "complete.bash").write_text(text)
    keys = 'COMP_WORDS=(sweeper status dig); COMP_CWORD=2; _sweeper_completion sweeper; echo "${COMPREPLY[@]}"'
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    command = ["bash", "--norc", "-c", f". ./complete.bash; {keys}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.split() == ["digits", "digits_2"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_installing_says_what_it_wrote_and_writes_it_once(
    shell: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    startup = home / f".{shell}rc"
    startup.write_text("alias x=y")
    code, out, err = run("--install-completion")
    assert (code, err) == (0, "")
    ending = "fish/completions/sweeper.fish" if shell == "fish" else f"sweeper/complete.{shell}"
    written = home / ".config" / ending
    assert out.startswith(f"wrote {written}\n")
    assert f"To undo: rm {written}" in out
    assert written.read_text() == script(shell)
    if shell == "fish":
        assert startup.read_text() == "alias x=y", "fish finds the file by itself"
    else:
        assert startup.read_text().splitlines() == ["alias x=y", LOADED[shell].format(path=f"'{written}'")]
        assert f"added to {startup}: " in out and f"remove that line from {startup}" in out
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    code, out, _ = run("--install-completion", shell)
    assert code == 0
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before
    if (program := shutil.which(shell)) is not None:
        subprocess.run([program, "-n" if shell != "fish" else "--no-execute", str(written)], check=True)


def test_a_shell_that_is_not_known(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, out, err = run("--install-completion", "bsh")
    assert (code, out) == (2, "")
    assert err == "error: unknown shell 'bsh'. Did you mean 'bash'? Allowed: bash, fish, zsh.\n"
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    code, _, err = run("--show-completion")
    assert code == 2
    assert err == "error: your shell is 'tcsh', which is not supported. Allowed: bash, fish, zsh.\n"
    (tmp_path / ".config").write_text("a file")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    code, _, err = run("--install-completion", "fish")
    assert code == 2
    assert "cannot be written (" in err and "sweeper --show-completion fish" in err
