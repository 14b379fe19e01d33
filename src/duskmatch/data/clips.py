"""Clips from tracklets: T frames read, resized and stacked, with a rule for frames that cannot be read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from duskmatch.config import DataSettings
from duskmatch.data.decoding import BadFrames, FrameCache, OnBadFrame, Picture, Size, read_frame
from duskmatch.data.sampling import SAMPLINGS, Sampling
from duskmatch.errors import FrameError, SettingsError
from duskmatch.records import Clip, Tracklet

T = TypeVar("T")
R = TypeVar("R")
MakeGenerator = Callable[[], np.random.Generator | None]


class ReadClip(NamedTuple):
    """One tracklet's clip (None if "skip" left no frame), and the frames that could not be read."""

    clip: Clip | None
    bad_frames: BadFrames


@dataclass(frozen=True)
class ClipReader:
    """Reads clips, in training and at test: T frames of a tracklet at (H, W), chosen by a name in SAMPLINGS.

    With "skip" a frame that cannot be read is dropped from the tracklet and the frames are chosen again; with "stop" it
    is a FrameError. `jpeg_scaling` is that of `read_frame`; `cache` keeps decoded pictures from one call to the next.
    """

    size: Size
    n_frames: int
    sampling: Sampling = "segments"
    on_bad_frame: OnBadFrame = "stop"
    jpeg_scaling: bool = False
    cache: FrameCache | None = None

    def __post_init__(self) -> None:
        if self.on_bad_frame not in ("stop", "skip"):
            raise SettingsError(f"on-bad-frame must be stop or skip; got {self.on_bad_frame!r}")

    @classmethod
    def of(cls, data: DataSettings, **others: Any) -> ClipReader:
        """The reader of these settings at test; `others` are fields that differ."""
        fields = {"n_frames": data.frames_per_clip, "on_bad_frame": data.on_bad_frame, **others}
        return cls((data.height, data.width), sampling=data.sampling, jpeg_scaling=data.jpeg_scaling, **fields)

    def clips(
        self, tracklets: Sequence[Tracklet], n_threads: int = 1, n_ahead: int | None = None
    ) -> Iterator[ReadClip]:
        """Each tracklet's test clip, in order; threads read at most `n_ahead` ahead (default: 2 per thread)."""
        return in_order(self.read, tracklets, n_threads, n_ahead)

    def read(self, tracklet: Tracklet, make_generator: MakeGenerator = lambda: None) -> ReadClip:
        """One tracklet's clip: frames drawn by a generator, or, without one, the test frames.

        A fresh generator is made for each try, so that the draw depends on the files alone.
        """
        left, bad = list(tracklet.frames), BadFrames()
        while left:
            chosen = [left[i] for i in SAMPLINGS[self.sampling](len(left), self.n_frames, make_generator())]
            pictures = self._pictures(chosen, bad)
            if len(pictures) == len(set(chosen)):
                return ReadClip(Clip(np.stack([pictures[path] for path in chosen]), tracklet), bad)
            left = [path for path in left if str(path) not in bad.frames]  # fewer in each round, so this ends
        name = tracklet.tracklet_id or str(tracklet.frames[0].parent)
        bad.tracklets[name] = f"none of its {len(tracklet)} frames can be read"
        return ReadClip(None, bad)

    def _pictures(self, chosen: Sequence[Path], bad: BadFrames) -> dict[Path, Picture]:
        """The readable pictures, each once; the others are recorded in `bad`, or the first is raised."""
        read = read_frame if self.cache is None else self.cache.read
        pictures = {}
        for path in dict.fromkeys(chosen):
            try:
                pictures[path] = read(path, self.size, self.jpeg_scaling)
            except FrameError as error:
                if self.on_bad_frame == "stop":
                    raise
                bad.frames[str(path)] = str(error)
        return pictures


def in_order(work: Callable[[T], R], items: Sequence[T], n_threads: int, n_ahead: int | None = None) -> Iterator[R]:
    """work(item) for each item in order, ahead of use by threads: decoding and resizing release Python's lock."""
    if n_threads <= 1:
        yield from map(work, items)
        return
    rest = iter(items)
    with ThreadPoolExecutor(n_threads) as pool:
        ahead: deque[Future[R]] = deque(pool.submit(work, item) for item in islice(rest, n_ahead or 2 * n_threads))
        try:
            while ahead:
                done = ahead.popleft().result()
                ahead.extend(pool.submit(work, item) for item in islice(rest, 1))
                yield done
        finally:  # after an error, or if the caller stops early: cancel what is left
            for future in ahead:
                future.cancel()
