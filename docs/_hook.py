"""What the site needs beside the pages: links to files outside `docs/`, which it does not hold, become code in the text."""

from __future__ import annotations

import re
from typing import Any


def on_page_markdown(markdown: str, **context: Any) -> str:
    """The text of a page before it is rendered; called by MkDocs."""
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)\s]+\)", r"`\1`", markdown)
