"""Tracklets cut out of a video: read once, frame by frame, each crop written as it comes.

What is held in memory is one picture and the list of boxes; it does not grow with the length of the video.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from duskmatch import files
from duskmatch.data.cutting import Cut, Plan, Track, span
from duskmatch.data.decoding import Picture
from duskmatch.data.mot import read_boxes
from duskmatch.data.tracklets import write_tracklets
from duskmatch.errors import DataError, OutputError
from duskmatch.records import Tracklet

HALVES = ("first", "second")


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
        plan = Plan(found, cut, source.size, boxes)
        _keep_inputs(out, video, boxes)
        files.prepare_folder(out, overwrite=overwrite)
        n_read = 0
        for n_read, time, picture in source.frames(plan.last_frame, plan.wanted):
            if picture is not None:
                plan.write(out, n_read, time, picture)
            if on_frame is not None:
                on_frame(n_read)
    plan.settle(n_read, boxes)
    account = plan.account(video, boxes, n_read)
    files.write_json(out / "ingest.json", account)
    _finish(out, plan, cut)
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
            raise DataError(f"{path}: the file must hold a video; it holds none or is cut off; copy it again")
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "AUTO"
        self._rest = self._decode()
        head = next(self._rest, None)
        if head is None:
            raise DataError(f"{path}: the video must hold at least one frame; it holds none; copy it again")
        self._head = head
        height, width = _upright(head).shape[:2]
        self.size = (width, height)  # as it is shown

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def frames(self, last: int, wanted: Callable[[int], bool]) -> Iterator[tuple[int, float | None, Picture | None]]:
        """(number from 1, seconds, BGR picture turned upright) up to frame `last`; no picture where none is wanted."""
        for number, frame in enumerate(self._all(), start=1):
            yield number, self._time(number, frame), self._picture(frame) if wanted(number) else None
            if number >= last:
                return

    def _all(self) -> Iterator[Any]:
        yield self._head
        yield from self._rest

    def _decode(self) -> Iterator[Any]:
        number = 0
        try:
            for frame in self.container.decode(self.stream):
                number += 1
                yield frame
        except av.error.FFmpegError as error:
            text = f"the video is damaged after frame {number} ({_reason(error)}); copy it again or re-encode it"
            raise DataError(f"{self.path}: {text}") from error

    def _time(self, number: int, frame: Any) -> float | None:
        if frame.time is not None:
            return float(frame.time)
        rate = self.stream.average_rate  # a raw stream has no times, at best a rate
        return (number - 1) / float(rate) if rate else None

    def _picture(self, frame: Any) -> Picture:
        picture = _upright(frame)
        height, width = picture.shape[:2]
        if (width, height) != self.size:
            text = f"all frames must have one size; it changes from {self.size[0]}x{self.size[1]} to {width}x{height}"
            raise DataError(f"{self.path}: {text}; re-encode it")
        return picture


def _upright(frame: Any) -> Picture:
    """BGR as it is shown; the display matrix turns counter-clockwise, as rot90 does.

    Players and OpenCV turn the picture before anyone sees it, so the tracker's boxes are of the turned one.
    """
    turned = np.rot90(frame.to_ndarray(format="bgr24"), k=round(getattr(frame, "rotation", 0) / 90) % 4)
    return np.asarray(turned, dtype=np.uint8)


def _finish(out: Path, plan: Plan, cut: Cut) -> None:
    """Writes the table, or the two tables of halves, once the pictures are on the disk."""
    kept = plan.kept()
    if not cut.split_halves:
        _sync(out)
        write_tracklets(out, [_tracklet(plan, track, slice(None), track.pictures) for track in kept])
        return
    halves: dict[str, list[Tracklet]] = {half: [] for half in HALVES}
    for track in kept:
        middle = -(-len(track.pictures) // 2)
        for half, part in zip(HALVES, (slice(0, middle), slice(middle, None)), strict=True):
            pictures = [_move(path, out / half / track.name / path.name) for path in track.pictures[part]]
            if pictures:
                halves[half].append(_tracklet(plan, track, part, pictures))
        (out / track.name).rmdir()
    for half in HALVES:
        (out / half).mkdir(exist_ok=True)
    _sync(out)
    for half, tracklets in halves.items():
        write_tracklets(out / half, tracklets)


def _tracklet(plan: Plan, track: Track, part: slice, pictures: list[Path]) -> Tracklet:
    begin_s, end_s = span(track.times[part])
    pid = plan.pids[track.boxes[0].track]
    return Tracklet(tuple(pictures), pid, plan.cut.camid, plan.cut.modality, track.name, begin_s, end_s)


def _move(path: Path, to: Path) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    return path.replace(to)


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


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
