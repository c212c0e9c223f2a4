"""Showing things in a notebook, where the program runs in one. IPython is no dependency: a notebook has loaded it."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable, Sequence
from typing import Any


def area() -> Callable[[str], None] | None:
    """What puts HTML into one place of the cell that runs, anew with each call; None outside of notebooks."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or getattr(shell, "kernel", None) is None:  # a terminal with IPython has no kernel
        return None
    display: Any = sys.modules["IPython.display"]
    handle: Any = None

    def show(text: str) -> None:
        nonlocal handle
        if handle is None:
            handle = display.display(display.HTML(text), display_id=True)
        else:
            handle.update(display.HTML(text))

    return show


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in HTML, its first column of names, the others of numbers."""

    def cells(tag: str, row: Sequence[str]) -> str:
        aligned = ("left", *["right"] * (len(row) - 1))
        return "".join(
            f'<{tag} style="text-align:{side}">{html.escape(cell)}</{tag}>' for side, cell in zip(aligned, row, strict=True)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<table><caption style="text-align:left">{html.escape(title)}</caption>'
        f"<thead><tr>{cells('th', columns)}</tr></thead><tbody>{body}</tbody></table>"
    )
