"""Occluders between the lens and the walker: posts, parked cars, bushes."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from duskmatch.synthetic.cameras import Camera
from duskmatch.synthetic.canvas import FOOT_M, HEIGHT_M, Canvas, foliage, paint

_WIDTH_M = {"post": 0.5, "car": 5.0, "bush": 2.2}
_EMPTY = -1.0  # reflectance that marks unpainted pixels


def occluder_layer(
    rng: np.random.Generator, kind: str, size: float, pixels_per_m: float, camera: Camera
) -> tuple[Float[Tensor, "5 h w"], float]:
    """Red, green, blue, infrared and coverage of one occluder, as high as the scene, and its width in metres."""
    width = _WIDTH_M[kind]
    canvas = Canvas.blank(width, HEIGHT_M, 2 * pixels_per_m, rng)
    canvas.infrared[:] = _EMPTY
    {"post": _post, "car": _car, "bush": _bush}[kind](canvas, width, size)
    cover = (canvas.infrared != _EMPTY).astype(np.float32)
    day = camera.light.sky * 0.7 + camera.light.sun_strength * 0.35
    planes = [*np.moveaxis(canvas.albedo * day, -1, 0) * cover, canvas.infrared * 0.85 * cover, cover]
    half = (cover.shape[1] // 2, cover.shape[0] // 2)
    layer = torch.from_numpy(np.stack([cv2.resize(plane, half, interpolation=cv2.INTER_AREA) for plane in planes]))
    layer[:4] /= layer[4:].clamp(min=1e-3)  # undo the multiplication of colours by coverage
    return layer, width


def _post(canvas: Canvas, width: float, size: float) -> None:
    colour, infrared = paint(canvas.rng, 0.05, 0.4)
    half = 0.075 * size
    for i in range(5):
        left = width / 2 - half + i * half * 0.4
        tone = 1.25 - 0.17 * i
        canvas.box(left, 0, left + half * 0.42, FOOT_M + 0.25, colour * tone, min(0.9, infrared * tone))


def _car(canvas: Canvas, width: float, size: float) -> None:
    rng, low = canvas.rng, FOOT_M + 0.30
    colour, infrared = rng.uniform(0.02, 0.5, 3), float(rng.uniform(0.1, 0.7))
    top = low - 0.92 * size
    x0, x1 = 0.4, width - 0.4
    canvas.shape([(x0, low - 0.2), (x0 + 0.05, top + 0.30), (x0 + 0.9, top + 0.22), (x0 + 1.45, top - 0.12),
                  (x1 - 1.2, top - 0.12), (x1 - 0.45, top + 0.25), (x1, top + 0.4), (x1, low - 0.2)],
                 colour, infrared)  # fmt: skip
    canvas.shape([(x0 + 1.05, top + 0.20), (x0 + 1.5, top - 0.05), (x1 - 1.25, top - 0.05), (x1 - 0.75, top + 0.2)],
                 [0.05, 0.06, 0.07], 0.08)  # fmt: skip
    canvas.box(x0, low - 0.42, x1, low - 0.38, colour * 0.5, infrared * 0.6)
    for x in (x0 + 0.75, x1 - 0.8):
        canvas.blob(x, low - 0.16, 0.31, 0.31, [0.02] * 3, 0.06)
        canvas.blob(x, low - 0.16, 0.17, 0.17, [0.35] * 3, 0.5)


def _bush(canvas: Canvas, width: float, size: float) -> None:
    low = FOOT_M + 0.3
    top = low - 0.95 * size
    foliage(canvas, 0.2, width - 0.2, top, low, 1.0)
