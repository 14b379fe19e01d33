"""The places where people walk: walls, windows, doors, hedges, pavement, kerb, road, trees and parked things.

A scene is painted once per camera and twice over: as the sun shows it and as the infrared lamp shows it, with the same
edges. Paint is a colour and, apart from it, an infrared reflectance. Coordinates are metres at the walker's depth,
x right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from duskmatch.synthetic.cameras import make_camera
from duskmatch.synthetic.streams import stream

Picture = npt.NDArray[np.float32]
WIDTH_M, HEIGHT_M, FOOT_M = 15.0, 3.5, 2.62
FIGURE_SHARE = 0.9  # of the crop's height, a person of 1.72 m at zoom 1


@dataclass(frozen=True, slots=True)
class Scene:
    """Linear light by day (3 h w) and by night (1 h w), and pixels per metre."""

    day: Tensor
    night: Tensor
    pixels_per_m: float


@dataclass
class Canvas:
    """Albedo (h w 3), infrared reflectance (h w) and distance factor, drawn in metres at twice the resolution."""

    albedo: Picture
    infrared: Picture
    scale: float
    rng: np.random.Generator

    @classmethod
    def blank(cls, width_m: float, height_m: float, scale: float, rng: np.random.Generator) -> Canvas:
        h, w = round(height_m * scale), round(width_m * scale)
        return cls(np.zeros((h, w, 3), np.float32), np.zeros((h, w), np.float32), scale, rng)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: npt.ArrayLike, infrared: float) -> None:
        s = self.scale
        rows, columns = (
            slice(max(0, round(y0 * s)), max(0, round(y1 * s))),
            slice(max(0, round(x0 * s)), max(0, round(x1 * s))),
        )
        self.albedo[rows, columns] = np.asarray(colour, np.float32)
        self.infrared[rows, columns] = infrared

    def shape(self, points: list[tuple[float, float]], colour: npt.ArrayLike, infrared: float) -> None:
        outline = np.array(points) * self.scale
        (left, top), (right, low) = outline.min(0), outline.max(0)
        h, w = self.infrared.shape
        x0, y0, x1, y1 = max(0, int(left)), max(0, int(top)), min(w, int(right) + 2), min(h, int(low) + 2)
        if x0 >= x1 or y0 >= y1:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [np.round((outline - [x0, y0]) * 16).astype(np.int32)], 1, shift=4)
        inside = mask > 0
        self.albedo[y0:y1, x0:x1][inside] = np.asarray(colour, np.float32)
        self.infrared[y0:y1, x0:x1][inside] = infrared

    def blob(self, x: float, y: float, rx: float, ry: float, colour: npt.ArrayLike, infrared: float) -> None:
        turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        self.shape([(x + rx * np.cos(turn), y + ry * np.sin(turn)) for turn in turns], colour, infrared)

    def roughen(self, amount: float, grain_m: float) -> None:
        """Stains and grain: the same in both lights."""
        factor = 1 + amount * mottle(self.rng, self.infrared.shape, max(2.0, grain_m * self.scale))
        self.albedo *= factor[..., None]
        self.infrared *= factor


def mottle(rng: np.random.Generator, shape: tuple[int, int], grain_px: float) -> Picture:
    """Smooth noise of about unit spread in three octaves."""
    total = np.zeros(shape, np.float32)
    for octave, weight in enumerate((0.6, 0.3, 0.2)):
        cell = max(1.0, grain_px / 2**octave)
        small = rng.standard_normal((int(shape[0] / cell) + 3, int(shape[1] / cell) + 3), dtype=np.float32)
        total += weight * cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return total


def paint(rng: np.random.Generator, low: float = 0.12, high: float = 0.55) -> tuple[Picture, float]:
    """A muted wall colour, and an infrared reflectance drawn apart from it."""
    value = rng.uniform(low, high)
    tint = np.array([rng.uniform(0.9, 1.25), 1.0, rng.uniform(0.7, 1.1)])
    return np.asarray(value * tint / tint.mean(), np.float32), float(rng.uniform(0.25, 0.7))


@lru_cache(maxsize=16)
def make_scene(seed: int, place: int, camid: int, height_px: int) -> Scene:
    """The scene number `place` under camera `camid`'s lights, for crops of this height."""
    rng = stream(seed, "scene", place)
    scale = 2 * FIGURE_SHARE * height_px / 1.72
    canvas = Canvas.blank(WIDTH_M, HEIGHT_M, scale, rng)
    base = FOOT_M - rng.uniform(0.30, 0.75)
    _walls(canvas, base)
    canvas.roughen(0.07, 0.5)
    _ground(canvas, base)
    _things(canvas, base)
    canvas.roughen(0.035, 0.05)
    return _lit(canvas, seed, camid, base)


