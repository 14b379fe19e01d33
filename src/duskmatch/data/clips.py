"""Clips from tracklets: T frames read, resized and stacked, with a rule for frames that cannot be read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from duskmatch.data.decoding import BadFrames, OnBadFrame, Picture, Size, read_frame
from duskmatch.data.sampling import SAMPLINGS, Sampling
from duskmatch.errors import FrameError, SettingsError
from duskmatch.records import Clip, Tracklet

T = TypeVar("T")
R = TypeVar("R")
ReadFrame = Callable[[Path, Size], Picture]


def read_clip(
    tracklet: Tracklet,
    size: Size,
    n_frames: int,
    on_bad_frame: OnBadFrame = "stop",
    bad_frames: BadFrames | None = None,
    *,
    jpeg_scaling: bool = False,
    sampling: Sampling = "segments",
) -> Clip:
    """The clip a tracklet is tested with: the first frame of each of T segments, at (H, W), read as `read_frame` does.

    sampling: how the T frames are chosen, a name in SAMPLINGS.

    With "skip" a bad frame is dropped from the tracklet, noted in `bad_frames`, and the segments are cut again;
    a tracklet with no frame left is a FrameError all the same.

    Source: REFERENCE 1.4.
    """
    collected = BadFrames() if bad_frames is None else bad_frames
    read = partial(read_frame, jpeg_scaling=jpeg_scaling)
    frames = read_frames(tracklet, size, n_frames, lambda: None, on_bad_frame, collected, read, sampling)
    return Clip(frames, tracklet)


def read_clips(
    tracklets: Sequence[Tracklet],
    size: Size,
    n_frames: int,
    *,
    n_threads: int = 1,
    n_ahead: int | None = None,
    on_bad_frame: OnBadFrame = "stop",
    bad_frames: BadFrames | None = None,
    jpeg_scaling: bool = False,
    sampling: Sampling = "segments",
) -> Iterator[tuple[int, Clip]]:
    """(number of the tracklet, its test clip), in order; with "skip" those without a readable frame are missing.

    With threads, at most `n_ahead` clips (2 for each thread) are held ahead of the one in use.
    """
    collected = BadFrames() if bad_frames is None else bad_frames

    def read(tracklet: Tracklet) -> tuple[Clip | None, BadFrames]:
        bad = BadFrames()
        try:
            clip = read_clip(tracklet, size, n_frames, on_bad_frame, bad, jpeg_scaling=jpeg_scaling, sampling=sampling)
            return clip, bad
        except FrameError:
            if on_bad_frame == "stop":
                raise
            return None, bad

    for index, (clip, bad) in enumerate(in_order(read, tracklets, n_threads, n_ahead)):
        collected.add(bad)
        if clip is not None:
            yield index, clip


def read_frames(
    tracklet: Tracklet,
    size: Size,
    n_frames: int,
    rng: Callable[[], np.random.Generator | None],
    on_bad_frame: OnBadFrame,
    bad_frames: BadFrames,
    read: ReadFrame = read_frame,
    sampling: Sampling = "segments",
) -> Picture:
    """T frames of a tracklet, (t 3 h w).

    `rng` makes a fresh generator for each try, so that the draw depends on the files alone.
    """
    if on_bad_frame not in ("stop", "skip"):
        raise SettingsError(f"on-bad-frame must be stop or skip; got {on_bad_frame!r}")
    left = list(tracklet.frames)
    while left:
        chosen = [left[i] for i in SAMPLINGS[sampling](len(left), n_frames, rng())]
        pictures: dict[Path, Picture] = {}
        for path in dict.fromkeys(chosen):
            try:
                pictures[path] = read(path, size)
            except FrameError as error:
                if on_bad_frame == "stop":
                    raise
                bad_frames.frames[str(path)] = str(error)
                left.remove(path)  # strictly fewer each round: this ends
        if len(pictures) == len(set(chosen)):
            return np.stack([pictures[path] for path in chosen])
    name = tracklet.tracklet_id or str(tracklet.frames[0].parent)
    bad_frames.tracklets[name] = f"none of its {len(tracklet)} frames can be read"
    raise FrameError(
        f"tracklet {name}: none of its {len(tracklet)} frames can be read; copy them again or leave it out"
    )


def in_order(work: Callable[[T], R], items: Sequence[T], n_threads: int, n_ahead: int | None = None) -> Iterator[R]:
    """work(item) for each item in order, done ahead by threads: decoding and resizing leave the interpreter's lock."""
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
        finally:  # an error or a caller who stops early: do not finish what nobody waits for
            for future in ahead:
                future.cancel()
