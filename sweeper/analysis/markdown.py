"""Frames as text for documents."""

from __future__ import annotations

import pandas as pd


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table: its columns as they are called, its values as Python writes them."""
    rows = [list(map(str, frame.columns)), ["---"] * len(frame.columns), *frame.astype(object).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)