def _walls(canvas: Canvas, base: float) -> None:
    rng, x = canvas.rng, -rng_offset(canvas.rng)
    while x < WIDTH_M:
        width = rng_width(canvas.rng)
        kind = rng.choice(["brick", "plaster", "panels", "shop", "hedge", "shutter", "fence"])
        WALLS[str(kind)](canvas, x, x + width, base)
        if rng.random() < 0.6:  # a pilaster or a drainpipe where two fronts meet
            colour, infrared = paint(rng)
            canvas.box(x + width - 0.08, 0, x + width + rng.uniform(0.04, 0.3), base, colour, infrared)
        x += width


def rng_offset(rng: np.random.Generator) -> float:
    return float(rng.uniform(0, 2))


def rng_width(rng: np.random.Generator) -> float:
    return float(rng.uniform(2.6, 5.5))


def _brick(canvas: Canvas, x0: float, x1: float, base: float) -> None:
    rng = canvas.rng
    warm = rng.uniform(0.6, 1.2)
    colour, infrared = np.array([0.30, 0.13, 0.085]) * warm, float(rng.uniform(0.35, 0.6))
    canvas.box(x0, 0, x1, base, colour * 0.62, infrared * 0.62)
    course = rng.uniform(0.075, 0.11)
    for row in range(int(base / course) + 1):
        y = base - (row + 1) * course
        shift = 0.12 if row % 2 else 0.0
        for column in range(int((x1 - x0) / 0.24) + 2):
            left = x0 + column * 0.24 - shift
            tone = rng.uniform(0.82, 1.16)
            canvas.box(max(left, x0), y, min(left + 0.222, x1), y + course * 0.86, colour * tone, infrared * tone)
    _windows(canvas, x0, x1, base)


def _plaster(canvas: Canvas, x0: float, x1: float, base: float) -> None:
    rng = canvas.rng
    colour, infrared = paint(rng, 0.28, 0.72)
    canvas.box(x0, 0, x1, base, colour, infrared)
    canvas.box(x0, base - rng.uniform(0.25, 0.6), x1, base, colour * 0.6, infrared * 0.7)
    _windows(canvas, x0, x1, base)


def _panels(canvas: Canvas, x0: float, x1: float, base: float) -> None:
    rng = canvas.rng
    grey = rng.uniform(0.2, 0.5)
    wide, high = rng.uniform(0.8, 1.5), rng.uniform(0.6, 1.1)
    infrared = float(rng.uniform(0.3, 0.6))
    for i in range(int((x1 - x0) / wide) + 1):
        for j in range(int(base / high) + 1):
            left, bottom, tone = x0 + i * wide, base - j * high, rng.uniform(0.88, 1.1)
            right = min(left + wide, x1)
            canvas.box(left, bottom - high, right, bottom, [grey * 0.45] * 3, infrared * 0.5)
            canvas.box(left + 0.02, bottom - high + 0.02, right, bottom - 0.02, np.array([1, 1, 1.03]) * grey * tone,
                       infrared * tone)  # fmt: skip


