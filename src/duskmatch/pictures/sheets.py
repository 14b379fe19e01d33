"""Sheets of small pictures as files, laid out in pixels: frames, signs of right and wrong, small print.

Source: in the manner of the paper's Fig. 6; right and wrong are told apart by sign and line style as well as colour.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from duskmatch.pictures.charts import INK, Draw, save_figure
from duskmatch.pictures.thumbnails import HEIGHT_PX, WIDTH_PX
from duskmatch.records import Ranking

RIGHT, WRONG, UNKNOWN = "#2b7a3d", "#b3261e", "#6b6b6b"
SIGN = {RIGHT: "✓", WRONG: "✗", UNKNOWN: ""}
LINE_STYLE = {RIGHT: "-", WRONG: (0, (4, 2)), UNKNOWN: "-", INK: "-"}
GAP_PX, MARGIN_PX = 18, 18
NOTE_LINE_PX, CHARACTER_PX = 15, 6  # of the small print
FRAME_PX = 3  # between a picture and its frame
Box = tuple[int, int, int, int]  # left, top, width, height


def write_sheet(path: Path, width: int, height: int, draw: Draw, note: str) -> Path:
    """Writes what `draw` puts on axes of pixels, from the upper left, with `note` in small print below it, as a PNG."""
    lines = [part for line in note.splitlines() for part in wrap(line, (width - 2 * MARGIN_PX) // CHARACTER_PX)]
    whole = height + NOTE_LINE_PX * (len(lines) + 1)

    def sheet() -> Figure:
        page = Figure(figsize=(width / 100, whole / 100), dpi=100)
        axes = page.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(whole, 0))
        axes.axis("off")
        draw(axes)
        axes.text(MARGIN_PX, height, "\n".join(lines), size=8, color=UNKNOWN, va="top", linespacing=1.35)
        return page

    save_figure(sheet, path, dpi=100)
    return path


def framed(axes: Axes, picture: UInt8[np.ndarray, "h w 3"], box: Box, colour: str | None, gap: int = FRAME_PX) -> None:
    """Draws a picture in the middle of its box, and a frame close around the picture."""
    (left, top, width, height), (h, w) = box, picture.shape[:2]
    x, y = left + (width - w) // 2, top + (height - h) // 2
    axes.imshow(picture, extent=(x, x + w, y + h, y), aspect="auto", interpolation="nearest")
    if colour:
        size = w + 2 * gap, h + 2 * gap
        axes.add_patch(Rectangle((x - gap, y - gap), *size, fill=False, ec=colour, lw=2.2, ls=LINE_STYLE[colour]))


def tile(axes: Axes, place: int, top: int, picture: UInt8[np.ndarray, "h w 3"], colour: str, words: str) -> None:
    """Draws one picture of a strip in its frame, with its caption below."""
    left = left_of(place)
    framed(axes, picture, (left, top, WIDTH_PX, HEIGHT_PX), colour)
    axes.text(left + WIDTH_PX / 2, top + HEIGHT_PX + 8, words, ha="center", va="top", color=colour, size=7.5)


def end_of_list(axes: Axes, place: int, top: int) -> None:
    """Draws a dash for a hit that this query lacks beside longer lists."""
    axes.text(left_of(place) + WIDTH_PX / 2, top + HEIGHT_PX / 2, "–", ha="center", color=UNKNOWN)


def left_of(place: int) -> int:
    """The left edge of a place in a strip, in pixels; the query is place 0."""
    return MARGIN_PX + place * (WIDTH_PX + GAP_PX) + (GAP_PX if place else 0)


def n_hits(*rankings: Ranking) -> int:
    """The length of the longest list; a gallery may hold fewer entries than were asked for."""
    return max(1, *(int((ranking.indices >= 0).sum(axis=1).max(initial=0)) for ranking in rankings))


def strip_width(n: int) -> int:
    """The width of a sheet whose strips have n hits."""
    return left_of(n + 1) + MARGIN_PX
