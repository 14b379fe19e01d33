"""The places where people walk: walls, windows, doors, hedges, pavement, kerb, road, trees, posts, bins and signs.

A scene is painted once per camera, in sunlight and in the light of the infrared lamp, with the same edges. A paint is a
colour and an independent infrared reflectance. Coordinates are metres at the walker's depth, x right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from duskmatch.synthetic.cameras import make_camera
from duskmatch.synthetic.canvas import FOOT_M, HEIGHT_M, WIDTH_M, Canvas, Picture, foliage, paint
from duskmatch.synthetic.streams import stream
from duskmatch.synthetic.walls import paint_walls

FIGURE_SHARE = 0.9  # of the crop's height, a person of 1.72 m at zoom 1


@dataclass(frozen=True, slots=True)
class Scene:
    """Linear light by day (3 h w) and by night (1 h w), and pixels per metre."""

    day: Tensor
    night: Tensor
    pixels_per_m: float


@lru_cache(maxsize=16)
def make_scene(seed: int, place: int, camid: int, height_px: int) -> Scene:
    """Scene number `place` in the light of camera `camid`, for crops of this height."""
    rng = stream(seed, "scene", place)
    scale = 2 * FIGURE_SHARE * height_px / 1.72
    canvas = Canvas.blank(WIDTH_M, HEIGHT_M, scale, rng)
    base = FOOT_M - rng.uniform(0.30, 0.75)
    paint_walls(canvas, base)
    canvas.roughen(0.07, 0.5)
    _ground(canvas, base)
    _things(canvas, base)
    canvas.roughen(0.035, 0.05)
    return _lit(canvas, seed, camid, base)


def _ground(canvas: Canvas, base: float) -> None:
    rng = canvas.rng
    kind = rng.choice(["slabs", "slabs", "asphalt", "grass", "cobbles"])
    grey = rng.uniform(0.16, 0.36)
    infrared = float(rng.uniform(0.22, 0.48))
    if kind == "grass":
        canvas.box(0, base, WIDTH_M, HEIGHT_M, [0.05, 0.085, 0.025], 0.58)
        foliage(canvas, 0, WIDTH_M, base, HEIGHT_M, 0.2)
    else:
        canvas.box(0, base, WIDTH_M, HEIGHT_M, np.array([1.03, 1.0, 0.96]) * grey, infrared)
    if kind in ("slabs", "cobbles"):
        _joints(canvas, base, 0.6 if kind == "slabs" else 0.2, grey, infrared)
    if kind == "grass" or rng.random() < 0.75:  # kerb and road in front
        edge = FOOT_M + rng.uniform(0.18, 0.45)
        canvas.box(0, edge, WIDTH_M, edge + 0.07, [0.42, 0.42, 0.40], 0.5)
        canvas.box(0, edge + 0.07, WIDTH_M, edge + 0.12, [0.06, 0.06, 0.06], 0.12)
        canvas.box(0, edge + 0.12, WIDTH_M, HEIGHT_M, [0.10, 0.10, 0.105], float(rng.uniform(0.15, 0.3)))
    canvas.box(0, base - 0.015, WIDTH_M, base + 0.02, [0.05, 0.05, 0.05], 0.10)


def _joints(canvas: Canvas, base: float, slab: float, grey: float, infrared: float) -> None:
    """Joints of the paving: horizontal lines, denser with distance, and lines toward a vanishing point."""
    vanish = canvas.rng.uniform(0.2, 0.8) * WIDTH_M
    depth = HEIGHT_M - base
    for i in range(1, 14):
        y = base + depth * (1 - 1 / (1 + 0.35 * slab / 0.6 * i)) * 1.25
        canvas.box(0, y, WIDTH_M, y + 0.012 + 0.008 * (y - base), [grey * 0.55] * 3, infrared * 0.55)
    for i in range(int(WIDTH_M * 1.6 / slab)):
        x = -0.3 * WIDTH_M + i * slab
        lean = (x - vanish) * 0.35
        canvas.shape([(x, base), (x + 0.012, base), (x + lean + 0.025, HEIGHT_M), (x + lean, HEIGHT_M)],
                     [grey * 0.6] * 3, infrared * 0.6)  # fmt: skip


def _things(canvas: Canvas, base: float) -> None:
    """Posts, trees, bins, signs and planters along the wall."""
    rng = canvas.rng
    for _ in range(int(rng.integers(4, 9))):
        x, foot = rng.uniform(0, WIDTH_M), rng.uniform(base + 0.02, base + 0.6 * (FOOT_M - base))
        kind = rng.choice(["post", "tree", "bin", "sign", "planter", "poster"])
        colour, infrared = paint(rng, 0.04, 0.5)
        if kind == "post":
            canvas.box(x, 0, x + 0.09, foot, colour, infrared)
            canvas.box(x + 0.06, 0, x + 0.09, foot, colour * 0.6, infrared * 0.7)
        elif kind == "tree":
            _tree(canvas, x, foot)
        elif kind == "bin":
            canvas.box(x, foot - 0.75, x + 0.45, foot, colour, infrared)
            canvas.box(x - 0.03, foot - 0.82, x + 0.48, foot - 0.73, colour * 0.6, infrared * 0.7)
            canvas.box(x + 0.33, foot - 0.73, x + 0.45, foot, colour * 0.7, infrared * 0.8)
        elif kind == "sign":
            canvas.box(x + 0.2, foot - 2.0, x + 0.25, foot, [0.25] * 3, 0.4)
            canvas.box(x, foot - 2.2, x + 0.45, foot - 1.7, rng.uniform(0.05, 0.6, 3), float(rng.uniform(0.3, 0.9)))
        elif kind == "planter":
            foliage(canvas, x - 0.1, x + 0.9, foot - 0.9, foot - 0.35)
            canvas.box(x, foot - 0.4, x + 0.8, foot, colour, infrared)
            canvas.box(x, foot - 0.4, x + 0.8, foot - 0.35, np.minimum(colour * 1.3, 0.9), min(0.9, infrared * 1.3))
        else:
            canvas.box(x, base - 1.9, x + 0.6, base - 1.05, rng.uniform(0.1, 0.7, 3), float(rng.uniform(0.4, 0.9)))
            canvas.box(
                x + 0.08, base - 1.75, x + 0.52, base - 1.4, rng.uniform(0.05, 0.6, 3), float(rng.uniform(0.1, 0.6))
            )


def _tree(canvas: Canvas, x: float, foot: float) -> None:
    rng, bark = canvas.rng, canvas.rng.uniform(0.05, 0.14)
    half = rng.uniform(0.09, 0.17)
    for i in range(6):  # the trunk gets darker from left to right
        left = x - half + i * half / 3
        tone = bark * (1.3 - 0.16 * i)
        canvas.box(left, 0, left + half / 3 + 0.01, foot, np.array([1.15, 1.0, 0.8]) * tone, float(0.5 - 0.05 * i))
    if rng.random() < 0.5:
        foliage(canvas, x - 1.0, x + 1.0, 0.0, 0.5, 0.6)


def _lit(canvas: Canvas, seed: int, camid: int, base: float) -> Scene:
    """The canvas in daylight and in lamplight, halved to the resolution of the crops."""
    camera = make_camera(seed, camid)
    rng = stream(seed, "scene light", camid)
    h, w = canvas.infrared.shape
    s = canvas.scale
    y, x = (np.mgrid[0:h, 0:w] / s).astype(np.float32)
    ground = y > base
    sun = camera.light.sun
    facing = np.where(ground, max(0.15, sun[1]), max(0.05, sun[2])).astype(np.float32)
    cast = _sun_shadows(rng, x, y, base) if camera.sunny else np.ones((h, w), np.float32)
    corner = 1 - 0.35 * np.exp(-np.abs(y - base) / 0.12)  # darker where wall and ground meet
    lit = camera.light.sun_strength * facing * cast + camera.light.sky * np.where(ground, 0.95, 0.75) * corner
    day = canvas.albedo * lit.astype(np.float32)[..., None]
    # The lamp's light falls off with distance: the wall is farther than the walker, the near ground nearer.
    falloff = np.where(ground, 0.55 + 0.35 * np.clip((y - base) / (FOOT_M - base), 0, 1.5), 0.60) * corner
    night = canvas.infrared * (falloff * 0.8 + camera.ambient_infrared).astype(np.float32)
    size = (w // 2, h // 2)
    day = cv2.resize(np.clip(day, 0, 4), size, interpolation=cv2.INTER_AREA)
    night = cv2.resize(np.clip(night, 0, 4), size, interpolation=cv2.INTER_AREA)
    return Scene(torch.from_numpy(day).permute(2, 0, 1).contiguous(), torch.from_numpy(night)[None], s / 2)


def _sun_shadows(rng: np.random.Generator, x: Picture, y: Picture, base: float) -> Picture:
    """Slanted shadows of houses and trees outside of the picture."""
    cast = np.ones_like(x)
    for _ in range(int(rng.integers(1, 4))):
        centre, half, slant = rng.uniform(0, WIDTH_M), rng.uniform(0.4, 2.0), rng.uniform(-0.8, 0.8)
        inside = half - np.abs(x - centre - slant * (y - base))
        cast *= (1 - 0.65 / (1 + np.exp(np.clip(-inside / 0.04, -40, 40)))).astype(np.float32)
    return cast
