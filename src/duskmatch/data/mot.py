"""A tracker's boxes: MOTChallenge text, one box a line, `frame,id,x,y,w,h,confidence,...`.

Frames count from 1, and so do pixels by the format's rule: x = 1 is the left edge of the picture. Many trackers count
pixels from 0 nevertheless, which the caller must tell. Rows may come in any order.

Column 7 is a flag in ground truth (0: to be ignored) and a score in a tracker's results; column 8 is a class if all its
values are whole numbers (-1: none given). Columns 9 and 10 (visibility, or places in the world) are not read.
Source: motchallenge.net, instructions; Milan et al., MOT16, section 3.3.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from duskmatch.errors import DataError

MIN_COLUMNS, MAX_COLUMNS = 6, 10
MAX_DIGITS = 40  # of an id: more than 128 bits can hold
TABLE_IDS = 10**18  # from here on an id does not fit the pid of a tracklet table


@dataclass(frozen=True, slots=True)
class Box:
    """One box as in the file, in the file's own pixels; None if the file has no such column."""

    line: int
    frame: int
    track: int
    x: float
    y: float
    w: float
    h: float
    confidence: float | None = None
    class_number: int | None = None


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Part of a picture: whole pixels counted from 0, right and bottom not included."""

    left: int
    top: int
    right: int
    bottom: int
    clipped: bool


def read_boxes(path: Path) -> list[Box]:
    """Every box of the file, by frame and then line; the first broken row is a DataError with its line."""
    try:
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: the boxes cannot be read ({error.strerror or error}); check the path") from error
    rows = [
        (line, [cell.strip() for cell in (row.rstrip().removesuffix(",").split(",") if "," in row else row.split())])
        for line, row in enumerate(re.split(r"\r\n?|\n", text), start=1)
        if row.strip()
    ]
    if not rows:
        raise DataError(f"{path} must hold boxes, one a line: frame,id,x,y,w,h,confidence; it holds none")
    with_class = all(len(cells) > 7 and _whole(cells[7]) is not None for _, cells in rows)
    boxes = [_box(path, line, cells, len(rows[0][1]), with_class) for line, cells in rows]
    return sorted(boxes, key=lambda box: (box.frame, box.line))


def check_tracks(path: Path, boxes: Collection[Box]) -> None:
    """Refuses a box of no track, and two boxes of one track in a frame."""
    seen: dict[tuple[int, int], Box] = {}
    for box in sorted(boxes, key=lambda box: box.line):
        if box.track < 0:
            text = f"id must be the number of a track, at least 0; got {box.track}; run a tracker first"
            raise DataError(f"{path}, line {box.line}: {text}")
        if (before := seen.setdefault((box.frame, box.track), box)) is not box:
            rule = f"each track has one box in a frame; frame {box.frame}, track {box.track} is in line {before.line}"
            raise DataError(f"{path}, line {box.line}: {rule} too{_twice(before, box)}")


def _twice(one: Box, other: Box) -> str:
    if one.class_number == other.class_number:
        return "; remove one"
    return f", of another class ({one.class_number}, {other.class_number}); choose one with --class N"


def table_pids(boxes: Collection[Box]) -> dict[int, int]:
    """Each id's pid in a tracklet table: the id itself, or its place from 1 where an id is too long for the table."""
    ids = sorted({box.track for box in boxes})
    return dict(zip(ids, ids, strict=True)) if ids[-1] < TABLE_IDS else {track: n for n, track in enumerate(ids, 1)}


def split_tracks(boxes: list[Box], max_gap: int) -> dict[str, list[Box]]:
    """The boxes of each tracklet by name; an id that comes back after more than `max_gap` empty frames is a new one."""
    own: dict[int, list[Box]] = defaultdict(list)
    for box in sorted(boxes, key=lambda box: box.frame):
        own[box.track].append(box)
    tracks: dict[str, list[Box]] = {}
    for track in sorted(own):
        part, before = 1, own[track][0].frame
        for box in own[track]:
            part += box.frame - before - 1 > max_gap
            before = box.frame
            tracks.setdefault(f"{track:04d}" if part == 1 else f"{track:04d}-{part}", []).append(box)
    return tracks


