"""The plan of the crops of a video, and the account of every box: cut, clipped, or dropped and why."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from duskmatch import files
from duskmatch.data import box_hints
from duskmatch.data.decoding import Picture
from duskmatch.data.mot import TABLE_IDS, Box, Rectangle, check_tracks, rectangle, split_tracks, table_pids
from duskmatch.errors import DataError, SettingsError
from duskmatch.records import Modality

JPEG_QUALITY = 95
LARGEST = 1e6  # bound on rates, scales and sides in pixels
NO_AREA = "no area"
NO_CONFIDENCE = "confidence 0"
OTHER_CLASS = "of another class"
OUTSIDE = "outside the picture"
NO_PICTURE = "no picture of that number"
AFTER_END = "after the video's last frame"
SHORT = "in a track of too few frames"


@dataclass(frozen=True, slots=True)
class Cut:
    """Settings of a cut.

    max_gap: empty frames after which an id that comes back is a new tracklet; min_frames: shorter ones are dropped;
    scale: what box coordinates are multiplied by (across, down); boxes_size: or the (width, height) they were made
    for; pixels_from: the number of the first pixel in the boxes; drop_outside: boxes wholly outside the picture are
    counted and dropped instead of refused; classes: only boxes of these, where any are named; min_confidence: boxes
    below it are dropped. Without it those of confidence 0 are, if any box of the file has another confidence;
    levels: the (low, high) of grey deeper than 8 bits that become black and white; fps: frames a second to count times.
    """

    modality: Modality
    camid: int
    max_gap: int = 30
    min_frames: int = 1
    scale: tuple[float, float] | None = None
    boxes_size: tuple[int, int] | None = None
    pixels_from: int = 1
    split_halves: bool = False
    png: bool = False
    drop_outside: bool = False
    classes: tuple[int, ...] = ()
    min_confidence: float | None = None
    levels: tuple[float, float] | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("max_gap", 0), ("min_frames", 1)):
            if getattr(self, name) < least:
                raise SettingsError(f"{name.replace('_', '-')} must be at least {least}; got {getattr(self, name)}")
        if self.pixels_from not in (0, 1):
            raise SettingsError(f"pixels-from must be 0 or 1; got {self.pixels_from}")
        if self.min_confidence is not None and not math.isfinite(self.min_confidence):
            raise SettingsError(f"min-confidence must be a finite number; got {self.min_confidence}")
        if self.levels is not None and not -math.inf < self.levels[0] < self.levels[1] < math.inf:
            raise SettingsError(f"levels must be LOW,HIGH, HIGH the larger; got {self.levels[0]:g},{self.levels[1]:g}")
        if self.fps is not None and not 0 < self.fps < LARGEST:
            raise SettingsError(f"fps must be above 0 and below {LARGEST:g}; got {self.fps:g}")
        if not -1 <= self.camid < TABLE_IDS:
            raise SettingsError(f"camera must be -1 (unknown) or a number of at most 18 digits; got {self.camid}")
        if self.scale is not None and self.boxes_size is not None:
            raise SettingsError("scale and boxes-size say the same thing; give one of them")
        for name, pair in (("scale", self.scale), ("boxes-size", self.boxes_size)):
            if pair is not None and not all(0 < value < LARGEST for value in pair):
                raise SettingsError(f"{name} must be above 0 and below {LARGEST:g}; got {pair[0]}, {pair[1]}")


@dataclass
class Track:
    """One tracklet being cut: its boxes, and of each written picture the file, the time and the box's line."""

    name: str
    boxes: list[Box]
    pictures: list[Path] = field(default_factory=list)
    times: list[float | None] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def span(times: Sequence[float | None]) -> tuple[float | None, float | None]:
    """First and last time, None without times; in broken files times may run backwards."""
    known = [time for time in times if time is not None]
    return (min(known), max(known)) if known else (None, None)


