"""Architecture sweeps on Ray Tune: which image architecture should I choose, and why?

The public names load on first use, so ``import sweeper`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Choice": "sweeper.study.space",
    "Float": "sweeper.study.space",
    "Int": "sweeper.study.space",
    "Space": "sweeper.study.space",
    "StudySpec": "sweeper.study.spec",
    "from_arrays": "sweeper.datasets._own",
    "launch": "sweeper.driver.launch",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'sweeper' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