def edges_of(box: Box, scale: tuple[float, float], pixels_from: int) -> tuple[float, float, float, float]:
    """Left, top, right and lower edge of the box in the picture, in pixels from 0."""
    left, top = (box.x - pixels_from) * scale[0], (box.y - pixels_from) * scale[1]
    return left, top, left + box.w * scale[0], top + box.h * scale[1]


def rectangle(box: Box, scale: tuple[float, float], width: int, height: int, pixels_from: int = 1) -> Rectangle | None:
    """The box in a picture of that size, clipped to it; None if it lies outside."""
    edges = edges_of(box, scale, pixels_from)
    # A millionth of a pixel is rounding of the scale, not part of the next pixel.
    left, top = (math.floor(edge + 1e-6) for edge in edges[:2])
    right, bottom = (math.ceil(edge - 1e-6) for edge in edges[2:])
    inside = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        return None
    return Rectangle(*inside, clipped=inside != (left, top, right, bottom))


def _box(path: Path, line: int, cells: list[str], n_columns: int, with_class: bool) -> Box:
    where = f"{path}, line {line}"
    if not MIN_COLUMNS <= len(cells) <= MAX_COLUMNS or len(cells) != n_columns:
        rule = f"a row must have {MIN_COLUMNS} to {MAX_COLUMNS} columns, as many as the first one ({n_columns})"
        raise DataError(f"{where}: {rule}: frame,id,x,y,w,h,confidence,...; got {len(cells)}")
    frame, track = (_whole_cell(where, name, cell) for name, cell in zip(("frame", "id"), cells, strict=False))
    if abs(frame) > 10**9:
        raise DataError(f"{where}: frame must be at most {10**9}; got {cells[0]!r}")
    names = ("x", "y", "w", "h", "confidence")
    numbers = [_number(cell) for cell in cells[2:7]]
    for name, number, cell in zip(names, numbers, cells[2:], strict=False):
        if not math.isfinite(number) or abs(number) > 10**9:
            raise DataError(f"{where}: {name} must be a finite number; got {cell!r}; remove the row or mend it")
    if frame < 1:
        raise DataError(f"{where}: frames count from 1; got {frame}; add 1 to each if they count from 0")
    x, y, w, h = numbers[:4]
    confidence = numbers[4] if len(numbers) > 4 else None
    class_number = _whole(cells[7]) if with_class else None
    return Box(line, frame, track, x, y, w, h, confidence, None if class_number == -1 else class_number)


def _whole_cell(where: str, name: str, cell: str) -> int:
    number = _whole(cell)
    if number is None and abs(_number(cell)) >= 10**MAX_DIGITS:
        raise DataError(f"{where}: {name} must have at most {MAX_DIGITS} digits; got {cell[:60]!r}")
    if number is None:
        raise DataError(f"{where}: {name} must be a whole number; got {cell!r}")
    return number


def _whole(cell: str) -> int | None:
    """The whole number, exact at any length, also of 7.0 or 7e0; None for anything else."""
    try:
        number = Decimal(cell) if _is_number(cell) else None
    except InvalidOperation:
        return None
    if number is None or number.adjusted() >= MAX_DIGITS or number != number.to_integral_value():
        return None
    return int(number)


def _number(cell: str) -> float:
    """The number, NaN for anything else."""
    try:
        return float(cell) if _is_number(cell) else math.nan
    except ValueError:
        return math.nan


def _is_number(cell: str) -> bool:
    """True if a cell is written like 1, -1.5 or 1e3, without words (nan, inf), underscores or other scripts' digits."""
    return re.fullmatch(r"[-+.\deE]+", cell, re.ASCII) is not None
