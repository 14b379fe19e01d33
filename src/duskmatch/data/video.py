"""Tracklets cut out of a video: read once, frame by frame, each crop written as it comes.

What is held in memory is one picture and the list of boxes; it does not grow with the length of the video.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from duskmatch import files
from duskmatch.data.decoding import Picture
from duskmatch.data.mot import Box, Rectangle, read_boxes, rectangle, split_tracks
from duskmatch.data.tracklets import write_tracklets
from duskmatch.errors import DataError, OutputError, SettingsError
from duskmatch.records import Modality, Tracklet

JPEG_QUALITY = 95
HALVES = ("first", "second")

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
    for; pixels_from: the number of the first pixel in the boxes; drop_outside: boxes wholly outside the picture are counted and dropped instead of refused.
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


def ingest(
    video: Path,
    boxes: Path,
    out: Path,
    cut: Cut,
    *,
    overwrite: bool = False,
    on_frame: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """What was done with every box, as in ingest.json; the tracklets lie in `out`, or in `out`/first and /second.

    `on_frame` hears the number of each frame that was read. tracklets.csv is written last, after the pictures are on
    the disk: a folder without it was interrupted.
    """
    found = read_boxes(boxes)
    with Video(video) as source:
        plan = Plan(found, cut, source, boxes)
        _keep_inputs(out, video, boxes)
        files.prepare_folder(out, overwrite=overwrite)
        n_read = 0
        for n_read, time, picture in source.frames(plan.last_frame, plan.wanted):
            if picture is not None:
                plan.write(out, n_read, time, picture)
            if on_frame is not None:
                on_frame(n_read)
    plan.settle(n_read)
    _finish(out, plan, cut)
    account = plan.account(video, boxes, n_read)
    files.write_json(out / "ingest.json", account)
    return account


class Video:
    """A video file read as a stream; nothing but the file is ever opened, no address in a playlist."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DataError(f"{path}: the video must be a file; there is none; check the path")
        self.path = path
        try:
            self.container = av.open(os.fspath(path.resolve()), options={"protocol_whitelist": "file"})
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise DataError(f"{path}: the video cannot be opened ({_reason(error)}); copy it again") from error
        if not self.container.streams.video:
            self.container.close()
            raise DataError(f"{path}: the file must hold a video; it holds none; check the path")
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "AUTO"
        self.n_corrupt = 0
        self._first = self._decode()
        self.width, self.height = self._peek()

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def frames(self, last: int, wanted: Callable[[int], bool]) -> Iterator[tuple[int, float | None, Picture | None]]:
        """(number from 1, seconds, BGR picture turned upright) up to frame `last`; no picture where none is wanted."""
        for number, frame in enumerate(self._all(), start=1):
            self.n_corrupt += bool(getattr(frame, "is_corrupt", False))
            yield number, self._time(number, frame), self._upright(frame) if wanted(number) else None
            if number >= last:
                return

    def _all(self) -> Iterator[Any]:
        yield self._head
        yield from self._first

    def _decode(self) -> Iterator[Any]:
        number = 0
        try:
            for frame in self.container.decode(self.stream):
                number += 1
                yield frame
        except av.error.FFmpegError as error:
            text = f"the video is damaged after frame {number} ({_reason(error)}); copy it again or re-encode it"
            raise DataError(f"{self.path}: {text}") from error

    def _peek(self) -> tuple[int, int]:
        """(width, height) of the first frame as it is shown."""
        head = next(self._first, None)
        if head is None:
            raise DataError(f"{self.path}: the video must hold at least one frame; it holds none; copy it again")
        self._head = head
        height, width = self._upright(head).shape[:2]
        return width, height

    def _time(self, number: int, frame: Any) -> float | None:
        if frame.time is not None:
            return float(frame.time)
        rate = self.stream.average_rate  # a raw stream has no times, at best a rate
        return (number - 1) / float(rate) if rate else None

    def _upright(self, frame: Any) -> Picture:
        picture = frame.to_ndarray(format="bgr24")
        # The display matrix turns counter-clockwise, as rot90 does; players and OpenCV show it so, so did the tracker.
        turned = np.rot90(picture, k=round(getattr(frame, "rotation", 0) / 90) % 4)
        shape = getattr(self, "height", turned.shape[0]), getattr(self, "width", turned.shape[1])
        if turned.shape[:2] != shape:
            text = f"all frames must have one size; it changes from {shape[1]}x{shape[0]}"
            raise DataError(f"{self.path}: {text} to {turned.shape[1]}x{turned.shape[0]}; re-encode it")
        return np.asarray(turned, dtype=np.uint8)