def _shop(canvas: Canvas, x0: float, x1: float, base: float) -> None:
    rng = canvas.rng
    frame, infrared = paint(rng, 0.05, 0.3)
    canvas.box(x0, 0, x1, base, frame, infrared)
    for i in range(max(1, int((x1 - x0) / 1.3))):
        wide = (x1 - x0) / max(1, int((x1 - x0) / 1.3))
        left = x0 + i * wide
        _pane(canvas, left + 0.07, 0.35, left + wide - 0.07, base - 0.32)
        for _ in range(3):  # goods in the window
            x, tone = rng.uniform(left + 0.15, left + wide - 0.3), rng.uniform(0.05, 0.4, 3)
            top = rng.uniform(base - 1.2, base - 0.6)
            canvas.box(x, top, x + rng.uniform(0.1, 0.35), base - 0.34, tone, float(rng.uniform(0.1, 0.4)))
    sign, bright = paint(rng, 0.1, 0.5)
    canvas.box(x0 + 0.1, 0, x1 - 0.1, 0.28, sign, bright)


def _hedge(canvas: Canvas, x0: float, x1: float, base: float) -> None:
    rng = canvas.rng
    canvas.box(x0, 0, x1, base, [0.30, 0.36, 0.42], 0.10)
    top = rng.uniform(0.1, 0.9)
    canvas.box(x0, top + 0.15, x1, base, [0.018, 0.035, 0.012], 0.30)
    foliage(canvas, x0, x1, top, base, 1.2)


def foliage(canvas: Canvas, x0: float, x1: float, y0: float, y1: float, density: float = 1.0) -> None:
    """Leaves with a ragged outline: dark green by day, bright in infrared."""
    h, w = canvas.infrared.shape
    s = canvas.scale
    top, low, left, right = max(0, int(y0 * s)), min(h, int(y1 * s)), max(0, int(x0 * s)), min(w, int(x1 * s))
    if top >= low or left >= right:
        return
    shape = (low - top, right - left)
    leaves, clumps = mottle(canvas.rng, shape, 0.06 * s), mottle(canvas.rng, shape, 0.35 * s)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    edge = np.minimum.reduce([x, shape[1] - 1 - x, y]) / (0.12 * s)  # ragged at the sides and the top, not at the foot
    there = np.clip(edge, 0, 3) + 0.9 * leaves + 0.6 * clumps > 1.6 - density
    light = np.clip(0.62 + 0.38 * leaves + 0.28 * clumps, 0.10, 1.7)
    hue = np.stack([0.052 + 0.012 * clumps, np.full(shape, 0.098), np.full(shape, 0.026)], -1)
    canvas.albedo[top:low, left:right][there] = np.clip(hue * light[..., None], 0.002, 1)[there]
    canvas.infrared[top:low, left:right][there] = np.clip(0.10 + 0.44 * light, 0.06, 0.9)[there]


def _shutter(canvas: Canvas, x0: float, x1: float, base: float) -> None:
    rng = canvas.rng
    colour, infrared = paint(rng, 0.12, 0.45)
    canvas.box(x0, 0, x1, base, colour * 0.7, infrared * 0.8)
    for row in range(int(base / 0.09)):
        y = base - (row + 1) * 0.09
        canvas.box(x0 + 0.18, y, x1 - 0.18, y + 0.055, colour * 1.15, min(0.9, infrared * 1.15))
        canvas.box(x0 + 0.18, y + 0.055, x1 - 0.18, y + 0.09, colour * 0.6, infrared * 0.6)


def _fence(canvas: Canvas, x0: float, x1: float, base: float) -> None:
    rng = canvas.rng
    canvas.box(x0, 0, x1, base, [0.10, 0.12, 0.09], 0.22)
    foliage(canvas, x0, x1, 0.0, base - 0.1, 0.5)
    colour, infrared = paint(rng, 0.08, 0.3)
    step = rng.uniform(0.12, 0.2)
    for i in range(int((x1 - x0) / step)):
        canvas.box(x0 + i * step, base - 1.35, x0 + i * step + 0.035, base, colour, infrared)
    for y in (base - 1.3, base - 0.2):
        canvas.box(x0, y, x1, y + 0.05, colour, infrared)


WALLS = {"brick": _brick, "plaster": _plaster, "panels": _panels, "shop": _shop, "hedge": _hedge, "shutter": _shutter,
         "fence": _fence}  # fmt: skip


