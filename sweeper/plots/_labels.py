"""Places text beside points so that no two texts overlap and none leaves the axes.

Text boxes are measured in pixels after the layout is final. Each label takes the cheapest free place among rings of
candidates around its point, and failing that in a grid over the whole axes; a label that had to move away gets a thin
line back to its point. Nothing is random: equal figures get equal labels.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.text import Annotation

Pixels = npt.NDArray[np.float64]
"""Shape (things, 2): horizontal and vertical pixels; boxes have shape (things, 4): left, bottom, right, top."""

GAPS_PT = (5.0, 8.0, 12.0, 17.0, 24.0, 33.0, 45.0, 60.0, 80.0, 105.0, 135.0)
"""Distances between a point and the nearest edge of its label that are tried, in typographic points."""

LEADER_GAP_PT = 7.0
"""A label further away than this gets a line to its point."""

MARGIN_PT = 1.5
"""Free space kept around each label."""

NUM_ROUNDS = 3
"""How often each label may choose its place."""

COST_OF_COVERED_POINT = 14.0
"""As bad as moving a label this many typographic points further away."""

COST_OF_SKIPPING = 1e6

MANY_OBSTACLES = 1000
"""Of more obstacles than these, those in one square of `SQUARE_PT` count once: where they are dense, every place is bad."""

SQUARE_PT = 12.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Placed:
    """What became of the labels.

    Args:
        annotations: The labels drawn.
        skipped: The texts for which no free place was left in the axes.
    """

    annotations: tuple[Annotation, ...]
    skipped: tuple[str, ...]


def place(
    axes: Axes,
    points: npt.ArrayLike,
    texts: Sequence[str],
    *,
    obstacles: npt.ArrayLike = (),
    line: npt.ArrayLike = (),
    font_size: float = 7.5,
) -> Placed:
    """Write one text beside each point.

    Args:
        axes: Where to; its layout and limits must be final.
        points: Shape (texts, 2), in data coordinates, inside the axes.
        texts: One per point.
        obstacles: Shape (any, 2), in data coordinates: what labels should rather not cover. The points themselves are
            added.
        line: Shape (any, 2), in data coordinates: the corners of a line that labels should rather not cover.
        font_size: Typographic points.
    """
    pixel = axes.figure.dpi / 72.0  # pixels in a typographic point
    targets = np.asarray(points, dtype=float).reshape(-1, 2)
    anchors = _pixels(axes, targets)
    corners = _pixels(axes, line)
    along = [_between(start, end, spacing=9.0 * pixel) for start, end in itertools.pairwise(corners)]
    covered = np.concatenate([anchors, _thinned(np.concatenate([_pixels(axes, obstacles), *along]), SQUARE_PT * pixel)])
    frame = np.asarray(axes.get_window_extent().extents) + np.array([1, 1, -1, -1]) * MARGIN_PT * pixel
    labels = [
        axes.annotate(
            text,
            (float(target[0]), float(target[1])),
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=font_size,
        )
        for text, target in zip(texts, targets, strict=True)
    ]
    sizes = np.asarray([label.get_window_extent().size for label in labels]).reshape(-1, 2) / 2 + MARGIN_PT * pixel
    centres = _solve(anchors, sizes, frame, covered, pixel)
    placed, skipped = [], []
    for label, anchor, size, centre in zip(labels, anchors, sizes, centres, strict=True):
        if centre is None:
            skipped.append(label.get_text())
            label.remove()
            continue
        label.set_position(tuple((centre - anchor) / pixel))
        placed.append(label)
        nearest = np.clip(anchor, centre - size, centre + size)
        if np.hypot(*(nearest - anchor)) > LEADER_GAP_PT * pixel:
            _lead(axes, label.xy, (nearest - anchor) / pixel)
    return Placed(annotations=tuple(placed), skipped=tuple(skipped))


def stairs(across: Pixels, up: Pixels, *, is_first_level: bool) -> Pixels:
    """The corners of a front drawn as stairs, in the order in which they are drawn, as a `line` to stay off.

    Args:
        across: Of the points, (points,), in the order of the line.
        up: Of the points, (points,).
        is_first_level: Whether each step is first level, then upright (``steps-post``), or the other way round.
    """
    inner = np.stack([across[1:], up[:-1]] if is_first_level else [across[:-1], up[1:]], axis=1)
    corners = np.empty((max(2 * len(across) - 1, 0), 2))
    corners[::2], corners[1::2] = np.stack([across, up], axis=1), inner
    return corners


def _pixels(axes: Axes, positions: npt.ArrayLike) -> Pixels:
    table = np.asarray(positions, dtype=float).reshape(-1, 2)
    return np.asarray(axes.transData.transform(table)) if len(table) else table


def _thinned(obstacles: Pixels, square: float) -> Pixels:
    """One of those in each square, if there are many."""
    if len(obstacles) <= MANY_OBSTACLES:
        return obstacles
    _, first = np.unique(np.floor(obstacles / square), axis=0, return_index=True)
    return obstacles[np.sort(first)]


def _solve(anchors: Pixels, sizes: Pixels, frame: Pixels, covered: Pixels, pixel: float) -> list[Pixels | None]:
    """Centres of all boxes: the cheapest of a few solutions, which differ in who chooses first."""
    near = (np.abs(anchors[:, None] - anchors[None]).max(axis=2) < 60.0 * pixel).sum(axis=1)
    across, up = anchors[:, 0], anchors[:, 1]
    orders = [np.lexsort(keys) for keys in ((up, across, -near), (up, across), (up, -across))]
    solutions = [_settle(order.tolist(), anchors, sizes, frame, covered, pixel) for order in orders]
    return min(solutions, key=lambda solution: solution[0])[1]


def _settle(
    order: list[int], anchors: Pixels, sizes: Pixels, frame: Pixels, covered: Pixels, pixel: float
) -> tuple[float, list[Pixels | None]]:
    """Total cost and centres: each box takes its best place in turn, then each may move again, seeing all others."""
    centres: list[Pixels | None] = [None] * len(anchors)
    costs = np.zeros(len(anchors))
    for _ in range(NUM_ROUNDS):
        for index in order:
            others = [(anchors[i], sizes[i], c) for i, c in enumerate(centres) if c is not None and i != index]
            taken = np.asarray([np.concatenate([c - size, c + size]) for _, size, c in others]).reshape(-1, 4)
            leaders = [
                _between(anchor, np.clip(anchor, c - size, c + size), spacing=5.0 * pixel)[1:] for anchor, size, c in others
            ]
            costs[index], centres[index] = _best(
                anchors[index], sizes[index], frame, taken, np.concatenate([covered, *leaders]), pixel
            )
    return float(costs.sum()), centres


def _best(
    anchor: Pixels, size: Pixels, frame: Pixels, taken: Pixels, covered: Pixels, pixel: float
) -> tuple[float, Pixels | None]:
    """Cost and centre of the cheapest free box with half extents `size`; None when there is no free place at all."""
    for centres in (_ring(anchor, size, pixel), _grid(frame, size)):
        lows, highs = centres - size, centres + size
        is_free = (lows >= frame[:2]).all(axis=1) & (highs <= frame[2:]).all(axis=1)
        is_left_of_end, is_right_of_start = lows[:, None] < taken[None, :, 2:], highs[:, None] > taken[None, :, :2]
        overlaps = np.asarray((is_left_of_end & is_right_of_start).all(axis=2))
        centres = centres[is_free & ~overlaps.any(axis=1)]
        if not len(centres):
            continue
        distances = np.hypot(*np.maximum(np.abs(anchor - centres) - size, 0.0).T) / pixel
        reach = size + 2.5 * pixel  # a marker is wider than its middle
        num_covered = (np.abs(covered[None] - centres[:, None]) < reach).all(axis=2).sum(axis=1)
        costs = distances + COST_OF_COVERED_POINT * num_covered
        cheapest, chosen = np.inf, centres[0]
        for index in np.argsort(costs, kind="stable"):
            # A line to the point only adds to the cost, so from here on nothing can be cheaper.
            if costs[index] >= cheapest:
                break
            line = distances[index] > LEADER_GAP_PT
            cost = costs[index] + (_cost_of_line(anchor, centres[index], size, taken, covered, pixel) if line else 0.0)
            if cost < cheapest:
                cheapest, chosen = cost, centres[index]
        return float(cheapest), chosen
    return COST_OF_SKIPPING, None


def _cost_of_line(anchor: Pixels, centre: Pixels, size: Pixels, taken: Pixels, covered: Pixels, pixel: float) -> float:
    line = _samples(anchor, np.clip(anchor, centre - size, centre + size))
    num_touched = int((np.abs(line[:, None] - covered).max(axis=2) < 3.0 * pixel).any(axis=1).sum())
    is_inside = np.asarray(((line[:, None] > taken[None, :, :2]) & (line[:, None] < taken[None, :, 2:])).all(axis=2))
    num_crossed = int(np.count_nonzero(is_inside.any(axis=0)))
    return COST_OF_COVERED_POINT * (0.25 * num_touched + 4.0 * num_crossed)


def _ring(anchor: Pixels, size: Pixels, pixel: float) -> Pixels:
    """Centres around a point: sixteen directions at each distance, to the right and above first."""
    steps = (1.0, 0.5, 0.0, -0.5, -1.0)
    directions = [(x, y) for x in steps for y in steps if max(abs(x), abs(y)) == 1.0]
    return np.asarray([anchor + direction * (size + gap * pixel) for gap in GAPS_PT for direction in np.asarray(directions)])


def _grid(frame: Pixels, size: Pixels) -> Pixels:
    across = np.arange(frame[0] + size[0], frame[2] - size[0], size[0] / 2)
    up = np.arange(frame[1] + size[1], frame[3] - size[1], size[1])
    return np.stack(np.meshgrid(across, up), axis=2).reshape(-1, 2)


def _samples(start: Pixels, end: Pixels) -> Pixels:
    """Twelve points between two, without the first two, which lie on the marker."""
    return np.asarray(start + (end - start) * np.linspace(0.0, 1.0, 14)[2:, None])


def _between(start: Pixels, end: Pixels, *, spacing: float) -> Pixels:
    """Points from `start` to before `end`, `spacing` pixels apart."""
    length = float(np.hypot(*(end - start)))
    return np.asarray(start + (end - start) * (np.arange(0.0, length, spacing) / max(length, 1e-9))[:, None])


def _lead(axes: Axes, target: tuple[float, float], offset: Pixels) -> None:
    style = {"arrowstyle": "-", "color": "#8a8a8a", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3.5}
    axes.annotate("", target, xytext=tuple(offset), textcoords="offset points", arrowprops=style)
