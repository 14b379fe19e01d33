"""A canvas for places: everything on it has a colour by day and an independent infrared reflectance."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.float32]
WIDTH_M, HEIGHT_M, FOOT_M = 15.0, 3.5, 2.62  # size of a place, and depth of the walkers' feet below its top


@dataclass
class Canvas:
    """Albedo (h w 3) and infrared reflectance (h w), drawn in metres at `scale` pixels per metre."""

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
        """Adds stains and grain, the same in both modalities."""
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
    """A muted wall colour, and an independently drawn infrared reflectance."""
    value = rng.uniform(low, high)
    tint = np.array([rng.uniform(0.9, 1.25), 1.0, rng.uniform(0.7, 1.1)])
    return np.asarray(value * tint / tint.mean(), np.float32), float(rng.uniform(0.25, 0.7))


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
    edge = np.minimum.reduce([x, shape[1] - 1 - x, y]) / (0.12 * s)  # ragged at the sides and the top only
    there = np.clip(edge, 0, 3) + 0.9 * leaves + 0.6 * clumps > 1.6 - density
    light = np.clip(0.62 + 0.38 * leaves + 0.28 * clumps, 0.10, 1.7)
    hue = np.stack([0.052 + 0.012 * clumps, np.full(shape, 0.098), np.full(shape, 0.026)], -1)
    canvas.albedo[top:low, left:right][there] = np.clip(hue * light[..., None], 0.002, 1)[there]
    canvas.infrared[top:low, left:right][there] = np.clip(0.10 + 0.44 * light, 0.06, 0.9)[there]
