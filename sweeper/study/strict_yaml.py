"""YAML without its traps: what a study file is read with and written by.

No anchors and aliases (a small file cannot unfold into a huge one), no tags, no duplicate keys, only text keys; only ``true`` and
``false`` are booleans, ``1e-3`` is a number, ``010`` is ten and nothing is a date. Every value keeps its line number.
"""

from __future__ import annotations

import dataclasses
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import yaml

Place = tuple[str | int, ...]
"""Keys and list indices that lead to a value."""

DEEPEST = 20
"""Levels a text may have; a study has five."""

_TAG = "tag:yaml.org,2002:"

_SCALARS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]+", [*"-+0123456789"]),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
)
"""What a plain word may be instead of text: the booleans and numbers of YAML 1.2."""

_PLAINER = (
    (r"found character '\\t' that cannot start any token", "a tab; indent with spaces"),
    (r"found character '(.)' that cannot start any token", r"text that begins with '\1'; put it in quotes"),
    (
        r"mapping values are not allowed here",
        "a ':' that does not belong here; check the indentation, and put text with ': ' in quotes",
    ),
    (r"sequence entries are not allowed here", "a '-' that does not belong here; begin a new line, or put it in quotes"),
    (r"could not find expected ':'", "a key without its ':'"),
    (r"found unexpected end of stream", "a quote that is never closed"),
    (r"but found another document", "a second document ('---'); a file holds one study"),
    (r"expected ',' or '([]}])', but got '<stream end>'", r"a bracket without its '\1'"),
    (r"expected ',' or '([]}])', but got .*", r"between brackets a ',' or '\1' is expected here"),
    (r"expected the node content, but found '<stream end>'", "the file ends where a value is expected"),
    (r"expected the node content, but found '(.*)'", r"a value is expected here, not '\1'"),
    (r"expected <block end>, but found .*", "this does not fit the lines before it; check the indentation and the quotes"),
    (r"expected '<document start>', but found .*", "this does not fit what comes before it; check brackets and quotes"),
)
"""Plain words for the most common messages of the parser."""


@dataclasses.dataclass(kw_only=True)
class Reading:
    """What a text says.

    Args:
        data: Mappings, lists, text, numbers, booleans and None; None too when the text could not be read at all.
        lines: The line of every place, from 1.
        faults: Line, place and sentence of everything wrong with the text itself.
        spoilt: Places with a stand-in for a value that could not be read, so its range is not checked.
    """

    data: Any = None
    lines: dict[Place, int] = dataclasses.field(default_factory=dict)
    faults: list[tuple[int, Place, str]] = dataclasses.field(default_factory=list)
    spoilt: set[Place] = dataclasses.field(default_factory=set)


class _RefusedError(Exception):
    """Valid YAML that a study may not use."""

    def __init__(self, mark: yaml.Mark, sentence: str):
        super().__init__(sentence)
        self.line = mark.line + 1


class _Loader(yaml.SafeLoader):
    """Stops at the first thing that is refused, before anything behind it is read."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012
    depth = 0

    def fetch_alias(self) -> None:
        raise _RefusedError(self.get_mark(), "aliases (*) are not allowed; write the value out, or put text in quotes.")

    def fetch_anchor(self) -> None:
        raise _RefusedError(self.get_mark(), "anchors (&) are not allowed; write the value out, or put text in quotes.")

    def fetch_tag(self) -> None:
        raise _RefusedError(self.get_mark(), "tags (!) are not allowed; write a plain value, or put text in quotes.")

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise _RefusedError(self.get_mark(), f"nested more than {DEEPEST} levels deep; a study has five.")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes every text that this or a looser reader would not read as text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _name, _pattern, _first in _SCALARS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), _first)


def write(data: object) -> str:
    """The data as YAML that `read` gives back unchanged.

    Args:
        data: Mappings with text keys, lists, text, booleans, finite numbers and None.
    """
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def read(text: str) -> Reading:
    """What the text says, and everything that is wrong with it as YAML."""
    reading = Reading()
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except _RefusedError as error:
        reading.faults.append((error.line, (), str(error)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        assert mark is not None
        problem = _plainer(str(error.problem or error.context))
        reading.faults.append((mark.line + 1, (), f"this is not valid YAML (column {mark.column + 1}): {problem}."))
    except yaml.reader.ReaderError as error:
        code = error.character if isinstance(error.character, int) else ord(error.character)
        what = f"the character U+{code:04X}, which no text holds; a study file is YAML in UTF-8."
        reading.faults.append((text.count("\n", 0, error.position) + 1, (), what))
    except (ValueError, OverflowError):
        # Only two numbers are read before there are values: that of an escaped character, and that of a %YAML line.
        what = "this is not valid YAML: an escape that stands for no character (such as \\UFFFFFFFF), or an odd %YAML line."
        reading.faults.append((1, (), what))
    else:
        if node is not None:
            reading.data = _construct(node, (), reading)
    return reading


def _plainer(problem: str) -> str:
    for pattern, words in _PLAINER:
        if (match := re.fullmatch(pattern, problem)) is not None:
            return match.expand(words)
    return problem


def _construct(node: yaml.Node, place: Place, reading: Reading) -> Any:
    line = node.start_mark.line + 1
    reading.lines.setdefault(place, line)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                reading.faults.append((line, place, "a key must be a word, not a list or keys and values."))
                continue
            key = key_node.value
            if (problem := _unprintable(key)) is not None:
                reading.faults.append((line, place, f"a key {problem}."))
                continue
            if key in mapping:
                reading.faults.append((line, (*place, key), "the key occurs twice; keep one."))
            reading.lines[(*place, key)] = line
            mapping[key] = _construct(value_node, (*place, key), reading)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*place, index), reading) for index, item in enumerate(node.value)]
    assert isinstance(node, yaml.ScalarNode)
    value, problem = _scalar(node.tag.removeprefix(_TAG), node.value)
    if problem is not None:
        reading.faults.append((line, place, f"{problem}."))
        reading.spoilt.add(place)
    return value


def _scalar(kind: str, text: str) -> tuple[Any, str | None]:
    """The value of a word and what is wrong with it; YAML 1.1's own constructor would read ``010`` as eight."""
    if kind == "null":
        return None, None
    if kind == "bool":
        return text.lower() == "true", None
    if kind == "int":
        if len(text) > 20:
            return 0, f"a whole number of {len(text)} digits; allowed: at most 20"
        return int(text), None
    if kind == "float":
        value = float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
        return value, None if math.isfinite(value) else f"{text} is not a finite number"
    return text, _unprintable(text)


def _unprintable(text: str) -> str | None:
    """What no name, path or option can hold: control characters (an escape can make them) and halves of characters."""
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n":
            return f"holds the control character U+{ord(character):04X}"
    return None


def dotted(place: Place) -> str:
    """A place as a prefix of an error: ``arms.cnn.fixed: ``; empty for the whole file. Odd keys are quoted, long ones cut."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in place).lstrip(".")
    return f"{text}: " if text else ""


def _key(key: str) -> str:
    shown = key if len(key) <= 60 else f"{key[:57]}..."
    return shown if re.fullmatch(r"[\w-]+(\.\.\.)?", shown) else repr(shown)


def line_of(place: Place, lines: Mapping[Place, int]) -> int:
    """The line of a place, or of the nearest place around it."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)
