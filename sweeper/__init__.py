"""Architecture sweeps on Ray Tune: which image architecture should I choose, and why?

`Study`, `arm`, `arrays` and `open` are the program from Python, see docs/python.md. The public names load on first use, so
``import sweeper`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Choice": "sweeper.study.space:Choice",
    "Float": "sweeper.study.space:Float",
    "Int": "sweeper.study.space:Int",
    "OptunaSampler": "sweeper.search.in_optuna:OptunaSampler",
    "Space": "sweeper.study.space:Space",
    "Study": "sweeper.api.study:Study",
    "StudyResults": "sweeper.api.results:StudyResults",
    "StudySpec": "sweeper.study.spec:StudySpec",
    "arm": "sweeper.api.arms:arm",
    "arrays": "sweeper.api.data:arrays",
    "from_arrays": "sweeper.datasets._own:from_arrays",
    "launch": "sweeper.driver.launch:launch",
    "open": "sweeper.api.results:open_results",
}
"""Where each name is defined; type checkers read the same in ``__init__.pyi``."""

__all__ = ["__version__", *sorted(_PUBLIC.keys() - {"open"})]  # `import *` leaves Python its own open


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        module, _, defined = _PUBLIC[name].partition(":")
        return getattr(importlib.import_module(module), defined)
    raise AttributeError(f"module 'sweeper' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(["__version__", *_PUBLIC])
