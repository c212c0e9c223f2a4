"""Help, faults of a command line, lists, and how a command ends."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest

from sweeper import catalog
from sweeper.cli import cli
from sweeper.cli._shared import shown
from tests.cli.kit import COMMANDS
from tests.conftest import Run


def test_every_command_has_help_in_sentences() -> None:
    assert sorted(cli.commands) == COMMANDS
    for name, command in cli.commands.items():
        assert command.help
        assert command.help.strip().endswith("."), name
        assert command.short_help
        assert command.short_help.endswith("."), name
        assert len(command.short_help) <= 66, f"{name}: the help of all commands has room for 66 characters"
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts}"


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_is_printed(command: list[str], run: Run) -> None:
    for option in ("--help", "-h"):
        code, out, err = run(*command, option)
        assert code == 0
        assert out.startswith("Usage: ")
        assert err == ""
    if not command:
        assert all(f"  {name} " in out for name in COMMANDS)
        assert "..." not in out.split("Commands:")[1], "a summary is cut"


def test_the_version_is_printed(run: Run) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert "0.1.0" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lanch", "x"], "unknown command 'lanch'. Did you mean 'launch'? Allowed: ablate, activations, audit, benchmark"),
        (["frobnicate"], "unknown command 'frobnicate'. Allowed: ablate, activations, audit, benchmark"),
        (["--frob"], "No such option"),
        (["status", "--jsn", "x"], "No such option"),
        (["status"], "Missing argument 'STUDY'"),
        (["launch", "x.yaml", "--max-concurrent", "0"], "--max-concurrent"),
        (["launch", "x.yaml", "--num-cpus", "many"], "--num-cpus"),
        (
            ["check", "absent.yaml"],
            "error: absent.yaml cannot be read: there is no such file. Give the path of a study file (YAML).",
        ),
        (["check", "."], "error: . is a folder. Give the path of a study file (YAML)."),
        (["launch", "absent.yaml"], "error: absent.yaml cannot be read: there is no such file."),
        (["list", "nonsense"], "error: unknown kind 'nonsense'. Allowed: architecture, cluster, dataset, plot, space."),
        (["list", "architectre"], "Did you mean 'architecture'?"),
        (["describe", "resnt"], "error: unknown architecture 'resnt'. Did you mean 'resnet'?"),
        (["describe", "cnn", "--set", "wdth=8"], "error: unknown knob of cnn 'wdth'. Did you mean 'width'? Allowed: attention, "),
        (["describe", "cnn", "--set", "width"], "error: --set width: write KNOB=VALUE, for example --set variant=custom"),
        (["describe", "cnn", "--set", "width=wide"], "error: --set width=wide: 'wide' cannot be read as a whole number."),
        (["describe", "cnn", "--set", "width=8.5"], "error: --set width=8.5: '8.5' cannot be read as a whole number."),
        (["describe", "cnn", "--set", "width=" + "9" * 5000], "cannot be read as a whole number."),
        (["describe", "cnn", "--set", "batch_norm=1"], "error: --set batch_norm=1: '1' cannot be read as true or false."),
        (["describe", "cnn", "--set", "width="], "'' cannot be read as a whole number."),
        (["describe", "cnn", "--set", "=3"], "unknown knob of cnn ''."),
        (["describe", "cnn", "--set", "width=8", "--set", "width=16"], "error: --set width=16: 'width' is set twice; keep one."),
        (["describe", "cnn", "--input-shape", "48,48"], "'48,48' is no shape; write height,width,channels, for example 48,48,1."),
        (["describe", "cnn", "--input-shape", "48,48,0"], "'48,48,0' is no shape"),
        (["describe", "cnn", "--input-shape", "48,48,-1"], "'48,48,-1' is no shape"),
        (["describe", "cnn", "--input-shape", "²,2,2"], "'²,2,2' is no shape"),
        (["describe", "cnn", "--input-shape", "9" * 5000 + ",2,2"], "is no shape"),
        (["describe", "cnn", "--num-classes", "1"], "--num-classes"),
    ],
)
def test_a_mistake_ends_with_2_and_a_way_out(arguments: list[str], said: str, run: Run) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert said in err
    assert out == ""


def test_list(run: Run) -> None:
    code, out, err = run("list")
    assert (code, err) == (0, "")
    for kind in catalog.PACKAGES:
        assert f"{kind}:" in out.splitlines()
        for name in catalog.names(kind):
            assert catalog.summary(kind, name) in out


@pytest.mark.parametrize("kind", ["architecture", "architectures", "clusters", "plot"])
def test_list_of_one_kind_in_singular_and_plural(kind: str, run: Run) -> None:
    code, out, _ = run("list", kind, "--json")
    singular = kind.removesuffix("s")
    assert code == 0
    assert json.loads(out) == {singular: {name: catalog.summary(singular, name) for name in catalog.names(singular)}}
    code, out, _ = run("list", kind)
    lines = out.splitlines()
    assert lines[0] == f"{singular}:"
    assert len({line.index(catalog.summary(singular, line.split()[0])) for line in lines[1:]}) == 1, "one column"


def test_an_interruption_ends_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(catalog, "names", interrupt)
    code, _, err = run("list")
    assert code == 130
    assert err.strip() == "interrupted; everything finished so far is saved."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (True, "true"),
        (3, "3"),
        (1234567, "1,234,567"),
        (0.5, "0.5000"),
        (1234.5, "1,234"),
        ("a", "a"),
    ],
)
def test_values_are_shown_to_people(value: object, text: str) -> None:
    assert shown(value) == text
