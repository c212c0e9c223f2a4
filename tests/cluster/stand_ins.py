"""Programs that stand in for those of a cluster: shell scripts on PATH."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def programs(folder: Path, scripts: Mapping[str, str]) -> Path:
    """A folder with a program for each name, to be put on PATH.

    Args:
        folder: Is made.
        scripts: What each program does, for bash.
    """
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(0o755)
    return folder
