"""A report as one HTML page that needs nothing else: no network, no files beside it, light and dark, paper too."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import Any

from sweeper.plots._style import COLOURS
from sweeper.report import drawing
from sweeper.report.parts import Cell, Chart, Command, Intervals, Lines, Number, Report, Scatter, Section, Table, plain

DARK = ("#4da3e0", "#f0b429", "#2bbd91", "#ff8a4c", "#e39cc4", "#7cc4f5", "#c58f5f", "#9a8cf0")
"""The colours of arms on a dark page: those of the light one, bright enough to be seen."""

INVITATION = "Point at a trial, or focus the figure and use the arrow keys: its configuration, the command to train it again."

SHORT = 36
"""Characters below which the text of a cell is not broken."""

PAGE = Template(
    """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="$policy">
<link rel="icon" href="data:,">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header>
<h1>$title</h1>
<p class="about">$about</p>
</header>
<main>
<p class="answer" id="answer">$answer</p>
$caveats
<nav aria-label="Contents"><ul>$contents</ul></nav>
$sections
</main>
<script>$script</script>
</body>
</html>
"""
)


class _Sources:
    """The numbers of a page, each once, in the order in which they are said first."""

    def __init__(self) -> None:
        self._places: dict[Number, int] = {}

    def place(self, number: Number) -> int:
        """Its place in the list, from 1."""
        return self._places.setdefault(number, len(self._places) + 1)

    @property
    def listed(self) -> list[Number]:
        """All of them, in order."""
        return list(self._places)


def page(report: Report) -> str:
    """The page of a report."""
    sources = _Sources()
    style, script = _file("page.css") + _colours(), _file("page.js")
    answer = " ".join(_sentence(sentence, sources) for sentence in report.answer)
    about, caveats = _sentence(report.subtitle, sources), _caveats(report, sources)
    sections = [_section(section, report, sources) for section in report.sections]
    keys = [(section.key, section.title) for section in report.sections]
    if sources.listed:
        keys.append(("rows", "Rows behind the numbers"))
        sections.append(_rows(sources))
    return PAGE.substitute(
        title=html.escape(f"{report.study}: which architecture?"),
        about=about,
        answer=answer,
        caveats=caveats,
        contents="".join(f'<li><a href="#{key}">{html.escape(title)}</a></li>' for key, title in keys),
        sections="\n".join(sections),
        style=style,
        script=script,
        # Whatever stands in the page by mistake: nothing but this style and this script is used, and nothing is fetched.
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'",
    )


def _file(name: str) -> str:
    return resources.files("sweeper.report").joinpath(name).read_text(encoding="utf-8")


def _colours() -> str:
    """The colours of arms as variables, and the classes that use them."""

    def variables(colours: tuple[str, ...]) -> str:
        return "".join(f"--c{number}:{colour};" for number, colour in enumerate(colours))

    light, dark = f":root{{{variables(COLOURS)}}}", f":root{{{variables(DARK)}}}"
    classes = "".join(f".c{number}{{--c:var(--c{number})}}" for number in range(len(COLOURS)))
    return f"{light}@media (prefers-color-scheme: dark){{{dark}}}@media print{{{light}}}{classes}"


def _hash(text: str) -> str:
    """What a content security policy calls exactly this text: nothing else may run or style the page."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _sentence(sentence: Cell, sources: _Sources) -> str:
    parts = sentence if isinstance(sentence, tuple) else (sentence,)
    return "".join(_number(part, sources) if isinstance(part, Number) else _text(part) for part in parts)


def _text(text: str) -> str:
    escaped = html.escape(text)
    return f'<code class="command">{escaped}</code>' if isinstance(text, Command) else escaped


def _number(number: Number, sources: _Sources) -> str:
    where = f"{number.table}: {number.rows}; {number.column}" + (f"; {number.how}" if number.how else "")
    text = html.escape(number.text)
    kept = text.replace(" ", "&nbsp;") if len(number.text) < SHORT else text
    return f'<a class="n" href="#n{sources.place(number)}" title="{html.escape(where)}">{kept}</a>'


def _caveats(report: Report, sources: _Sources) -> str:
    if not report.caveats:
        return ""
    items = "".join(f"<li>{_sentence(caveat, sources)}</li>" for caveat in report.caveats)
    return f'<aside class="caveats" aria-labelledby="caveats"><h2 id="caveats">Before you rely on it</h2><ul>{items}</ul></aside>'


