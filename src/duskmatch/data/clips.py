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
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from duskmatch.data.decoding import BadFrames, OnBadFrame, Picture, Size, read_frame
from duskmatch.data.sampling import SAMPLINGS, Sampling
from duskmatch.errors import FrameError, SettingsError
from duskmatch.records import Clip, Tracklet

T = TypeVar("T")
R = TypeVar("R")
ReadFrame = Callable[[Path, Size], Picture]

# Source: ImageNet's channel statistics (RGB, of pixels in [0, 1]), which pretrained backbones expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)  # Source: ITU-R BT.601


def normalise(
    clips: UInt8[Tensor, "*n t 3 h w"],
    *,
    grey: bool = False,
    per_clip: bool = False,
    local_contrast: tuple[int, ...] = (),
) -> Float[Tensor, "*n t 3 h w"]:
    """Pixels as float32 with ImageNet's mean taken off and its deviation divided out.

    grey: colours become their brightness first, which is all that the other modality can have in common; per_clip:
    each clip's own mean and deviation instead, which takes the exposure and the illuminator's strength away;
    local_contrast: windows (pixels, odd) at which the brightness is compared with its surroundings, in place of the
    last channels: what two kinds of light agree on is which of two neighbours is the brighter one.
    """
    pixels = clips.to(torch.float32, copy=True)
    if grey:
        luma = torch.tensor(LUMA, device=clips.device).view(3, 1, 1)
        pixels = (pixels * luma).sum(dim=-3, keepdim=True).expand(clips.shape)
    if per_clip:
        of_clip = (-4, -3, -2, -1)
        mean, std = pixels.mean(dim=of_clip, keepdim=True), pixels.std(dim=of_clip, keepdim=True)
        pixels = (pixels - mean) / std.clamp_min(1.0)  # a flat clip stays flat: one grey level is its least deviation
        return with_local_contrast(pixels, local_contrast) if local_contrast else pixels
    mean = 255 * torch.tensor(IMAGENET_MEAN, device=clips.device).view(3, 1, 1)
    std = 255 * torch.tensor(IMAGENET_STD, device=clips.device).view(3, 1, 1)
    shifted = pixels - mean if grey else pixels.sub_(mean)  # grey ones are a single channel, seen three times
    return shifted.div_(std)


def with_local_contrast(pixels: Float[Tensor, "*n 3 h w"], windows: tuple[int, ...]) -> Float[Tensor, "*n 3 h w"]:
    """The first channels as they are, the last each replaced by the first one's contrast within a window.

    Contrast: distance from the window's mean in window deviations, which count as 0.3 of the clip's at least, or
    noise in flat places would be all there is to see. Source: divisive normalisation (Jarrett et al. 2009).
    """
    brightness = pixels[..., :1, :, :].flatten(0, -4)  # (n 1 h w)
    contrasts = []
    for window in windows:
        mean = box_mean(brightness, window)
        variance = box_mean(brightness.square(), window) - mean.square()
        contrasts.append((brightness - mean) / (variance.clamp_min(0).sqrt() + 0.3))
    kept = pixels[..., : 3 - len(windows), :, :].flatten(0, -4)
    return torch.cat([kept, *contrasts], dim=1).reshape(pixels.shape)


def box_mean(pictures: Float[Tensor, "n 1 h w"], window: int) -> Float[Tensor, "n 1 h w"]:
    """The mean over a square around each pixel, over what of it lies inside the picture."""
    down, across = (window_weights(n, window, pictures.device) for n in pictures.shape[-2:])
    return down @ pictures @ across.T  # a product of bands: many times as fast as pooling with stride 1


def window_weights(n: int, window: int, device: torch.device) -> Float[Tensor, "n n"]:
    """Row i: equal weights for the places within half a window of i."""
    place = torch.arange(n, device=device)
    near = ((place[:, None] - place[None, :]).abs() <= window // 2).float()
    return near / near.sum(dim=1, keepdim=True)


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
