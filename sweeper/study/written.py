"""Values that a user wrote as text on the command line."""

from __future__ import annotations

from sweeper import catalog
from sweeper.study.space import Choice, Int, Knob, Value


def parse_value(text: str, knob: Knob | catalog.Parameter) -> Value | None:
    """The value a user wrote on the command line as text, read by the type of the knob or argument it is for.

    Text is returned as it is where the type is text or the text does not fit; the caller's range check then names the fault.
    """
    if isinstance(knob, Choice):
        return next((option for option in knob.options if _is_written(option, text)), text)
    annotation = knob.annotation if isinstance(knob, catalog.Parameter) else "int" if isinstance(knob, Int) else "float"
    if text.lower() in ("none", "null") and "None" in annotation:
        return None
    for kind in annotation.replace("None", "").replace("|", " ").split():
        try:
            if kind == "int":
                return int(text)
            if kind == "float":
                return float(text)
        except ValueError:
            continue
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
    return text


def _is_written(option: Value, text: str) -> bool:
    """Whether a text names an option: ``1`` and ``1.0`` name the same number."""
    if isinstance(option, str):
        return option == text
    if isinstance(option, bool):
        return str(option).lower() == text.lower()
    try:
        return float(text) == option
    except ValueError:
        return False
