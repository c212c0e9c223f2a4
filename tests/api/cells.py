"""Cells of a notebook: source run as a kernel runs it, and kept where `inspect` finds it."""

from __future__ import annotations

import itertools
import linecache
import textwrap
from typing import Any

_number = itertools.count()


def run(text: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run a cell; the names there are afterwards, which a next cell may be given."""
    text = textwrap.dedent(text)
    file = f"<cell {next(_number)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    names = {"__name__": "__main__"} if names is None else names
    exec(compile(text, file, "exec"), names)
    return names


def alone(text: str) -> dict[str, Any]:
    """What a file defines when it is run with nothing around it."""
    names: dict[str, Any] = {"__name__": "alone"}
    exec(compile(text, "<file>", "exec"), names)
    return names
