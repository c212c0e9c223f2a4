"""The documents: commands that exist, links that lead somewhere, studies that are valid, and no word about anyone's machine."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from sweeper import catalog
from sweeper.cli import cli
from sweeper.owncode import Code
from sweeper.study.spec import parse

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("**/*.md"))
DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "benchmarks/**/*.md", "notebooks/**/*.md") for path in ROOT.glob(pattern)
)

MOST_README_LINES = 120
"""The first page is read in three minutes; the rest belongs on the pages of ``docs/``."""


def blocks(path: Path, languages: str) -> list[str]:
    """The fenced blocks of a document in one of these languages."""
    text = path.read_text(encoding="utf-8")
    return [match[1] for match in re.finditer(rf"^```(?:{languages})\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)]


def examples(path: Path) -> dict[str, str]:
    """The files a document shows in full, by name: its Python blocks that begin with the name in a comment."""
    found = (re.match(r"# (\S+\.py)\n(.*)", block, flags=re.DOTALL) for block in blocks(path, "python"))
    return {match[1]: match[2] for match in found if match}


def own_code() -> Code:
    """The code that `docs/own-code.md` shows."""
    files = {name.removeprefix("my_code/"): text for name, text in examples(ROOT / "docs" / "own-code.md").items()}
    return Code(origin="my_code/", files=files)


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


def test_every_command_is_in_the_readme_or_on_a_page() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (README, *PAGES))
    missing = [name for name in cli.commands if not re.search(rf"sweeper {name}(?![\w-])", text)]
    assert missing == []


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MOST_README_LINES


def test_studies_in_the_documents_are_valid() -> None:
    studies = [block for path in DOCUMENTS for block in blocks(path, "ya?ml") if re.search(r"^arms:", block, flags=re.MULTILINE)]
    assert studies
    with catalog.using(own_code()):
        for study in studies:
            parse(study)


def links(text: str) -> list[str]:
    """The targets of a document's links, but for addresses on the web."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)\s]+)", text) if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings: in lower case, without punctuation, with hyphens, numbered where one is repeated."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(
        r"^#{1,6} +(.+?) *$", re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    ):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w -]", "", words.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def broken_anchors(path: Path) -> Iterator[str]:
    """The links of a document to a heading that is not there."""
    for target in links(path.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        if anchor and page.suffix == ".md" and page.is_file() and anchor not in anchors(page.read_text(encoding="utf-8")):
            yield target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(path: Path) -> None:
    targets = [target.split("#")[0] for target in links(path.read_text(encoding="utf-8"))]
    assert [target for target in targets if not (path.parent / target).resolve().exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_anchors_in_links_are_headings(path: Path) -> None:
    assert list(broken_anchors(path)) == []


def test_an_anchor_that_is_gone_would_be_noticed(tmp_path: Path) -> None:
    text = "# Nodes, and `S3`\n## What [we](x.md) do: it's fast\n## Again\n## Again\n```bash\n# no heading\n```\n"
    assert anchors(text) == {"nodes-and-s3", "what-we-do-its-fast", "again", "again-1"}
    (tmp_path / "page.md").write_text(text)
    (tmp_path / "other.md").write_text("[a](page.md#again-1) [b](page.md#no-heading) [c](#here) [d](page.md)\n# There\n")
    assert list(broken_anchors(tmp_path / "other.md")) == ["page.md#no-heading", "#here"]


def named_in(nav: Any) -> Iterator[str]:
    """The files that a nav of MkDocs names."""
    if isinstance(nav, str):
        yield nav
        return
    for entry in nav.values() if isinstance(nav, dict) else nav:
        yield from named_in(entry)


def test_every_page_is_in_the_nav_of_the_site_and_every_entry_is_a_page() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = list(named_in(site["nav"]))
    assert sorted(named) == sorted(path.relative_to(ROOT / "docs").as_posix() for path in PAGES)
    assert named[0] == "index.md"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_named_in_a_document_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"`((?:sweeper|studies|tests|architectures|search_spaces|cluster)/[\w./-]+)`", text)
    shown = examples(path)  # whoever reads the page writes them
    assert [name for name in named if name not in shown and not (ROOT / name).exists()] == []


def machine_paths(text: str) -> list[str]:
    """Absolute paths of somebody's machine."""
    return re.findall(r"(?<![\w.])/(?:home|root|Users|work|tmp|mnt|opt|workspace)/[\w.-]+|[A-Z]:\\\w+", text)


def test_no_document_study_or_source_names_a_path_of_a_machine() -> None:
    assert machine_paths("see /home/somebody/x and C:\\data") == ["/home/somebody", "C:\\data"]
    sources = [*(ROOT / "studies").glob("*.yaml"), *(ROOT / "sweeper").rglob("*.py"), ROOT / "pyproject.toml", ROOT / "Makefile"]
    found = {path.name: machine_paths(path.read_text(encoding="utf-8")) for path in [*DOCUMENTS, *sources]}
    assert {name: paths for name, paths in found.items() if paths} == {}