class Plan:
    """The crops of each frame, and the account of every box."""

    def __init__(self, boxes: list[Box], cut: Cut, size: tuple[int, int], path: Path) -> None:
        self.boxes, self.cut, self.size = boxes, cut, size
        self.scale = _scale(cut, self.size)
        self.dropped: dict[int, str] = {}  # line -> why
        self.clipped: set[int] = set()
        self.wanted_boxes: dict[int, list[tuple[Box, Rectangle, Track]]] = defaultdict(list)
        _check_columns(boxes, cut, path)
        self.zero_is_ignore = cut.min_confidence is None and any(box.confidence for box in boxes)
        good = [box for box in boxes if self._usable(box)]
        box_hints.refuse_fractions(good, cut.scale or cut.boxes_size, path)
        rectangles = {box.line: rectangle(box, self.scale, *self.size, cut.pixels_from) for box in good}
        self._outside([box for box in good if rectangles[box.line] is None], path)
        inside = [box for box in good if rectangles[box.line] is not None]
        if not inside:
            raise DataError(f"{path} must hold at least one box to cut; all are dropped: {self._why()}")
        check_tracks(path, inside)
        self.pids = table_pids(inside)
        self.hints = box_hints.hints(inside, self.scale, self.size, cut.pixels_from) + self._column_hints(good)
        self.tracks = {name: Track(name, own) for name, own in split_tracks(inside, cut.max_gap).items()}
        for track in self.tracks.values():
            for box in track.boxes:
                place = rectangles[box.line]
                assert place is not None
                self.wanted_boxes[box.frame].append((box, place, track))
        self.last_frame = max(self.wanted_boxes, default=0)

    def wanted(self, frame: int) -> bool:
        return frame in self.wanted_boxes

    def write(self, out: Path, frame: int, time: float | None, picture: Picture) -> None:
        """Writes the crops of one frame."""
        for box, place, track in self.wanted_boxes.pop(frame):
            crop = picture[place.top : place.bottom, place.left : place.right]
            path = out / track.name / f"{frame:06d}.{'png' if self.cut.png else 'jpg'}"
            _write_picture(path, crop)
            track.pictures.append(path)
            track.times.append(time)
            track.lines.append(box.line)
            if place.clipped:
                self.clipped.add(box.line)

    def settle(self, last: int, path: Path) -> None:
        """Records why the boxes left after frame `last` were not cut, and removes tracks that are too short."""
        for frame, rest in self.wanted_boxes.items():
            self.dropped |= {box.line: AFTER_END if frame > last else NO_PICTURE for box, _, _ in rest}
        for track in self.tracks.values():
            if len(track.pictures) < self.cut.min_frames:
                self.dropped |= dict.fromkeys(track.lines, SHORT)
                self.clipped -= set(track.lines)
                for path in track.pictures:
                    path.unlink()
                if track.pictures:
                    track.pictures[0].parent.rmdir()
                track.pictures, track.times, track.lines = [], [], []
        if not self.kept():
            raise DataError(f"{path} must hold at least one box to cut; all are dropped: {self._why()}")

    def kept(self) -> list[Track]:
        """The tracks of which pictures were written."""
        return [track for track in self.tracks.values() if track.pictures]

    def account(self, video: Path, boxes: Path, n_read: int) -> dict[str, Any]:
        """Every box is counted once: cut or dropped; `clipped` are those of the cut ones that reached outside."""
        kept = self.kept()
        n_cut = sum(len(track.lines) for track in kept)
        assert n_cut + len(self.dropped) == len(self.boxes), "a box was lost"
        return {
            "video": video.name,
            "video_size": list(self.size),
            "frames_read": n_read,
            "boxes_file": boxes.name,
            "settings": asdict(self.cut),
            "scale": list(self.scale),
            "counts_from_0": box_hints.COUNT_FROM_0 in self.hints,
            "hints": self.hints,
            "boxes": {
                "total": len(self.boxes),
                "cut": n_cut,
                "clipped": len(self.clipped),
                "dropped": len(self.dropped),
                "dropped_why": dict(sorted(Counter(self.dropped.values()).items())),
            },
            "dropped_lines": [{"line": line, "why": why} for line, why in sorted(self.dropped.items())],
            "clipped_lines": sorted(self.clipped),
            "tracks": [
                {
                    "tracklet_id": track.name,
                    "pid": self.pids[track.boxes[0].track],
                    "frames": len(track.pictures),
                    "first_frame": int(track.pictures[0].stem),
                    "last_frame": int(track.pictures[-1].stem),
                    "begin_s": span(track.times)[0],
                    "end_s": span(track.times)[1],
                }
                for track in kept
            ],
        }

    def _why(self) -> str:
        return ", ".join(f"{n} {why}" for why, n in sorted(Counter(self.dropped.values()).items()))

    def _column_hints(self, good: list[Box]) -> list[str]:
        """Remarks on how the columns for confidence and class were read, where they could mean something else."""
        found = []
        if NO_CONFIDENCE in self.dropped.values():
            found.append("boxes of confidence 0 were left out, as in ground truth; --min-confidence 0 keeps them")
        elif self.cut.min_confidence is None and all(box.confidence == 0 for box in self.boxes):
            found.append("the confidence is 0 in every row, so it says nothing and no box was left out for it")
        classes = Counter(box.class_number for box in good)
        if len(classes) > 1 and not self.cut.classes:
            listed = ", ".join(
                f"{n} ({classes[n]} boxes)" for n in sorted(classes, key=lambda n: -1 if n is None else n)
            )
            found.append(f"column 8 holds {len(classes)} classes, and all were cut: {listed}; choose with --class N")
        if any(track != pid for track, pid in self.pids.items()):
            found.append("ids are too long for tracklets.csv: its pid counts them from 1, tracklet_id holds them")
        return found

    def _usable(self, box: Box) -> bool:
        least = self.cut.min_confidence
        if box.w <= 0 or box.h <= 0:
            self.dropped[box.line] = NO_AREA
        elif self.cut.classes and box.class_number not in self.cut.classes:
            self.dropped[box.line] = OTHER_CLASS
        elif box.confidence == 0 and self.zero_is_ignore:
            self.dropped[box.line] = NO_CONFIDENCE  # MOTChallenge: a box that is to be ignored
        elif least is not None and box.confidence is not None and box.confidence < least:
            self.dropped[box.line] = f"confidence below {least:g}"
        return box.line not in self.dropped

    def _outside(self, boxes: list[Box], path: Path) -> None:
        if boxes and not self.cut.drop_outside:
            width, height = self.size
            box = boxes[0]
            shown = f"{box.x:g},{box.y:g},{box.w:g},{box.h:g}"
            raise DataError(
                f"{path}, line {box.line}: boxes must lie in the picture of {width}x{height}; {len(boxes)} do not, "
                f"the first is {shown}; give the size they were made for with --boxes-size WxH, or pass --drop-outside"
            )
        self.dropped |= {box.line: OUTSIDE for box in boxes}


def _check_columns(boxes: list[Box], cut: Cut, path: Path) -> None:
    """Refuses a choice by a column that the file does not have."""
    if cut.classes and all(box.class_number is None for box in boxes):
        raise DataError(f"{path}: --class needs a class in column 8, a whole number; the file has none; leave it out")
    if cut.min_confidence is not None and boxes[0].confidence is None:
        raise DataError(
            f"{path}: --min-confidence needs a confidence in column 7; the file has 6 columns; leave it out"
        )


def _write_picture(path: Path, crop: Picture) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix, np.ascontiguousarray(crop), options)[1].tobytes())
    except OSError as error:
        raise files.refusal(path, error) from error


def _scale(cut: Cut, size: tuple[int, int]) -> tuple[float, float]:
    if cut.boxes_size is not None:
        return size[0] / cut.boxes_size[0], size[1] / cut.boxes_size[1]
    return cut.scale or (1.0, 1.0)
