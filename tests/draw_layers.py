"""Draws the rooms of the program and their imports, from the source: ``python -m tests.draw_layers docs/rooms.png``.

A room imports from those below it. An arrow is left out where another way down leads to the same room.
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.layers import ROOT, circles, floors, graph, upward

HIDDEN = ("sweeper/__init__.py", "sweeper/__main__.py")


def rooms(root: Path) -> dict[str, set[str]]:
    """Which rooms each room imports from."""
    names = [name for name in floors() if name not in HIDDEN]

    def room_of(file: str) -> str | None:
        return next((name for name in names if file == name or file.startswith(f"{name}/")), None)

    found: dict[str, set[str]] = {name: set() for name in names}
    for file, targets in graph(root).items():
        room = room_of(file)
        if room is not None:
            found[room] |= {other for target in targets if (other := room_of(target)) not in (None, room)}
    return found


def heights(arrows: dict[str, set[str]]) -> dict[str, int]:
    """The floor of each room: one above the highest room that it imports from."""
    found: dict[str, int] = {}
    while len(found) < len(arrows):
        for room, below in arrows.items():
            if room not in found and below <= found.keys():
                found[room] = 1 + max((found[other] for other in below), default=-1)
    return found


def reduced(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that no other way down replaces."""

    def below(room: str) -> set[str]:
        return arrows[room].union(*map(below, arrows[room]))

    return {room: {other for other in own if not any(other in below(between) for between in own)} for room, own in arrows.items()}


def draw(root: Path, file: Path) -> str:
    """Draw the rooms into a file; what is in it, in a line."""
    arrows = rooms(root)
    height = heights(arrows)
    levels = [sorted(room for room in height if height[room] == level) for level in range(max(height.values()) + 1)]
    spots = {room: (number - (len(level) - 1) / 2, height[room]) for level in levels for number, room in enumerate(level)}
    figure = Figure(figsize=(8, 1.0 * len(levels)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(-2.6, 2.6)
    axes.set_ylim(-0.5, len(levels) - 0.5)
    for room, others in reduced(arrows).items():
        for other in others:
            style = {"arrowstyle": "-|>", "color": "0.6", "shrinkA": 16, "shrinkB": 16, "connectionstyle": "arc3,rad=0.08"}
            axes.annotate("", xy=spots[other], xytext=spots[room], arrowprops=style)
    for room, spot in spots.items():
        box = {"boxstyle": "round,pad=0.45", "facecolor": "#dbe9f6", "edgecolor": "#2b5c8a"}
        axes.text(*spot, room.removesuffix(".py"), ha="center", va="center", fontsize=9, bbox=box)
    figure.savefig(file, dpi=130)
    own = graph(root)
    found = f"{len(own)} files, {sum(map(len, own.values()))} imports of one by another"
    return f"{len(arrows)} rooms, {found}, {len(circles(own))} circles, {len(upward(own))} upward"


if __name__ == "__main__":
    print(draw(ROOT, Path(sys.argv[1])))
