"""A report as Markdown: for a repository, a mail, a paper's supplement."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sweeper.report.parts import Cell, Command, Number, Report, Section, plain

SPECIAL = re.compile(r"([\\`*_\[\]|<>#])")
"""What Markdown would read as more than a character."""


def markdown(report: Report) -> str:
    """The report as Markdown; its figures are in the page."""
    lines = [f"# {_escaped(report.study)}: which architecture?", "", _text(report.subtitle), ""]
    lines += [" ".join(_text(sentence) for sentence in report.answer), ""]
    if report.caveats:
        lines += ["**Before you rely on it**", "", *(f"- {_text(caveat)}" for caveat in report.caveats), ""]
    for section in report.sections:
        lines += _section(section)
    if numbers := list(dict.fromkeys(_numbers(report))):
        lines += [
            "## Rows behind the numbers",
            "",
            *_grid(("number", "table", "rows", "column", "how"), [_source(one) for one in numbers]),
        ]
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section) -> list[str]:
    lines = [f"## {_escaped(section.title)}", ""]
    if section.sentences:
        lines += [" ".join(_text(sentence) for sentence in section.sentences), ""]
    if section.table is not None:
        lines += [*_grid(section.table.columns, [[_text(cell) for cell in row] for row in section.table.rows]), ""]
    return [*lines, f"*{_escaped(section.note)}*", ""] if section.note else lines


def _grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of cells that are Markdown already."""
    return [f"| {' | '.join(row)} |" for row in (list(map(_escaped, columns)), ["---"] * len(columns), *rows)]


def _numbers(report: Report) -> list[Number]:
    """Every number of the report, in the order in which it is said."""
    said: list[Cell] = [report.subtitle, *report.answer, *report.caveats]
    for section in report.sections:
        said += section.sentences
        said += [cell for row in section.table.rows for cell in row] if section.table else []
    parts = [part for cell in said for part in (cell if isinstance(cell, tuple) else (cell,))]
    return [part for part in parts if isinstance(part, Number)]


def _source(number: Number) -> list[str]:
    cells = (number.text, number.table, number.rows, number.column, number.how or "as it is")
    return [_escaped(cell) for cell in cells]


def _text(cell: Cell) -> str:
    parts = cell if isinstance(cell, tuple) else (cell,)
    return "".join(_code(part) if isinstance(part, Command) else _escaped(plain(part)) for part in parts)


def _code(command: Command) -> str:
    """A command as code, unless it holds what would end the code or the cell of a table."""
    return _escaped(command) if SPECIAL.search(command.replace("_", "")) else f"`{command}`"


def _escaped(text: str) -> str:
    """Text as Markdown shows it unchanged, in one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split("\n")))
