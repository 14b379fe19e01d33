"""Tracklets cut out of a video, which is read once, frame by frame; each crop is written at once.

Only one picture and the list of boxes are held in memory, whatever the length of the video.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import SideDataContainer

from duskmatch import files
from duskmatch.data.cutting import Cut, Plan, Track, span
from duskmatch.data.decoding import Picture
from duskmatch.data.levels import Levels
from duskmatch.data.mot import read_boxes
from duskmatch.data.picture_folder import PictureFolder, of_size
from duskmatch.data.tracklets import write_tracklets
from duskmatch.errors import DataError, OutputError
from duskmatch.records import Tracklet

HALVES = ("first", "second")
NO_TIMES = 0x80  # FFmpeg's AVFMT_NOTIMESTAMPS


def ingest(
    video: Path,
    boxes: Path,
    out: Path,
    cut: Cut,
    *,
    overwrite: bool = False,
    on_frame: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Writes the tracklets to `out`, or `out`/first and /second; returns the account of every box, as in ingest.json.

    `video` is a file, or a folder of numbered pictures. `on_frame` is called with the number of each frame that was
    read, and that of the last one to read. tracklets.csv is written last, after the pictures are on the disk: a folder
    without it was interrupted.
    """
    found = read_boxes(boxes)
    levels = Levels(cut.levels)
    with PictureFolder(video, levels, cut.fps) if video.is_dir() else Video(video, levels, cut.fps) as source:
        plan = Plan(found, cut, source.size, boxes)
        levels.check(video)
        _keep_inputs(out, video, boxes)
        files.prepare_folder(out, overwrite=overwrite)
        n_read, number, last = 0, 0, min(plan.last_frame, source.n_frames or plan.last_frame)
        for number, time, picture in source.frames(plan.last_frame, plan.wanted):
            n_read += 1
            if picture is not None:
                plan.write(out, number, time, picture)
            if on_frame is not None:
                on_frame(number, last)
    plan.settle(number, boxes)
    plan.hints += [*source.hints(), *levels.hints()]
    account = plan.account(video, boxes, n_read) | {"times": source.times(), "levels": levels.account()}
    files.write_json(out / "ingest.json", account)
    _finish(out, plan, cut)
    return account


