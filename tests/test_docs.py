"""The documents: commands that exist, links that lead somewhere, studies that are valid, and no word about anyone's machine."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from sweeper.cli import cli
from sweeper.study.spec import parse

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "benchmarks/**/*.md", "notebooks/**/*.md") for path in ROOT.glob(pattern)
)

needs_readme = pytest.mark.skipif(not README.is_file(), reason="README.md is not written yet")


def blocks(path: Path, languages: str) -> list[str]:
    """The fenced blocks of a document in one of these languages."""
    text = path.read_text(encoding="utf-8")
    return [match[1] for match in re.finditer(rf"^```(?:{languages})\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)]


def shell_lines(path: Path) -> list[str]:
    """Every line of a document's shell blocks that calls the command line, continued lines joined, without comments."""
    text = "\n".join(blocks(path, "bash|sh|console|shell")).replace("\\\n", " ")
    lines = [re.sub(r"\s#.*", "", line).strip().removeprefix("$ ") for line in text.splitlines()]
    return [line.removeprefix(".venv/bin/") for line in lines if re.match(r"(\.venv/bin/)?sweeper\b", line)]


def check_command(line: str) -> None:
    """Raise `click.UsageError` unless the command line takes this line; nothing is run."""
    words = shlex.split(line.split("|")[0].split(">")[0])[1:]
    if not words or words[0].startswith("-"):
        return
    context = click.Context(cli, info_name="sweeper", **cli.context_settings)
    _, command, rest = cli.resolve_command(context, words)
    assert command is not None
    command.make_context(command.name, rest, parent=context)


CASES = [(path, line) for path in DOCUMENTS for line in shell_lines(path)]


@pytest.mark.parametrize(("path", "line"), CASES, ids=[f"{path.name}: {line}" for path, line in CASES])
def test_a_command_in_a_document_is_one_the_program_takes(path: Path, line: str) -> None:
    try:
        check_command(line)
    except click.UsageError as error:
        pytest.fail(f"{path.name}: {line}: {error.format_message()}")


@pytest.mark.parametrize(
    "line", ["sweeper lanch x.yaml", "sweeper status", "sweeper plot digits --frob", "sweeper launch x.yaml --num-cpus 0"]
)
def test_a_command_that_does_not_exist_would_be_noticed(line: str) -> None:
    with pytest.raises(click.UsageError):
        check_command(line)


@needs_readme
def test_every_command_is_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    missing = [name for name in cli.commands if f"sweeper {name}" not in text]
    assert missing == []


@needs_readme
def test_studies_in_the_documents_are_valid() -> None:
    studies = [block for path in DOCUMENTS for block in blocks(path, "ya?ml") if re.search(r"^arms:", block, flags=re.MULTILINE)]
    assert studies
    for study in studies:
        parse(study)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)", text)
    broken = [
        target
        for target in targets
        if not re.match(r"[a-z]+:|#", target) and not (path.parent / target.split("#")[0]).resolve().exists()
    ]
    assert broken == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_named_in_a_document_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"`((?:sweeper|studies|tests|architectures|search_spaces|cluster)/[\w./-]+)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def machine_paths(text: str) -> list[str]:
    """Absolute paths of somebody's machine."""
    return re.findall(r"(?<![\w.])/(?:home|root|Users|work|tmp|mnt|opt|workspace)/[\w.-]+|[A-Z]:\\\w+", text)


def test_no_document_study_or_source_names_a_path_of_a_machine() -> None:
    assert machine_paths("see /home/somebody/x and C:\\data") == ["/home/somebody", "C:\\data"]
    sources = [*(ROOT / "studies").glob("*.yaml"), *(ROOT / "sweeper").rglob("*.py"), ROOT / "pyproject.toml", ROOT / "Makefile"]
    found = {path.name: machine_paths(path.read_text(encoding="utf-8")) for path in [*DOCUMENTS, *sources]}
    assert {name: paths for name, paths in found.items() if paths} == {}
