"""What a report is made of: numbers that know their rows, sentences, tables, charts, sections.

Nothing here knows how it is shown: `sweeper.report.page` makes HTML of it, `sweeper.report.text` Markdown, and
`sweeper.report.build` JSON.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sweeper.plots import _quantities

MOST_NAMED = 4
"""Names in a sentence; the rest is counted."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Number:
    """A number as it is said, and where it comes from.

    Args:
        text: As it is said, with its unit.
        value: As it was computed, in the unit of its column; None where the text holds several.
        rows: Which rows: the id of a trial, or ``column = value`` of the table, several joined by commas.
        column: Which column, or columns.
        how: What was done with them; empty where the number is the value of the one row.
        table: ``trials`` or ``epochs`` of the study's tables, ``predictions``, or ``runs``: the starts of the driver.
    """

    text: str
    value: float | None = None
    rows: str
    column: str
    how: str = ""
    table: str = "trials"


Sentence = tuple[str | Number, ...]
"""Text, with its numbers."""

Cell = str | Number | Sentence


class Command(str):
    """A part of a sentence that is typed into a shell."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text and numbers under a heading each; the first column names the row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """One point of a scatter chart.

    Args:
        x: Across.
        y: Up.
        arm: Whose it is; decides colour and shape.
        trial: Its trial.
        kind: ``front``, ``completed`` or ``stopped``.
        is_confirmed: Whether its configuration is confirmed.
        facts: What is told of it, a line each.
        configuration: Its knobs.
    """

    x: float
    y: float
    arm: str
    trial: str
    kind: str
    is_confirmed: bool = False
    facts: tuple[str, ...] = ()
    configuration: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scatter:
    """Trials by two columns, and the front of them.

    Args:
        x: Column across.
        y: Column up.
        goals: ``min`` or ``max`` of x and of y.
        points: What is drawn.
        caption: Counts and caveats.
        is_interactive: Whether points answer to pointer and keys.
    """

    x: str
    y: str
    goals: tuple[str, str]
    points: tuple[Point, ...]
    caption: str
    is_interactive: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart: values over epochs."""

    arm: str
    trial: str
    epochs: tuple[int, ...]
    values: tuple[float, ...]
    is_dashed: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lines:
    """Learning curves.

    Args:
        y: Column up.
        lines: One for each.
        caption: What is drawn.
    """

    y: str
    lines: tuple[Line, ...]
    caption: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """A row of an interval chart: single values, their mean, its interval (NaN where there is none)."""

    arm: str
    label: str
    values: tuple[float, ...]
    mean: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Intervals:
    """Means over seeds with their intervals, the best first.

    Args:
        x: Column across.
        rows: From the top down.
        caption: What is drawn.
    """

    x: str
    rows: tuple[Interval, ...]
    caption: str


