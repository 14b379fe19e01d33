"""A literal oracle of the ray caster: each part as many balls, each ball met by every ray."""

from __future__ import annotations

import numpy as np

from duskmatch.synthetic.figure import Part
from duskmatch.synthetic.raycast import FAR


def depth_of_balls(part: Part, to_camera: np.ndarray, xs: np.ndarray, ys: np.ndarray, n_balls: int = 800) -> np.ndarray:
    """(h, w) largest depth over the part's balls in frame 0, FAR where no ball is met. Hems are not cut."""
    a, b, front = to_camera @ part.a[0], to_camera @ part.b[0], to_camera @ part.front[0]
    axis = (b - a) / np.linalg.norm(b - a)
    front = front - (front @ axis) * axis
    front = front / np.linalg.norm(front)
    squeeze = np.stack([np.cross(axis, front), axis, front / part.flat])
    ray = squeeze @ np.array([0.0, 0.0, 1.0])
    y, x = np.meshgrid(ys, xs, indexing="ij")
    origin = np.stack([x, y, 0 * x], -1) @ squeeze.T  # (h, w, 3)
    depth = np.full(x.shape, FAR)
    for s in np.linspace(0, 1, n_balls):
        away = origin - squeeze @ (a + s * (b - a))
        radius = part.ra + s * (part.rb - part.ra)
        half, rest = away @ ray, (away**2).sum(-1) - radius**2
        root = half**2 - (ray @ ray) * rest
        met = root > 0
        depth[met] = np.maximum(depth[met], (-half[met] + np.sqrt(root[met])) / (ray @ ray))
    return depth
