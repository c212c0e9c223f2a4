"""A network as a diagram: a column of boxes, one for each block, with its composition, its size and its arithmetic."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

from sweeper.plots import _quantities, _style

if TYPE_CHECKING:
    from sweeper.training.measuring.blocks import Block

# Lengths are in inches from the upper left corner of the picture, font sizes in points.
WIDTH, MARGIN = 10.95, 0.25
BOX_RIGHT = 8.0
PANEL_INSET = 0.14
COUNT_WIDTH, BYPASS_WIDTH = 0.5, 0.28
TEXT_LEFT = MARGIN + PANEL_INSET + COUNT_WIDTH + BYPASS_WIDTH
TEXT_WIDTH = BOX_RIGHT - PANEL_INSET - 0.12 - TEXT_LEFT
BARS = {"parameters": 8.25, "macs": 9.6}
"""Left ends of the two bars of a block."""
BAR_WIDTH, BAR_HEIGHT = 1.1, 0.13
LINE, TITLE_LINE, ARROW, PAD, GAP = 0.168, 0.25, 0.36, 0.08, 0.09
TEXT_SIZE, TITLE_SIZE, HEADLINE_SIZE, CAPTION_SIZE = 8.5, 9.5, 11.5, 8.0

FILL, EDGE, PANEL_EDGE, TRACK = "#e9f0f6", "#7d97ad", "#c3d0dc", "#e4e4e4"
COLOURS = {"parameters": _style.COLOURS[0], "macs": _style.COLOURS[1]}
BYPASS = _style.COLOURS[3]

CAPTION = (
    "Each box is a block, the shape on an arrow (height × width × channels, or tokens × width) is what the block above gives. "
    "N × in front of layers: they come N times one after the other. conv 3×3 64 /2: window 3×3, 64 filters, stride 2. A bracket "
    "bypasses the layers of its line: a skip connection, added to what they give, or joined to it by concatenate. Bars: share of "
    "the trainable parameters and of the multiply-accumulates. Counted as layers but not written: padding, dropout of rate 0."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Step:
    """Lines of text, and whether a skip connection bypasses them."""

    lines: tuple[str, ...]
    has_skip: bool

    @property
    def height(self) -> float:
        return LINE * len(self.lines)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Panel:
    """Steps inside one frame, and how often they repeat."""

    repeats: int
    steps: tuple[_Step, ...]

    @property
    def height(self) -> float:
        return 2 * PAD + sum(step.height for step in self.steps) + GAP * (len(self.steps) - 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Box:
    """A block and its panels."""

    block: Block
    panels: tuple[_Panel, ...]

    @property
    def height(self) -> float:
        return PAD + TITLE_LINE + sum(panel.height + GAP for panel in self.panels) + PAD


def diagram(name: str, blocks: Sequence[Block], *, input_shape: tuple[int, ...]) -> Figure:
    """A picture of a network, input on top: for each block its layers, the shape it gives, its parameters and MACs.

    Args:
        name: What the network is called in the title.
        blocks: Its blocks, in order: `sweeper.training.measuring.blocks.blocks`.
        input_shape: Shape of one image: (height, width, channels).
    """
    boxes = [_box(block) for block in blocks]
    totals = {quantity: sum(getattr(block, quantity) for block in blocks) for quantity in BARS}
    headline = _wrapped(
        f"{name}: {_quantities.short(totals['parameters'])} parameters, {_quantities.short(totals['macs'])} multiply-accumulates",
        WIDTH - 2 * MARGIN,
        HEADLINE_SIZE,
        is_bold=True,
    )
    caption = _wrapped(CAPTION, WIDTH - 2 * MARGIN, CAPTION_SIZE)
    head = MARGIN + 0.22 * len(headline) + 0.14
    height = head + 0.3 + sum(ARROW + box.height for box in boxes) + ARROW + 0.3 + 0.14 + 0.155 * len(caption) + MARGIN
    with _style.applied():
        picture = _style.figure(width=WIDTH, height=height)
        picture.set_layout_engine("none")
        axes = picture.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(height, 0))
        axes.set_axis_off()
        _lines(axes, headline, MARGIN, MARGIN, 0.22, size=HEADLINE_SIZE, weight="bold")
        _column_heads(axes, head + 0.15)
        bottom = _pill(axes, f"image {_shape(input_shape)}", head)
        for number, box in enumerate(boxes):
            shape = input_shape if number == 0 else boxes[number - 1].block.output_shape
            top = _arrow(axes, _shape(shape) if number else "", bottom)
            bottom = _draw_box(axes, box, top, totals)
        top = _arrow(axes, "", bottom)
        bottom = _pill(axes, f"{_shape(boxes[-1].block.output_shape)} logits", top)
        _lines(axes, caption, MARGIN, bottom + 0.14, 0.155, size=CAPTION_SIZE, color="#555555")
    return picture


# ------------------------------------------------------------------------------------------------------------------- layout


def _box(block: Block) -> _Box:
    panels = tuple(
        _Panel(
            repeats=part.repeats,
            steps=tuple(
                _Step(lines=tuple(_wrapped(step.text, TEXT_WIDTH, TEXT_SIZE)), has_skip=step.has_skip) for step in part.steps
            ),
        )
        for part in block.parts
    )
    return _Box(block=block, panels=panels)


def _wrapped(text: str, width: float, size: float, *, is_bold: bool = False) -> list[str]:
    """Text in lines no wider than `width`, broken between layers where possible, otherwise between words or letters."""
    lines = [""]
    for piece in _pieces(text, width, size, is_bold):
        if lines[-1] and _width(f"{lines[-1]} {piece}", size, is_bold) > width:
            lines.append(piece)
        else:
            lines[-1] = f"{lines[-1]} {piece}".lstrip()
    return lines


def _pieces(text: str, width: float, size: float, is_bold: bool) -> Iterator[str]:
    """Parts of a text that fit in a line: layers, words of a layer too long, or letters of a word too long."""
    for layer in re.split(r"(?<=[,|]) ", text):
        if _width(layer, size, is_bold) <= width:
            yield layer
            continue
        for word in layer.split(" "):
            while _width(word, size, is_bold) > width:
                fitting = next(end for end in reversed(range(1, len(word))) if _width(word[:end], size, is_bold) <= width)
                yield word[:fitting]
                word = word[fitting:]
            yield word


@functools.lru_cache(maxsize=4096)
def _width(text: str, size: float, is_bold: bool = False) -> float:
    """Width of a line in the picture in inches, plus 2 %: letters differ slightly in an SVG and at other resolutions."""
    font = FontProperties(family=_style.STYLE["font.family"], size=size, weight="bold" if is_bold else "normal")
    pixels, _, _ = _renderer().get_text_width_height_descent(text, font, False)  # type: ignore[no-untyped-call]
    return float(pixels) / _style.DPI * 1.02


@functools.cache
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, _style.DPI)  # type: ignore[no-untyped-call]


# ------------------------------------------------------------------------------------------------------------------ drawing


def _draw_box(axes: Axes, box: _Box, top: float, totals: dict[str, int]) -> float:
    """One block at this height; gives where it ends."""
    block = box.block
    axes.add_patch(_rounded(MARGIN, top, BOX_RIGHT - MARGIN, box.height, facecolor=FILL, edgecolor=EDGE, gid="box"))
    middle = top + PAD + TITLE_LINE / 2 - 0.02
    axes.text(MARGIN + PANEL_INSET, middle, block.title, size=TITLE_SIZE, weight="bold", va="center_baseline")
    axes.text(
        BOX_RIGHT - PANEL_INSET,
        middle,
        _quantities.count(block.num_layers, "layer"),
        size=CAPTION_SIZE,
        color="#555555",
        ha="right",
        va="center_baseline",
    )
    place = top + PAD + TITLE_LINE
    for panel in box.panels:
        _draw_panel(axes, panel, place)
        place += panel.height + GAP
    for quantity, left in BARS.items():
        _draw_bar(axes, quantity, getattr(block, quantity), totals[quantity], left, top + box.height / 2)
    return top + box.height


def _draw_panel(axes: Axes, panel: _Panel, top: float) -> None:
    left, width = MARGIN + PANEL_INSET, BOX_RIGHT - MARGIN - 2 * PANEL_INSET
    # A panel that repeats gets a second sheet behind it.
    for offset in (0.04, 0.0) if panel.repeats > 1 else (0.0,):
        axes.add_patch(
            _rounded(
                left + offset,
                top + offset,
                width,
                panel.height,
                facecolor="white",
                edgecolor=PANEL_EDGE,
                rounding=0.04,
                gid="panel",
            )
        )
    if panel.repeats > 1:
        count = f"{panel.repeats} ×"
        axes.text(left + 0.1, top + panel.height / 2, count, size=TITLE_SIZE, weight="bold", va="center_baseline")
    place = top + PAD
    for step in panel.steps:
        if step.has_skip:
            _draw_bypass(axes, place, place + step.height)
        _lines(axes, step.lines, TEXT_LEFT, place, LINE, size=TEXT_SIZE)
        place += step.height + GAP


def _draw_bypass(axes: Axes, top: float, bottom: float) -> None:
    """A line that leaves before the first layer and comes back behind the last one."""
    near, far, tip = TEXT_LEFT - 0.05, TEXT_LEFT - 0.24, 0.08
    first, last = top + 0.02, bottom - 0.02
    axes.plot([near, far, far, near - tip], [first, first, last, last], color=BYPASS, linewidth=1.2, solid_capstyle="butt")
    corners = [(near, last), (near - tip, last - tip / 2), (near - tip, last + tip / 2)]
    axes.add_patch(Polygon(corners, facecolor=BYPASS, linewidth=0))


def _draw_bar(axes: Axes, quantity: str, value: int, total: int, left: float, middle: float) -> None:
    """A share of the whole network as a bar, under its number."""
    share = value / total if total else 0.0
    axes.add_patch(Rectangle((left, middle + 0.02), BAR_WIDTH, BAR_HEIGHT, facecolor=TRACK, linewidth=0))
    axes.add_patch(Rectangle((left, middle + 0.02), BAR_WIDTH * share, BAR_HEIGHT, facecolor=COLOURS[quantity], linewidth=0))
    axes.text(left, middle - 0.03, f"{_quantities.short(value)}  ({_quantities.percent(share)})", size=TEXT_SIZE, va="bottom")


def _column_heads(axes: Axes, middle: float) -> None:
    for text, left in (("parameters", BARS["parameters"]), ("MACs", BARS["macs"])):
        axes.text(left, middle, text, size=TITLE_SIZE, weight="bold", va="center_baseline")


def _pill(axes: Axes, text: str, top: float) -> float:
    """What goes in or comes out of the network, in the middle of the column; gives where it ends."""
    width = _width(text, TITLE_SIZE, True) + 0.4
    middle = (MARGIN + BOX_RIGHT) / 2
    axes.add_patch(
        _rounded(middle - width / 2, top, width, 0.3, facecolor=_style.INK, edgecolor=_style.INK, rounding=0.12, gid="box")
    )
    axes.text(middle, top + 0.15, text, size=TITLE_SIZE, weight="bold", color="white", ha="center", va="center_baseline")
    return top + 0.3


def _arrow(axes: Axes, text: str, top: float) -> float:
    """An arrow down with a text beside it; gives where it ends."""
    middle = (MARGIN + BOX_RIGHT) / 2
    arrow = FancyArrowPatch(
        (middle, top + 0.02), (middle, top + ARROW - 0.02), arrowstyle="-|>", mutation_scale=10, color=_style.INK, linewidth=1.2,
        shrinkA=0, shrinkB=0,
    )  # fmt: skip
    axes.add_patch(arrow)
    axes.text(middle + 0.14, top + ARROW / 2, text, size=TEXT_SIZE, va="center_baseline")
    return top + ARROW


def _rounded(
    left: float, top: float, width: float, height: float, *, facecolor: str, edgecolor: str, gid: str, rounding: float = 0.07
) -> FancyBboxPatch:
    return FancyBboxPatch(
        (left, top), width, height, boxstyle=f"round,pad=0,rounding_size={rounding}", facecolor=facecolor, edgecolor=edgecolor,
        linewidth=0.9, gid=gid,
    )  # fmt: skip


def _lines(axes: Axes, lines: Sequence[str], left: float, top: float, spacing: float, **look: object) -> None:
    """Lines of text from this corner downwards."""
    for number, line in enumerate(lines):
        axes.text(left, top + spacing * (number + 0.5), line, va="center_baseline", **look)  # type: ignore[arg-type]


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