class Video:
    """A video file read as a stream; only the file itself is opened, no address in a playlist."""

    def __init__(self, path: Path, levels: Levels, fps: float | None = None) -> None:
        if not path.is_file():
            raise DataError(f"{path}: the video must be a file; there is none; check the path")
        self.path, self.levels, self.fps = path, levels, fps
        try:
            self.container = av.open(os.fspath(path.resolve()), options={"protocol_whitelist": "file"})
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise DataError(f"{path}: the video cannot be opened ({_reason(error)}); copy it again") from error
        if not self.container.streams.video:
            self.container.close()
            raise DataError(f"{path}: the file must hold a video; it holds none or is cut off; copy it again")
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "AUTO"
        # Some decoders silently skip damage unless this option makes them stop.
        self.stream.codec_context.options = {"err_detect": "explode"}
        self.n_frames = _n_frames(self.stream, self.container.duration)
        self._lost_packet, self._end = False, list[str]()
        self._rest = self._decode()
        self._head = next(self._rest, None)
        if self._head is None:
            raise DataError(f"{path}: the video must hold at least one frame; it holds none; copy it again")
        height, width = self._upright(self._head).shape[:2]
        self.size = (width, height)  # after turning
        self._count = self._rate()

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def frames(self, last: int, wanted: Callable[[int], bool]) -> Iterator[tuple[int, float | None, Picture | None]]:
        """(number from 1, seconds, BGR picture turned upright) up to frame `last`; no picture where none is wanted."""
        for number, frame in enumerate(chain([self._head], self._rest), start=1):
            yield number, self._time(number, frame), self._of_one_size(frame) if wanted(number) else None
            if number >= last:
                return

    def times(self) -> str:
        """The source of the times."""
        if self._count is not None:
            return f"{self._count:g} frames a second"
        return "none" if self._has_no_times() else "video"

    def hints(self) -> list[str]:
        """Remarks for the user about the times and about an incomplete end."""
        if self.times() == "none":
            of_times = ["the video holds no times, so begin_s and end_s are empty; give its rate with --fps N"]
        elif self.fps is None and self._has_no_times():
            of_times = [f"the video holds no times; they are counted at {self._count:g} frames a second, its own rate"]
        else:
            of_times = []
        return [*self._end, *of_times]

    def _decode(self) -> Iterator[Any]:
        """The frames up to the first sign of damage, which would spoil later ones or shift their numbers."""
        number = 0
        try:
            for frame in self._undamaged():
                if frame.is_corrupt:
                    raise self._damage(number, "the next one is marked as damaged")
                number += 1
                yield frame
        except av.error.FFmpegError as error:
            raise self._damage(number, _reason(error)) from error
        if self._lost_packet:
            raise self._damage(number, "what follows is incomplete in the file")

    def _undamaged(self) -> Iterator[Any]:
        """The frames of the packets before the first incomplete one; if that is the last, the video ends there."""
        packets = self.container.demux(self.stream)
        for packet in packets:
            if packet.is_corrupt:
                self._lost_packet = any(following.size for following in packets)
                self._end = [] if self._lost_packet else ["the video's last picture is incomplete and was left out"]
                yield from self.stream.codec_context.decode(None)
                return
            yield from packet.decode()

    def _damage(self, number: int, reason: str) -> DataError:
        text = f"the video is damaged after frame {number} ({reason}); copy it again or re-encode it"
        return DataError(f"{self.path}: {text}")

    def _has_no_times(self) -> bool:
        """True if it is a raw stream, whose times FFmpeg invents at 25 frames a second."""
        return bool(self.container.format.flags & NO_TIMES)

    def _rate(self) -> float | None:
        """The frames a second by which times are counted; None if the video's own times are used."""
        if self.fps is not None or not self._has_no_times():
            return self.fps
        rate = self.stream.codec_context.framerate  # the stream's own
        return float(rate) if rate else None

    def _time(self, number: int, frame: Any) -> float | None:
        if self._count is not None:
            return (number - 1) / self._count
        if self._has_no_times():
            return None
        if frame.time is not None:
            return float(frame.time)
        rate = self.stream.average_rate
        return (number - 1) / float(rate) if rate else None

    def _of_one_size(self, frame: Any) -> Picture:
        return of_size(self._upright(frame), self.size, f"{self.path}: all frames must have one size")

    def _upright(self, frame: Any) -> Picture:
        """BGR, turned and mirrored by the display matrix.

        Players do so before anyone sees the picture, so the tracker's boxes are of the turned one.
        """
        # Not frame.side_data: it makes a circle of references, which keeps the frame until Python looks for circles.
        picture, matrix = self._bgr(frame), SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
        return picture if matrix is None else _displayed(picture, np.frombuffer(bytes(matrix), np.int32))

    def _bgr(self, frame: Any) -> Picture:
        plain = np.asarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8)
        components = frame.format.components
        if len(components) > 1 or components[0].bits <= 8:
            return plain
        bits = components[0].bits
        if bits > 16:  # floats
            return self.levels.picture(frame.to_ndarray(format="grayf32le"), bits, plain)
        return self.levels.picture(frame.to_ndarray(format="gray16le") >> (16 - bits), bits, plain)


def _displayed(picture: Picture, matrix: npt.NDArray[np.int32]) -> Picture:
    """The picture turned by the nearest multiple of a quarter turn, mirrored or not.

    Source: ISO/IEC 14496-12, 6.2.2: x' = a x + c y, y' = b x + d y, of a matrix a b u, c d v, x y w.
    """
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    if abs(b) + abs(c) > abs(a) + abs(d):
        picture, a, d = picture.swapaxes(0, 1), c, b  # x' follows y, and y' follows x
    return np.ascontiguousarray(picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _n_frames(stream: Any, duration: int | None) -> int | None:
    """The number of frames by the container's count, or by its length and rate; None if it has neither."""
    if stream.frames or not stream.average_rate:
        return stream.frames or None
    if stream.duration and stream.time_base:
        return round(stream.duration * stream.time_base * stream.average_rate) or None
    return round(duration / av.time_base * stream.average_rate) or None if duration else None


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
            if track.pictures[part]:
                folder = out / half / track.name
                folder.mkdir(parents=True)
                pictures = [path.replace(folder / path.name) for path in track.pictures[part]]
                halves[half].append(_tracklet(plan, track, part, pictures))
        (out / track.name).rmdir()
    _sync(out)
    for half, tracklets in halves.items():
        write_tracklets(out / half, tracklets)


def _tracklet(plan: Plan, track: Track, part: slice, pictures: list[Path]) -> Tracklet:
    begin_s, end_s = span(track.times[part])
    pid = plan.pids[track.boxes[0].track]
    return Tracklet(tuple(pictures), pid, plan.cut.camid, plan.cut.modality, track.name, begin_s, end_s)


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
