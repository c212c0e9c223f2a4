"""What all figures share: colours and markers of arms, fonts, title, legend, caption, and how a figure is saved."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweeper.storage import Place, Where, place

DPI = 150
METADATA: Mapping[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
"""Kinds of files, and what is left out of each because it changes from day to day."""

INK, FAINT = "#222222", "#8a8a8a"

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7a4b1e", "#332288")
"""Okabe and Ito's colours (Color Universal Design, 2008) without yellow and black, which are hard to see on white or read
as text; brown and indigo take their places, dark enough to differ from the others for colour-blind eyes."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
"""The second code of an arm, for eyes that cannot tell two colours apart and for arms beyond the eighth."""

# Which keys exist, and so the exact type, differs between versions of matplotlib.
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": "#b0b0b0",
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.7,
    "xtick.color": "#b0b0b0",
    "ytick.color": "#b0b0b0",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # Without a fixed salt the ids inside an SVG file, and so the file, differ at every save.
    "svg.hashsalt": "sweeper",
    "svg.fonttype": "path",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """How one arm is drawn: its colour, its marker, and its name in legends."""

    colour: str
    marker: str
    label: str


def looks(labels: Mapping[str, str]) -> dict[str, Look]:
    """Colour and marker of each arm, by its place in the order given; the first 64 differ from each other.

    Args:
        labels: What to call each arm, by arm, in order: `sweeper.analysis.results.arm_labels`.
    """
    return {
        arm: Look(
            colour=COLOURS[place % len(COLOURS)],
            marker=MARKERS[(place + place // len(COLOURS)) % len(MARKERS)],
            label=label,
        )
        for place, (arm, label) in enumerate(labels.items())
    }


@contextlib.contextmanager
def applied() -> Iterator[None]:
    """Within it, new figures and artists get the shared style, and nothing outside changes."""
    with matplotlib.rc_context(STYLE):
        yield


def figure(*, width: float, height: float) -> Figure:
    """An empty figure that belongs to no window and to no global state.

    Args:
        width: Inches.
        height: Inches.
    """
    empty = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(empty)
    return empty


def handle(name: str, **look: object) -> Line2D:
    """One legend entry without a line unless ``linestyle`` is given; `look` goes to `Line2D`."""
    return Line2D([], [], **({"linestyle": "none", "color": INK, "markersize": 6, "label": name} | look))  # type: ignore[arg-type]


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Make room for one row per name, the first one on top, with the names in place of ticks."""
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def draw_image(axes: Axes, image: npt.NDArray[Any]) -> None:
    """An image (height, width, channels), grey or in colour, uint8 or from 0 to 1, every pixel as it is."""
    values = image / (255 if image.dtype == np.uint8 else 1)
    axes.imshow(values[..., 0] if image.shape[-1] == 1 else values, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()


def finish(picture: Figure, *, title: str, caption: str, handles: Sequence[Artist] = ()) -> None:
    """Write title and caption, put the legend outside the data, and lay everything out for good.

    Args:
        picture: The figure; afterwards its axes do not move any more, so text can be measured and placed.
        title: What is seen, in a sentence.
        caption: Counts and caveats.
        handles: Entries of the legend; none gives no legend.
    """
    width = picture.get_size_inches()[0]
    picture.suptitle(_balanced(title, int(width * 9.3)), x=0.012, ha="left", fontsize=11.5, fontweight="bold")
    picture.supxlabel(
        textwrap.fill(caption, int(width * 15.5)), x=0.012, ha="left", fontsize=8, color="#555555", linespacing=1.35
    )
    legend = None
    if handles:
        legend = picture.legend(handles=list(handles), loc="outside right upper", labelspacing=0.55, handletextpad=0.6)
    picture.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # type: ignore[union-attr, call-arg]
    # Constrained layout settles at the second pass when a legend changes the size of tick labels.
    picture.draw_without_rendering()
    picture.draw_without_rendering()
    picture.set_layout_engine(None)  # one that is there, even "none", makes every file be drawn twice
    if legend is not None:
        # The layout keeps the legend's width free but puts it beside the title; it belongs beside the data.
        legend.set_loc("upper right")
        legend.set_bbox_to_anchor((0.995, max(axes.get_position().y1 for axes in picture.axes) + 0.015))


def _balanced(text: str, width: int) -> str:
    """Text in as few lines as the width allows, all about equally long."""
    num_lines = len(textwrap.wrap(text, width))
    while width > 1 and len(textwrap.wrap(text, width - 1)) == num_lines > 1:
        width -= 1
    return textwrap.fill(text, width)


def save(picture: Figure, folder: Where, name: str) -> list[Place]:
    """Write a figure as PNG and as SVG; equal figures give equal files, and a reader never sees half a file.

    Args:
        picture: The figure.
        folder: Where to, a path or ``s3://BUCKET/PREFIX``; it is made when missing.
        name: Name of the files, without an ending.

    Returns:
        The two paths.
    """
    return [save_as(picture, place(folder) / f"{name}.{ending}") for ending in METADATA]


def save_as(picture: Figure, path: Where) -> Place:
    """Write a figure into one file, as `save` does.

    Args:
        picture: The figure.
        path: The file, whose ending is one of `METADATA`; its folder is made when missing.

    Returns:
        The path.
    """
    path = place(path)
    ending = path.name.rpartition(".")[2].lower()
    drawn = io.BytesIO()
    with applied():
        picture.savefig(drawn, format=ending, dpi=DPI, metadata=METADATA[ending])
    path.parent.make_folder()
    path.write_whole(drawn.getbuffer(), may_replace=True)
    return path