def _windows(canvas: Canvas, x0: float, x1: float, base: float) -> None:
    """Windows and sometimes a door, set in frames."""
    rng = canvas.rng
    x = x0 + rng.uniform(0.3, 0.8)
    frame, infrared = paint(rng, 0.25, 0.75)
    while x + 1.1 < x1:
        wide = rng.uniform(0.75, 1.15)
        if rng.random() < 0.25:
            door, bright = paint(rng, 0.04, 0.3)
            canvas.box(x - 0.07, base - 2.2, x + 0.97, base, frame, infrared)
            canvas.box(x, base - 2.12, x + 0.9, base, door, bright)
            canvas.box(x + 0.14, base - 1.9, x + 0.76, base - 1.15, door * 0.6, bright * 0.75)
            canvas.box(x + 0.14, base - 0.95, x + 0.76, base - 0.2, door * 0.7, bright * 0.8)
        else:
            top, low = max(0.0, base - 2.3), base - rng.uniform(0.75, 1.1)
            canvas.box(x - 0.06, top, x + wide + 0.06, low + 0.07, frame, infrared)
            _pane(canvas, x, top, x + wide, low)
            canvas.box(x + wide / 2 - 0.025, top, x + wide / 2 + 0.025, low, frame, infrared)
            canvas.box(x - 0.12, low + 0.04, x + wide + 0.12, low + 0.12, frame * 0.8, infrared * 0.9)
        x += wide + rng.uniform(0.6, 1.4)


def _pane(canvas: Canvas, x0: float, y0: float, x1: float, y1: float) -> None:
    """Glass: dark, with a slanting reflection."""
    rng = canvas.rng
    canvas.box(x0, y0, x1, y1, [0.045, 0.055, 0.065], 0.07)
    start, width = rng.uniform(x0, x1), rng.uniform(0.1, 0.35)
    slant = 0.3 * (y1 - y0)
    points = [(start + slant, y0), (start + slant + width, y0), (start + width, y1), (start, y1)]
    clipped = [(float(np.clip(x, x0, x1)), y) for x, y in points]
    canvas.shape(clipped, [0.16, 0.19, 0.23], 0.13)


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
    """Joints of the paving: level lines that crowd with distance, and lines that lean toward a vanishing point."""
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
    for i in range(6):  # the trunk turns from light to shade
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
    corner = 1 - 0.35 * np.exp(-np.abs(y - base) / 0.12)  # light is lost where wall and ground meet
    lit = camera.light.sun_strength * facing * cast + camera.light.sky * np.where(ground, 0.95, 0.75) * corner
    day = canvas.albedo * lit.astype(np.float32)[..., None]
    # Seen from the lens the lamp falls off with distance: the wall is farther than the walker, the near ground nearer.
    falloff = np.where(ground, 0.55 + 0.35 * np.clip((y - base) / (FOOT_M - base), 0, 1.5), 0.60) * corner
    night = canvas.infrared * (falloff * 0.8 + camera.ambient_infrared).astype(np.float32)
    size = (w // 2, h // 2)
    day = cv2.resize(np.clip(day, 0, 4), size, interpolation=cv2.INTER_AREA)
    night = cv2.resize(np.clip(night, 0, 4), size, interpolation=cv2.INTER_AREA)
    return Scene(torch.from_numpy(day).permute(2, 0, 1).contiguous(), torch.from_numpy(night)[None], s / 2)


def _sun_shadows(rng: np.random.Generator, x: Picture, y: Picture, base: float) -> Picture:
    """Slanting shadows of houses and trees out of sight."""
    cast = np.ones_like(x)
    for _ in range(int(rng.integers(1, 4))):
        centre, half, slant = rng.uniform(0, WIDTH_M), rng.uniform(0.4, 2.0), rng.uniform(-0.8, 0.8)
        inside = half - np.abs(x - centre - slant * (y - base))
        cast *= (1 - 0.65 / (1 + np.exp(np.clip(-inside / 0.04, -40, 40)))).astype(np.float32)
    return cast