Chart = Scatter | Lines | Intervals


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with its answer.

    Args:
        key: Its name in addresses and in JSON.
        title: Heading, mostly a question.
        sentences: The answer.
        note: The rule behind it; may be empty.
        table: Its numbers, if a table shows them better.
        chart: A figure, if it helps.
    """

    key: str
    title: str
    sentences: tuple[Sentence, ...]
    note: str = ""
    table: Table | None = None
    chart: Chart | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """All that is said of a study.

    Args:
        study: Its name.
        subtitle: What was compared on what.
        caveats: What limits all that follows.
        answer: The answer, first.
        choice: Facts of what is to be chosen; None where nothing can be.
        pairs: Facts of each pair of confirmed configurations.
        sections: What follows, in order.
        arms: What each arm is called, in the order of their colours.
    """

    study: str
    subtitle: Sentence
    caveats: tuple[Sentence, ...]
    answer: tuple[Sentence, ...]
    choice: Mapping[str, Any] | None
    pairs: tuple[Mapping[str, Any], ...]
    sections: tuple[Section, ...]
    arms: Mapping[str, str]


def said(template: str, *filled: str | Number | Sentence) -> Sentence:
    """A sentence from a template with ``{}`` where each of `filled` goes; what is filled in is never read as a template."""
    texts = template.split("{}")
    assert len(texts) == len(filled) + 1, f"{template!r} takes {len(texts) - 1}, got {len(filled)}"
    parts: list[str | Number] = [texts[0]]
    for one, text in zip(filled, texts[1:], strict=True):
        parts += [*(one if isinstance(one, tuple) else (one,)), text]
    return tuple(part for part in parts if part != "")


def plain(sentence: Cell) -> str:
    """A sentence, or the cell of a table, as text."""
    parts = sentence if isinstance(sentence, tuple) else (sentence,)
    return "".join(part if isinstance(part, str) else part.text for part in parts)


def numbers(sentence: Sentence) -> list[Number]:
    """The numbers of a sentence, in order."""
    return [part for part in sentence if isinstance(part, Number)]


def listing(named: Sequence[Sentence | str], *, noun: str = "other") -> Sentence:
    """``a``, ``a and b``, ``a, b and c``; beyond `MOST_NAMED` the rest is counted: ``a, b, c, d and 3 others``."""
    items: list[Sentence] = [one if isinstance(one, tuple) else (one,) for one in named]
    if len(items) > MOST_NAMED + 1:
        items = [*items[:MOST_NAMED], (_quantities.count(len(items) - MOST_NAMED, noun),)]
    parts: list[str | Number] = []
    for place, item in enumerate(items):
        parts += [", " if 0 < place < len(items) - 1 else " and " if place else "", *item]
    return tuple(part for part in parts if part != "")


def capital(sentence: Sentence) -> Sentence:
    """The sentence with its first letter large, unless it begins with a number."""
    first = sentence[0] if sentence else ""
    return (first[:1].upper() + first[1:], *sentence[1:]) if isinstance(first, str) else sentence


def tally(number_of: int, noun: str = "", *, rows: str, column: str, table: str = "trials") -> Number:
    """How many rows: ``3,000``, or with a noun ``1 trial``."""
    text = _quantities.count(number_of, noun) if noun else f"{number_of:,}"
    return Number(text=text, value=number_of, rows=rows, column=column, how="count", table=table)


def measure(column: str, value: float, *, rows: str, how: str = "", table: str = "trials", text: str = "") -> Number:
    """A value of a column, as `value_text` says it unless there is a `text`."""
    return Number(text=text or value_text(column, value), value=value, rows=rows, column=column, how=how, table=table)


def apart(column: str, value: float, *, rows: str, how: str = "difference") -> Number:
    """How far two values of a column lie apart, without its sign."""
    return Number(text=difference_text(column, abs(value)), value=value, rows=rows, column=column, how=how)


def ratio(column: str, value: float, *, rows: str) -> Number:
    """How many times one value of a column is the other."""
    return Number(text=times_text(value), value=value, rows=rows, column=column, how="ratio")


def value_text(column: str, value: float) -> str:
    """A value with its unit: ``98.6 %``, ``305k``, ``12.5 s``, ``1.24 ms``, ``0.0312 nats``; a dash for a missing one."""
    if not math.isfinite(value):
        return "–"
    if column.endswith("_s"):
        return duration(value)
    if column.endswith("_mb"):
        return f"{value:,.0f} MB"
    unit = " nats" if column.endswith("_loss") else " ms" if column.startswith("latency") else ""
    return _quantities.number(column, value) + unit


def difference_text(column: str, value: float) -> str:
    """How far two values lie apart: ``0.9 points`` of an accuracy, ``0.0312 nats`` of a loss; the sign of `value` stays."""
    if not column.endswith("_accuracy") or not math.isfinite(value):
        return value_text(column, value)
    tenth = round(100 * value, 1)
    if tenth == 0:
        return "less than 0.1 points" if value else "0.0 points"
    return f"{tenth:.1f} points".replace("-", "−")


def interval_text(column: str, low: float, high: float, *, is_difference: bool = False) -> str:
    """An interval: ``98.5 to 99.2 %``, of a difference ``−0.4 to 0.8``; empty where there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    if column.endswith("_accuracy"):
        if not is_difference:  # an interval by Student's t may reach beyond what an accuracy can be
            low, high = max(low, 0.0), min(high, 1.0)
        ends = [f"{100 * end:.1f}".replace("-0.0", "0.0").replace("-", "−") for end in (low, high)]
        return " to ".join(ends) + ("" if is_difference else " %")
    return " to ".join(f"{end:.3g}".replace("-", "−") for end in (low, high))


def duration(seconds: float) -> str:
    """``0.8 s``, ``12 s``, ``4.9 min``, ``2.5 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def times_text(ratio: float) -> str:
    """``5.9 times``, ``34 times``."""
    return f"{ratio:.1f} times" if ratio < 9.95 else f"{ratio:,.0f} times"


def name(column: str) -> str:
    """What people call a column."""
    return _quantities.NAMES.get(column, column.replace("_", " "))


def cells(rows: Iterable[Iterable[Cell]]) -> tuple[tuple[Cell, ...], ...]:
    """Rows of a table."""
    return tuple(tuple(row) for row in rows)
