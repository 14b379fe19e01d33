"""What to cut out of which frame of a video, and the account of every box: cut, clipped, or dropped and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from duskmatch import files
from duskmatch.data.decoding import Picture
from duskmatch.data.mot import Box, Rectangle, rectangle, split_tracks
from duskmatch.errors import DataError, SettingsError
from duskmatch.records import Modality

JPEG_QUALITY = 95
NO_AREA = "no area"
NO_CONFIDENCE = "confidence 0"
OUTSIDE = "outside the picture"
AFTER_END = "after the video's last frame"
SHORT = "in a track of too few frames"


@dataclass(frozen=True, slots=True)
class Cut:
    """How to cut.

    max_gap: empty frames after which an id that comes back is a new tracklet; min_frames: shorter ones are dropped;
    scale: what box coordinates are multiplied by (across, down); boxes_size: or the (width, height) they were made
    for; pixels_from: the number of the first pixel in the boxes; drop_outside: boxes wholly outside the picture are
    counted and dropped instead of refused.
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

    def __post_init__(self) -> None:
        for name, least in (("max_gap", 0), ("min_frames", 1)):
            if getattr(self, name) < least:
                raise SettingsError(f"{name.replace('_', '-')} must be at least {least}; got {getattr(self, name)}")
        if self.pixels_from not in (0, 1):
            raise SettingsError(f"pixels-from must be 0 or 1; got {self.pixels_from}")
        if self.scale is not None and self.boxes_size is not None:
            raise SettingsError("scale and boxes-size say the same thing; give one of them")
        for name, pair in (("scale", self.scale), ("boxes-size", self.boxes_size)):
            if pair is not None and not all(0 < value < 1e6 for value in pair):
                raise SettingsError(f"{name} must be above 0; got {pair[0]}, {pair[1]}")


@dataclass
class Track:
    """One tracklet in the making: what was written, when each frame was, and what became of each box."""

    name: str
    boxes: list[Box]
    pictures: list[Path] = field(default_factory=list)
    times: list[float | None] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def span(times: Sequence[float | None]) -> tuple[float | None, float | None]:
    """First and last time, None where the video has none; broken files may have times that run backwards."""
    known = [time for time in times if time is not None]
    return (min(known), max(known)) if known else (None, None)


class Plan:
    """What to cut out of which frame, and the account of every box."""

    def __init__(self, boxes: list[Box], cut: Cut, size: tuple[int, int], path: Path) -> None:
        self.boxes, self.cut, self.size = boxes, cut, size
        self.scale = _scale(cut, self.size)
        self.dropped: dict[int, str] = {}  # line -> why
        self.clipped: set[int] = set()
        self.wanted_boxes: dict[int, list[tuple[Box, Rectangle, Track]]] = defaultdict(list)
        good = [box for box in boxes if self._usable(box)]
        rectangles = {box.line: rectangle(box, self.scale, *self.size, cut.pixels_from) for box in good}
        self._outside([box for box in good if rectangles[box.line] is None], path)
        inside = [box for box in good if rectangles[box.line] is not None]
        if not inside:
            raise DataError(f"{path} must hold at least one box to cut; all are dropped: {self._why()}")
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

    def settle(self, n_read: int, path: Path) -> None:
        """Says why what is left was not cut, and takes out tracks that came out too short."""
        for frame, rest in self.wanted_boxes.items():
            assert frame > n_read
            self.dropped |= {box.line: AFTER_END for box, _, _ in rest}
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
        """The tracks of which anything was written."""
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
            "counts_from_0": self._counts_from_0(),
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
                    "pid": track.boxes[0].track,
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

    def _counts_from_0(self) -> bool:
        """Whether the boxes fit the picture to the pixel if its first one is 0, and not if it is 1."""
        if self.cut.pixels_from != 1:
            return False
        across, down = self.scale
        starts = [min(box.x, box.y) for box in self.boxes]
        ends = [((box.x + box.w) * across, (box.y + box.h) * down) for box in self.boxes]
        return min(starts) == 0 and all(x <= self.size[0] and y <= self.size[1] for x, y in ends)

    def _usable(self, box: Box) -> bool:
        if box.w <= 0 or box.h <= 0:
            self.dropped[box.line] = NO_AREA
        elif box.confidence == 0:
            self.dropped[box.line] = NO_CONFIDENCE  # MOTChallenge: a box that is to be ignored
        return box.line not in self.dropped

    def _outside(self, boxes: list[Box], path: Path) -> None:
        if boxes and not self.cut.drop_outside:
            width, height = self.size
            box = boxes[0]
            shown = f"{box.x:g},{box.y:g},{box.w:g},{box.h:g}"
            raise DataError(
                f"{path}, line {box.line}: boxes must lie in the picture of {width}x{height}; {len(boxes)} do not, "
                f"the first is {shown}; say what size they were made for with --boxes-size WxH, or pass --drop-outside"
            )
        self.dropped |= {box.line: OUTSIDE for box in boxes}


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