class Plan:
    """What to cut out of which frame, and the account of every box."""

    def __init__(self, boxes: list[Box], cut: Cut, video: Video, path: Path) -> None:
        self.boxes, self.cut, self.size = boxes, cut, (video.width, video.height)
        self.scale = _scale(cut, self.size)
        self.dropped: dict[int, str] = {}  # line -> why
        self.clipped: set[int] = set()
        self.wanted_boxes: dict[int, list[tuple[Box, Rectangle, Track]]] = defaultdict(list)
        good = [box for box in boxes if self._usable(box)]
        rectangles = {box.line: rectangle(box, self.scale, *self.size, cut.pixels_from) for box in good}
        self._outside([box for box in good if rectangles[box.line] is None], path)
        inside = [box for box in good if rectangles[box.line] is not None]
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

    def settle(self, n_read: int) -> None:
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
                    if not any(path.parent.iterdir()):
                        path.parent.rmdir()
                track.pictures, track.times, track.lines = [], [], []

    def account(self, video: Path, boxes: Path, n_read: int) -> dict[str, Any]:
        """Every box is counted once: cut or dropped; `clipped` are those of the cut ones that reached outside."""
        kept = [track for track in self.tracks.values() if track.pictures]
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
                    "begin_s": track.times[0],
                    "end_s": track.times[-1],
                }
                for track in kept
            ],
        }

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


def _finish(out: Path, plan: Plan, cut: Cut) -> None:
    """Writes the table, or the two tables of halves, once the pictures are on the disk."""
    kept = [track for track in plan.tracks.values() if track.pictures]
    if not cut.split_halves:
        _sync(out)
        write_tracklets(out, [_tracklet(track, slice(None), track.pictures, cut) for track in kept])
        return
    halves: dict[str, list[Tracklet]] = {half: [] for half in HALVES}
    for track in kept:
        middle = -(-len(track.pictures) // 2)
        for half, part in zip(HALVES, (slice(0, middle), slice(middle, None)), strict=True):
            pictures = [_move(path, out / half / track.name / path.name) for path in track.pictures[part]]
            if pictures:
                halves[half].append(_tracklet(track, part, pictures, cut))
        (out / track.name).rmdir()
    for half in HALVES:
        (out / half).mkdir(exist_ok=True)
    _sync(out)
    for half, tracklets in halves.items():
        write_tracklets(out / half, tracklets)


def _tracklet(track: Track, part: slice, pictures: list[Path], cut: Cut) -> Tracklet:
    times = track.times[part]
    pid = track.boxes[0].track
    return Tracklet(tuple(pictures), pid, cut.camid, cut.modality, track.name, times[0], times[-1])


def _move(path: Path, to: Path) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    return path.replace(to)


def _write_picture(path: Path, crop: Picture) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix, np.ascontiguousarray(crop), options)[1].tobytes())
    except OSError as error:
        raise files.refusal(path, error) from error


def _sync(out: Path) -> None:
    """Puts all pictures on the disk: one call for the system, not one for each of perhaps a million files."""
    if hasattr(os, "sync"):
        os.sync()
        return
    for path in out.rglob("*.*"):
        files.sync(path)


def _keep_inputs(out: Path, *inputs: Path) -> None:
    """Refuses an OUT that holds what is to be read: --overwrite would remove it first."""
    for path in inputs:
        if path.resolve().is_relative_to(out.resolve()):
            raise OutputError(f"{out} must not hold the video or its boxes; {path} lies in it; choose another OUT")


def _scale(cut: Cut, size: tuple[int, int]) -> tuple[float, float]:
    if cut.boxes_size is not None:
        return size[0] / cut.boxes_size[0], size[1] / cut.boxes_size[1]
    return cut.scale or (1.0, 1.0)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
