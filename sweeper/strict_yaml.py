"""YAML without its traps: what a study file is read with.

No anchors and aliases (a small file cannot unfold into a huge one), no tags, no duplicate keys, only text keys; only ``true`` and
``false`` are booleans, ``1e-3`` is a number and nothing is a date. Every value keeps the line it stands on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

Place = tuple[str | int, ...]
"""Keys and list indices that lead to a value."""


_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """YAML with the booleans and numbers of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
):
    _Loader.add_implicit_resolver(
        _TAG + _tag, re.compile(rf"^(?:{_pattern})$"), [*_first] if _first[-1] != "\0" else [*_first[:-1], ""]
    )


def read(text: str) -> tuple[Any, dict[Place, int], list[str]]:
    """The data, the line of every place, and what keeps the text from being read."""
    lines: dict[Place, int] = {}
    faults: list[str] = []
    try:
        for token in yaml.scan(text, Loader=_Loader):
            line = token.start_mark.line + 1
            if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
                return None, lines, [f"line {line}: anchors (&) and aliases (*) are not allowed; write the value out."]
            if isinstance(token, yaml.TagToken):
                return None, lines, [f"line {line}: tags (!) are not allowed; write a plain value."]
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            data = None if node is None else _construct(loader, node, (), lines, faults)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        return None, lines, [f"{where}this is not valid YAML: {error.problem or error.context}."]
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return (
            None,
            lines,
            [f"line {line}: a character that text cannot hold ({error.reason}); a study file is YAML in UTF-8."],
        )
    except RecursionError:
        return None, lines, ["the file is nested too deeply; a study has four levels."]
    return data, lines, faults


def _construct(
    loader: _Loader,
    node: yaml.Node,
    place: Place,
    lines: dict[Place, int],
    faults: list[str],
) -> Any:
    lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                faults.append(f"line {line}: a key must be a word.")
                continue
            key = key_node.value
            if key in mapping:
                faults.append(f"line {line}: {dotted((*place, key))}the key stands twice; keep one.")
            mapping[key] = _construct(loader, value_node, (*place, key), lines, faults)
            lines[(*place, key)] = line
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, (*place, index), lines, faults) for index, item in enumerate(node.value)]
    return loader.construct_object(node)


def dotted(place: Place) -> str:
    """A place as a prefix of an error: ``arms.cnn.fixed: ``; empty for the whole file."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    return f"{text}: " if text else ""


def line_of(place: Place, lines: Mapping[Place, int]) -> int:
    """The line of a place, or of the nearest place around it."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)
