"""Pieces of shell that kinds of cluster share."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from cluster._options import lines, word


def address(name: str, interface: str | None) -> str:
    """Shell that prints the address by which other nodes reach this one.

    Args:
        name: The name by which they know it, as the shell takes it.
        interface: The network interface whose address it is; None for the address of its name, unless that is loopback, as on
            Debian, and else for its first one.
    """
    if interface is not None:
        device = word("interface", interface, r"[A-Za-z0-9_.:-]+", "ib0")
        return f"""ip -4 -o address show dev {device} | awk '{{sub("/.*", "", $4); print $4; exit}}'"""
    every = f"{{ getent ahostsv4 {name}; hostname -I | tr ' ' '\\n'; }}"
    return every + """ | awk '$1 != "" && $1 !~ /^127\\./ {print $1; exit}'"""


def environment(setup: tuple[str, ...]) -> str:
    """Lines of shell that put ``sweeper`` on PATH: those of a user, or else those for the environment of this process."""
    return lines("setup", setup) or f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
