"""A camera: viewing direction, lens, light by day and at night."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from duskmatch.synthetic.shading import Light, unit
from duskmatch.synthetic.streams import between, near, stream


@dataclass(frozen=True, slots=True)
class Camera:
    """Fixed properties of one camera; a walk adds its own exposure and noise."""

    camid: int
    path_deg: float  # direction of walking: 0 toward the lens, 90 to the right
    pitch_deg: float
    light: Light
    sunny: bool
    exposure: float
    balance: tuple[float, float, float]
    lamp_gain: float
    lamp_centre: tuple[float, float]  # as a share of the picture
    lamp_width: float
    ambient_infrared: float
    curve_day: float
    curve_night: float
    blur_px: float  # for pictures 128 high
    vignette: float
    noise_day: float
    noise_night: float
    quality_day: int
    quality_night: int


def make_camera(seed: int, camid: int) -> Camera:
    """Camera `camid` of the data set with this seed."""
    rng = stream(seed, "camera", camid)
    around, high = rng.uniform(-np.pi, np.pi), np.deg2rad(rng.uniform(28, 62))
    sunny = bool(rng.random() < 0.6)
    sun = unit(np.array([np.sin(around) * np.cos(high), np.sin(high), 0.35 + np.cos(around) * np.cos(high)]))
    strength = between(rng, 0.95, 1.5) if sunny else between(rng, 0.10, 0.25)
    warmth = near(rng, 0.0, 0.07)
    # Paths turn from camera to camera, so that every set of cameras has front, side and back views.
    turn = (camid * 0.61803) % 1.0
    return Camera(
        camid=camid,
        path_deg=180.0 * turn + near(rng, 0, 10),
        pitch_deg=between(rng, 4, 20),
        light=Light(sun, strength, between(rng, 0.60, 0.80) if sunny else between(rng, 1.05, 1.25)),
        sunny=sunny,
        exposure=between(rng, 1.0, 1.5),
        balance=(1 + warmth, 1 + near(rng, 0, 0.02), 1 - warmth),
        lamp_gain=between(rng, 0.65, 1.05),
        lamp_centre=(between(rng, 0.40, 0.60), between(rng, 0.32, 0.55)),
        lamp_width=between(rng, 0.75, 1.3),
        ambient_infrared=between(rng, 0.01, 0.06),
        curve_day=between(rng, 0.95, 1.15),
        curve_night=between(rng, 0.9, 1.2),
        blur_px=between(rng, 0.40, 0.75),
        vignette=between(rng, 0.05, 0.25),
        noise_day=between(rng, 0.006, 0.014),
        noise_night=between(rng, 0.016, 0.034),
        quality_day=int(rng.integers(82, 95)),
        quality_night=int(rng.integers(78, 92)),
    )
