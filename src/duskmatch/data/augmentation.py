"""Augmentation: one draw for a clip, applied to all its frames at once.

Source: MITML's public code (pad 10, random crop, flip). Differs: that code draws anew for each frame, so crop and flip
change inside a clip and hide the motion of the person.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from duskmatch.data.decoding import Picture
from duskmatch.errors import SettingsError

GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # Source: ITU-R BT.601 luma
ERASED = np.array([124, 116, 104], dtype=np.uint8)  # ImageNet's mean colour, 0 after `normalise`


@dataclass(frozen=True, slots=True)
class Augment:
    """Settings of augmentation in training; probabilities are per clip, 0 is off.

    pad: pixels of black added on each side before a crop of the old size; flip: mirrored left to right;
    jitter: brightness, contrast and saturation each times a factor from 1 - jitter to 1 + jitter;
    erase: a rectangle of 2 to 40 % of the picture is blanked; exchange: one colour channel takes the place of all
    three; grey: colours are replaced by their brightness.
    """

    pad: int = 10
    flip: float = 0.5
    jitter: float = 0.0
    erase: float = 0.0
    exchange: float = 0.0
    grey: float = 0.0

    def __post_init__(self) -> None:
        if self.pad < 0:
            raise SettingsError(f"augment.pad must be at least 0 pixels; got {self.pad}")
        for name in ("flip", "jitter", "erase", "exchange", "grey"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"augment.{name} must be from 0 to 1; got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Draw:
    """The random numbers of one clip. All are always drawn, so no option changes the draws of another."""

    top: int
    left: int
    flip: float
    factors: tuple[float, float, float]
    erase: float
    area: float
    log_aspect: float
    place: tuple[float, float]
    exchange: float
    channel: int
    grey: float


def draw_augmentation(augment: Augment, rng: np.random.Generator) -> Draw:
    """Draws one clip's random numbers."""
    top, left = (int(v) for v in rng.integers(2 * augment.pad + 1, size=2))
    u = [float(x) for x in rng.random(12)]
    factors = tuple(1 + augment.jitter * (2 * x - 1) for x in u[1:4])
    return Draw(
        top,
        left,
        flip=u[0],
        factors=(factors[0], factors[1], factors[2]),
        erase=u[4],
        area=0.02 + 0.38 * u[5],  # Source: Zhong et al., Random Erasing: area 0.02-0.4, aspect 0.3-1/0.3
        log_aspect=math.log(0.3) * (2 * u[6] - 1),
        place=(u[7], u[8]),
        exchange=u[9],
        channel=int(3 * u[10]),
        grey=u[11],
    )


def apply_augmentation(clip: Picture, augment: Augment, draw: Draw) -> Picture:
    """The clip (t 3 h w) varied as drawn: every frame in the same way, the size unchanged."""
    clip = crop(clip, augment.pad, draw.top, draw.left)
    if draw.flip < augment.flip:
        clip = mirror(clip)
    if augment.jitter:
        clip = jitter(clip, draw.factors)
    if draw.exchange < augment.exchange:
        clip = np.repeat(clip[:, draw.channel : draw.channel + 1], 3, axis=1)
    if draw.grey < augment.grey:
        clip = np.repeat(brightness(clip).round().astype(np.uint8), 3, axis=1)
    if draw.erase < augment.erase:
        clip = erase(clip, draw)
    return np.ascontiguousarray(clip)


def crop(clip: Picture, pad: int, top: int, left: int) -> Picture:
    """The (h, w) window at (top, left) of the clip with `pad` black pixels around it."""
    h, w = clip.shape[-2:]
    dy, dx = top - pad, left - pad  # the window against the unpadded picture
    out = np.zeros_like(clip)
    seen = clip[..., max(dy, 0) : max(h + dy, 0), max(dx, 0) : max(w + dx, 0)]
    out[..., max(-dy, 0) : max(-dy, 0) + seen.shape[-2], max(-dx, 0) : max(-dx, 0) + seen.shape[-1]] = seen
    return out


def mirror(clip: Picture) -> Picture:
    """The clip with left and right exchanged; OpenCV reverses rows ten times as fast as NumPy."""
    rows = np.ascontiguousarray(clip).reshape(-1, clip.shape[-1])
    return np.asarray(cv2.flip(rows, 1), dtype=np.uint8).reshape(clip.shape)


def jitter(clip: Picture, factors: tuple[float, float, float]) -> Picture:
    """Brightness, then contrast about the clip's mean brightness, then saturation about each pixel's own."""
    light, contrast, saturation = factors
    x = np.clip(clip.astype(np.float32) * light, 0, 255)
    mean = float(brightness(x).mean())
    x = np.clip(mean + contrast * (x - mean), 0, 255)
    own = brightness(x)
    varied: Picture = np.clip(own + saturation * (x - own), 0, 255).round().astype(np.uint8)
    return varied


def brightness(clip: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The luma of a clip, (t 1 h w) float32."""
    luma: npt.NDArray[np.float32] = np.tensordot(clip.astype(np.float32), GREY, axes=(1, 0))[:, None]
    return luma


def erase(clip: Picture, draw: Draw) -> Picture:
    """The clip with one rectangle in ImageNet's mean colour, at the same place in every frame."""
    h, w = clip.shape[-2:]
    aspect = math.exp(draw.log_aspect)
    height = min(max(round((draw.area * h * w * aspect) ** 0.5), 1), h)
    width = min(max(round((draw.area * h * w / aspect) ** 0.5), 1), w)
    top, left = int(draw.place[0] * (h - height + 1)), int(draw.place[1] * (w - width + 1))
    clip = clip.copy()
    clip[..., top : top + height, left : left + width] = ERASED[:, None, None]
    return clip
