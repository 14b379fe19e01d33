"""A tracker's boxes: MOTChallenge text, one box a line, `frame,id,x,y,w,h,confidence,...`.

Frames count from 1, and so do pixels by the format's rule: x = 1 is the left edge of the picture. Many trackers count
pixels from 0 all the same, which the caller says. Rows may come in any order.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from duskmatch.errors import DataError

MIN_COLUMNS, MAX_COLUMNS = 6, 10


@dataclass(frozen=True, slots=True)
class Box:
    """One box as the file has it, in the file's own pixels."""

    line: int
    frame: int
    track: int
    x: float
    y: float
    w: float
    h: float
    confidence: float


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
    boxes, seen, n_columns = [], dict[tuple[int, int], int](), 0
    for line, row in enumerate(text.split("\n"), start=1):
        if not row.strip():
            continue
        cells = [cell.strip() for cell in (row.split(",") if "," in row else row.split())]
        n_columns = n_columns or len(cells)
        box = _box(path, line, cells, n_columns)
        if (before := seen.setdefault((box.frame, box.track), line)) != line:
            text_ = f"each track has one box in a frame; frame {box.frame}, track {box.track} is in line {before} too"
            raise DataError(f"{path}, line {line}: {text_}; remove one")
        boxes.append(box)
    if not boxes:
        raise DataError(f"{path} must hold boxes, one a line: frame,id,x,y,w,h,confidence; it holds none")
    return sorted(boxes, key=lambda box: (box.frame, box.line))


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


def rectangle(box: Box, scale: tuple[float, float], width: int, height: int, pixels_from: int = 1) -> Rectangle | None:
    """The box in a picture of that size, clipped to it; None where it lies outside."""
    x0, y0 = (box.x - pixels_from) * scale[0], (box.y - pixels_from) * scale[1]
    edges = [x0, y0, x0 + box.w * scale[0], y0 + box.h * scale[1]]
    # A millionth of a pixel is rounding of the scale, not part of the next pixel.
    left, top = (math.floor(edge + 1e-6) for edge in edges[:2])
    right, bottom = (math.ceil(edge - 1e-6) for edge in edges[2:])
    inside = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        return None
    return Rectangle(*inside, clipped=inside != (left, top, right, bottom))


def _box(path: Path, line: int, cells: list[str], n_columns: int) -> Box:
    where = f"{path}, line {line}"
    if not MIN_COLUMNS <= len(cells) <= MAX_COLUMNS or len(cells) != n_columns:
        rule = f"a row must have {MIN_COLUMNS} to {MAX_COLUMNS} columns, as many as the first one ({n_columns})"
        raise DataError(f"{where}: {rule}: frame,id,x,y,w,h,confidence,...; got {len(cells)}")
    numbers = [_number(cell) for cell in cells]
    for name, number, cell in zip(("frame", "id"), numbers, cells, strict=False):
        if not number.is_integer() or abs(number) > 10**9:
            raise DataError(f"{where}: {name} must be a whole number; got {cell!r}")
    names = ("x", "y", "w", "h", "confidence")
    for name, number, cell in zip(names, numbers[2:], cells[2:], strict=False):
        if not math.isfinite(number) or abs(number) > 10**9:
            raise DataError(f"{where}: {name} must be a finite number; got {cell!r}; remove the row or mend it")
    frame, track = int(numbers[0]), int(numbers[1])
    if frame < 1:
        raise DataError(f"{where}: frames count from 1; got {frame}; add 1 to each if they count from 0")
    if track < 0:
        raise DataError(f"{where}: id must be the number of a track, at least 0; got {track}; run a tracker first")
    x, y, w, h, confidence = [*numbers[2:7], 1.0][:5]
    return Box(line, frame, track, x, y, w, h, confidence)


def _number(cell: str) -> float:
    """The number, NaN for anything else."""
    try:
        return float(cell) if re.fullmatch(r"[-+.\deE]+", cell, re.ASCII) else math.nan
    except ValueError:
        return math.nan
