"""What a notebook shows of an answer: a page, lines, a picture."""

from __future__ import annotations

import dataclasses
import html
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sweeper.storage import Place


@dataclasses.dataclass(frozen=True)
class Page:
    """A report that was written.

    Args:
        path: The page.
        files: The page, the same as Markdown, and the facts as JSON.
        answer: What it says first.
        caveats: What is to be kept in mind.
        facts: What it says, as data.
    """

    path: Place
    files: tuple[Place, ...]
    answer: str
    caveats: tuple[str, ...]
    facts: Mapping[str, Any] = dataclasses.field(repr=False)

    def __str__(self) -> str:
        return "\n".join([self.answer, *(f"note: {caveat}" for caveat in self.caveats), str(self.path)])

    def _repr_html_(self) -> str:
        page = html.escape(self.path.read_bytes().decode(), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:40em;border:1px solid #ccc"></iframe><p>{self.path}</p>'


class Lines(str):
    """Text that shows its lines as such."""

    def __repr__(self) -> str:
        return str(self)


def png(figure: Figure) -> bytes:
    """The figure as a notebook shows it."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    return drawn.getvalue()
