"""Exact silhouettes and depths of rounded cones, for all frames of a walk at once, by parallel rays.

A part is the envelope of balls C(s) = A + s (B - A), r(s) = ra + s (rb - ra), 0 <= s <= 1, in a space squeezed along
the part's front axis. Along a ray, depth is the maximum over s of a concave function, so its place has a closed form;
each part is tested inside its own box only. Camera coordinates: x right, y up, z toward the camera, metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from duskmatch.synthetic.figure import Part

FAR = -1e6


@dataclass(frozen=True, slots=True)
class Solids:
    """Parts in camera coordinates, ready for rays.

    rows (t, p, 36): per frame and part, what a ray needs; box (p, 4): x0, x1, y0, y1 in metres over all frames,
    relative to nothing but the camera's axes; offsets move them with the picture.
    """

    rows: Float[Tensor, "t p k"]
    low: Float[np.ndarray, "t p 2"]
    high: Float[np.ndarray, "t p 2"]
    hem: list[bool]


ROW = ("gux", "guy", "gu0", "gvx", "gvy", "gv0", "gnx", "gny", "gn0", "length", "ra", "dr", "dv", "dn", "alpha", "tilt",
       "vy", "ny", "axis", "ux", "uz", "vx", "vz", "nx", "nz",
       "sx", "sy", "sz", "ax", "ay", "az", "fx", "fy", "fz")  # fmt: skip
COLUMN = {name: i for i, name in enumerate(ROW)}


def prepare(parts: list[Part], to_camera: np.ndarray, device: torch.device) -> Solids:
    """The parts seen by a camera whose axes are the rows of `to_camera` (t, 3, 3)."""
    a = np.einsum("tij,ptj->tpi", to_camera, np.stack([part.a for part in parts]))
    b = np.einsum("tij,ptj->tpi", to_camera, np.stack([part.b for part in parts]))
    front = np.einsum("tij,ptj->tpi", to_camera, np.stack([part.front for part in parts]))
    ra, rb = np.array([part.ra for part in parts]), np.array([part.rb for part in parts])
    flat = np.array([part.flat for part in parts])
    rows = _rows(a, b, front, ra, rb, flat)
    reach = np.maximum(ra, rb) * np.maximum(1.0, flat)
    low = np.minimum(a, b)[..., :2] - reach[:, None]
    high = np.maximum(a, b)[..., :2] + reach[:, None]
    table = torch.from_numpy(rows.astype(np.float32)).to(device)
    return Solids(table, low, high, [part.hem for part in parts])


def _rows(
    a: np.ndarray, b: np.ndarray, front: np.ndarray, ra: np.ndarray, rb: np.ndarray, flat: np.ndarray
) -> np.ndarray:
    """(t, p, len(ROW)) geometry per frame and part."""
    along = b - a
    axis = np.linalg.norm(along, axis=-1, keepdims=True) + 1e-6
    e_axis = (along + np.array([0, -1e-6, 0])) / axis
    e_axis = e_axis / np.linalg.norm(e_axis, axis=-1, keepdims=True)
    e_front = front - (front * e_axis).sum(-1, keepdims=True) * e_axis
    e_front = e_front / (np.linalg.norm(e_front, axis=-1, keepdims=True) + 1e-9)
    e_side = np.cross(e_axis, e_front)
    squeeze = np.stack([e_side, e_axis, e_front / flat[:, None]], axis=-2)  # (t, p, 3, 3): to part space
    ray = squeeze[..., 2]  # part-space direction of the camera's z
    length = np.linalg.norm(ray, axis=-1, keepdims=True)
    n = ray / length
    u = np.stack([n[..., 2], 0 * n[..., 0], -n[..., 0]], -1)  # level in part space: the axis has no u
    size = np.linalg.norm(u, axis=-1, keepdims=True)
    u = np.where(size > 1e-6, u / np.maximum(size, 1e-6), np.array([1.0, 0.0, 0.0]))
    v = np.cross(n, u)
    basis = np.stack([u, v, n], axis=-2)
    g = basis @ squeeze  # (t, p, 3, 3)
    start = np.einsum("tpij,tpj->tpi", g, a)
    dv, dn = axis[..., 0] * v[..., 1], axis[..., 0] * n[..., 1]
    dr = np.broadcast_to(rb - ra, dv.shape)
    alpha = np.maximum(dv**2 - dr**2, 1e-8)
    tilt = dn / np.sqrt(alpha * (alpha + dn**2))
    columns = [
        g[..., 0, 0], g[..., 0, 1], -start[..., 0], g[..., 1, 0], g[..., 1, 1], -start[..., 1],
        g[..., 2, 0], g[..., 2, 1], -start[..., 2], length[..., 0], np.broadcast_to(ra, dv.shape), dr, dv,
        dn, alpha, tilt,
        v[..., 1], n[..., 1], axis[..., 0], u[..., 0], u[..., 2], v[..., 0], v[..., 2], n[..., 0], n[..., 2],
        *np.moveaxis(e_side, -1, 0), *np.moveaxis(e_axis, -1, 0), *np.moveaxis(e_front / flat[:, None], -1, 0),
    ]  # fmt: skip
    return np.stack(columns, -1)


def cast(
    solids: Solids,
    xs: Float[Tensor, "t w"],  # metres of each column's centre
    ys: Float[Tensor, "t h"],  # metres of each row's centre, falling
) -> tuple[Float[Tensor, "t h w"], Int[Tensor, "t h w"]]:
    """Depth toward the camera (FAR where nothing is hit) and the number of the part seen (-1 for none)."""
    t, w = xs.shape
    h = ys.shape[1]
    depth = torch.full((t, h, w), FAR, device=xs.device)
    seen = torch.full((t, h, w), -1, dtype=torch.int64, device=xs.device)
    columns, rows = (
        _ranges(solids.low[..., 0], solids.high[..., 0], xs, False),
        _ranges(solids.low[..., 1], solids.high[..., 1], ys, True),
    )
    for part, hem in enumerate(solids.hem):
        (x0, x1), (y0, y1) = columns[part], rows[part]
        if x0 >= x1 or y0 >= y1:
            continue
        hit, z = _meet(solids.rows[:, part], xs[:, None, x0:x1], ys[:, y0:y1, None], hem)
        place = depth[:, y0:y1, x0:x1]
        nearer = hit & (z > place)
        place.copy_(torch.where(nearer, z, place))
        seen[:, y0:y1, x0:x1].masked_fill_(nearer, part)
    return depth, seen


def _meet(
    rows: Float[Tensor, "t k"], x: Float[Tensor, "t 1 w"], y: Float[Tensor, "t h 1"], hem: bool
) -> tuple[Tensor, Float[Tensor, "t h w"]]:
    """Where rays meet one part, and at which depth."""
    c = {name: rows[:, i, None, None] for name, i in COLUMN.items()}
    qu = x * c["gux"] + (y * c["guy"] + c["gu0"])
    qv = x * c["gvx"] + (y * c["gvy"] + c["gv0"])
    b = qv * c["dv"] + c["ra"] * c["dr"]
    level = c["ra"] ** 2 - qu * qu - qv * qv
    top = level + b * b / c["alpha"]
    s = (b / c["alpha"] + c["tilt"] * top.clamp(min=0).sqrt()).clamp_(0, 1)
    r = c["ra"] + c["dr"] * s
    e = qv - s * c["dv"]
    inside = r * r - qu * qu - e * e
    zn = s * c["dn"] + inside.clamp(min=0).sqrt()
    z = (zn - (x * c["gnx"] + (y * c["gny"] + c["gn0"]))) / c["length"]
    hit = inside > 0
    if hem:
        hit = hit & (qv * c["vy"] + zn * c["ny"] <= c["axis"])
    return hit, z


def _ranges(low: np.ndarray, high: np.ndarray, centres: Tensor, falling: bool) -> list[tuple[int, int]]:
    """For each part the span of rows or columns that it can touch in any frame."""
    grid = centres.cpu().numpy()
    n = grid.shape[1]
    step = (grid[:, -1] - grid[:, 0]) / (n - 1)
    first = (low - grid[:, :1]) / step[:, None]
    last = (high - grid[:, :1]) / step[:, None]
    if falling:
        first, last = last, first
    start = np.clip(np.floor(first.min(0)), 0, n).astype(int)
    stop = np.clip(np.ceil(last.max(0)) + 1, 0, n).astype(int)
    return list(zip(start.tolist(), stop.tolist(), strict=True))
