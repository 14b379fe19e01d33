"""Walls behind the walkers: facades of brick, plaster, panels and glass, shutters, hedges and fences."""

from __future__ import annotations

import numpy as np

from duskmatch.synthetic.canvas import WIDTH_M, Canvas, foliage, paint


def paint_walls(canvas: Canvas, base: float) -> None:
    """Paints facades, hedges and fences side by side, down to the ground at `base`."""
    rng = canvas.rng
    x = -float(rng.uniform(0, 2))
    while x < WIDTH_M:
        width = float(rng.uniform(2.6, 5.5))
        kind = rng.choice(["brick", "plaster", "panels", "shop", "hedge", "shutter", "fence"])
        WALLS[str(kind)](canvas, x, x + width, base)
        if rng.random() < 0.6:  # a pilaster or a drainpipe where two facades meet
            colour, infrared = paint(rng)
            canvas.box(x + width - 0.08, 0, x + width + rng.uniform(0.04, 0.3), base, colour, infrared)
        x += width


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
