"""Spaces of published networks: those whose knob `variant` says which one."""

from __future__ import annotations

from sweeper import catalog
from sweeper.study.space import Choice, Space, Value


def spaces_of(architecture: str) -> dict[str, tuple[Value, ...]]:
    """The spaces of an architecture that have the knob `variant`, and its options in each."""
    found = {}
    for name in catalog.names("space"):
        if name.startswith(architecture):
            space = catalog.load("space", name)
            knob = space.model.get("variant") if isinstance(space, Space) and space.architecture == architecture else None
            if isinstance(knob, Choice):
                found[name] = knob.options
    return found
