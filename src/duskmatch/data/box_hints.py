"""Boxes that do not look like pixels of the picture, counted from 1, as left, top, width and height."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from duskmatch.data.mot import Box, edges_of
from duskmatch.errors import DataError

COUNT_FROM_0 = "the boxes fit the picture to the pixel if they count from 0: then pass --pixels-from 0"
CORNERS = "columns 5 and 6 look like the right and lower edge; they must hold width and height"

Edges = tuple[float, float, float, float]


def refuse_fractions(boxes: Sequence[Box], scaled: object, path: Path) -> None:
    """Refuses boxes that are all smaller than a pixel, unless their scale was given."""
    if scaled or not boxes or any(max(abs(box.x), abs(box.y), box.w, box.h) > 1 for box in boxes):
        return
    box = boxes[0]
    shown = f"{box.x:g},{box.y:g},{box.w:g},{box.h:g}"
    raise DataError(
        f"{path}, line {box.line}: boxes must be in pixels; all lie between 0 and 1 like fractions of the picture, the "
        f"first is {shown}; then pass --boxes-size 1x1 --pixels-from 0, or --scale 1 if they are pixels"
    )


def hints(boxes: Sequence[Box], scale: tuple[float, float], size: tuple[int, int], pixels_from: int) -> list[str]:
    """Remarks on the boxes, where another reading of them fits the picture better."""
    if pixels_from == 1 and _count_from_0(boxes, scale, size):
        return [COUNT_FROM_0]
    places = {box.line: edges_of(box, scale, pixels_from) for box in boxes}
    if _are_corners(boxes, places.values(), scale, size):
        return [CORNERS]
    outside = [box for box in boxes if _share_inside(places[box.line], size) < 0.5]
    if not outside:
        return []
    first = f"{len(outside)} boxes lie more than half outside the picture, the first in line {outside[0].line}"
    return [f"{first}; if they were made for another size, pass --boxes-size WxH"]


def _count_from_0(boxes: Sequence[Box], scale: tuple[float, float], size: tuple[int, int]) -> bool:
    """True if the boxes fit the picture exactly when pixels count from 0, and not from 1."""
    places = [edges_of(box, scale, 0) for box in boxes]
    fit = all(right <= size[0] and low <= size[1] for _, _, right, low in places)
    return fit and min(min(box.x, box.y) for box in boxes) == 0


def _are_corners(
    boxes: Sequence[Box], places: Iterable[Edges], scale: tuple[float, float], size: tuple[int, int]
) -> bool:
    """True if most boxes reach outside, and all would be inside if their size were their right and lower edge."""
    n_outside = sum(right > size[0] + 1 or low > size[1] + 1 for _, _, right, low in places)
    ends = [(box.w - box.x, box.h - box.y, box.w * scale[0], box.h * scale[1]) for box in boxes]
    fit = all(w > 0 and h > 0 and x <= size[0] + 1 and y <= size[1] + 1 for w, h, x, y in ends)
    return fit and 2 * n_outside > len(boxes)


def _share_inside(edges: Edges, size: tuple[int, int]) -> float:
    left, top, right, low = edges
    across, down = min(right, size[0]) - max(left, 0), min(low, size[1]) - max(top, 0)
    return max(across, 0) * max(down, 0) / ((right - left) * (low - top))