def _section(section: Section, report: Report, sources: _Sources) -> str:
    parts = [f'<section id="{section.key}"><h2>{html.escape(section.title)}</h2>']
    if section.sentences:
        parts.append(f"<p>{' '.join(_sentence(sentence, sources) for sentence in section.sentences)}</p>")
    if section.chart is not None:
        parts.append(_figure(section.chart, report, section.title))
    if section.table is not None:
        parts.append(_table(section.table, sources))
    if section.note:
        parts.append(f'<p class="note">{html.escape(section.note)}</p>')
    return "\n".join([*parts, "</section>"])


def _table(table: Table, sources: _Sources) -> str:
    return _grid(table.columns, ["".join(_cell(cell, sources) for cell in row) for row in table.rows])


def _grid(columns: Sequence[str], rows: Sequence[str], names: Sequence[str] = ()) -> str:
    """A table that scrolls in itself where the page is narrow; rows may have names for addresses."""
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
    ids = [f' id="{name}"' for name in names] or [""] * len(rows)
    body = "".join(f"<tr{name}>{row}</tr>" for name, row in zip(ids, rows, strict=True))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Table">{table}</div>'


def _cell(cell: Cell, sources: _Sources) -> str:
    text = _sentence(cell, sources)
    return f'<td class="short">{text}</td>' if len(plain(cell)) < SHORT else f"<td>{text}</td>"


def _rows(sources: _Sources) -> str:
    """Where every number comes from."""
    rows = []
    for number in sources.listed:
        cells = (number.text, number.table, number.rows, number.column, number.how or "as it is")
        rows.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    text = "Trials and epochs are in the study's folder tables/, predictions in predictions/, runs in the ledger."
    grid = _grid(("number", "table", "rows", "column", "how"), rows, [f"n{place}" for place in range(1, len(rows) + 1)])
    return f'<section id="rows" class="fine"><h2>Rows behind the numbers</h2><p>{text}</p>{grid}</section>'


def _figure(chart: Chart, report: Report, title: str) -> str:
    if isinstance(chart, Scatter):
        drawn, spots = drawing.scatter(chart, report.arms, title)
        shown = {point.arm for point in chart.points}
        outside = drawing.num_outside(chart)
        caption = chart.caption + (f" {outside:,} beyond the axis lie at its edge." if outside else "")
        if chart.is_interactive:
            return _interactive(chart, report, drawn, spots, caption)
    elif isinstance(chart, Lines):
        drawn, shown, caption = drawing.lines(chart, report.arms, title), {line.arm for line in chart.lines}, chart.caption
    else:
        assert isinstance(chart, Intervals)
        drawn, shown, caption = drawing.intervals(chart, report.arms, title), set(), chart.caption
    legend = "".join(
        f"<span>{drawing.marker(place)}{html.escape(label)}</span>" for place, (arm, label) in _arms(report) if arm in shown
    )
    small = ' class="small"' if isinstance(chart, Scatter) else ""
    return f'<figure{small}>{drawn}<div class="legend">{legend}</div><figcaption>{html.escape(caption)}</figcaption></figure>'


def _arms(report: Report) -> list[tuple[int, tuple[str, str]]]:
    return list(enumerate(report.arms.items()))


def _interactive(chart: Scatter, report: Report, drawn: str, spots: list[tuple[float, float]], caption: str) -> str:
    places = {arm: place for place, (arm, _) in _arms(report)}
    shown = {point.arm for point in chart.points}
    buttons = "".join(
        f'<button type="button" aria-pressed="true" data-arm="{place}">{drawing.marker(place)}{html.escape(label)}</button>'
        for place, (arm, label) in _arms(report)
        if arm in shown
    )
    points = [
        {
            "trial": point.trial,
            "arm": places[point.arm],
            "kind": point.kind,
            "x": x,
            "y": y,
            "facts": point.facts,
            "configuration": point.configuration,
        }
        for point, (x, y) in zip(chart.points, spots, strict=True)
    ]
    data: dict[str, Any] = {"study": report.study, "goals": chart.goals, "points": points}
    # In a script element, text ends at the first "</"; JSON may write "<" as an escape instead.
    embedded = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    all_of_them = '<button type="button" class="all">all</button>'
    return (
        f'<figure class="interactive"><div class="legend" role="group" aria-label="Arms: click to hide or show">{buttons}'
        f'{all_of_them}</div>{drawn}<div class="card" aria-live="polite">{html.escape(INVITATION)}</div>'
        f"<figcaption>{html.escape(caption)}</figcaption>"
        f'<script type="application/json">{embedded}</script></figure>'
    )
