"""Exact silhouettes and depths of rounded cones, for all frames of a walk at once, by parallel rays.

A part is the envelope of balls C(s) = A + s (B - A), r(s) = ra + s (rb - ra), 0 <= s <= 1, in a space squeezed along
the part's front axis. Along a ray, depth is the maximum over s of a concave function, which has a closed form; each
part is tested only inside its own box. Camera coordinates: x right, y up, z toward the camera, metres.
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

    table (k, p, t): the numbers for the rays, named by ROW; low and high: corners of each part's box in metres.
    """

    table: Float[Tensor, "k p t"]
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
    n = len(to_camera)
    ra, rb, flat = (
        np.stack([np.broadcast_to(getattr(part, name), n) for part in parts], axis=1) for name in ("ra", "rb", "flat")
    )  # (t, p)
    rows = _rows(a, b, front, ra, rb, flat)
    reach = np.maximum(ra, rb) * np.maximum(1.0, flat)
    low = np.minimum(a, b)[..., :2] - reach[..., None]
    high = np.maximum(a, b)[..., :2] + reach[..., None]
    table = torch.from_numpy(np.ascontiguousarray(rows.transpose(2, 1, 0), dtype=np.float32)).to(device)
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
    squeeze = np.stack([e_side, e_axis, e_front / flat[..., None]], axis=-2)  # (t, p, 3, 3): to part space
    ray = squeeze[..., 2]  # part-space direction of the camera's z
    length = np.linalg.norm(ray, axis=-1, keepdims=True)
    n = ray / length
    u = np.stack([n[..., 2], 0 * n[..., 0], -n[..., 0]], -1)  # perpendicular to the axis
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
        *np.moveaxis(e_side, -1, 0), *np.moveaxis(e_axis, -1, 0), *np.moveaxis(e_front / flat[..., None], -1, 0),
    ]  # fmt: skip
    return np.stack(columns, -1)


def cast(
    solids: Solids,
    xs: Float[Tensor, "t w"],  # metres of each column's centre
    ys: Float[Tensor, "t h"],  # metres of each row's centre, falling
) -> tuple[Float[Tensor, "t h w"], Int[Tensor, "t h w"]]:
    """Depth toward the camera (FAR where nothing is hit) and the index of the visible part (-1 for none)."""
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
        hit, z = _meet(solids.table[:, part, :, None, None], xs[:, None, x0:x1], ys[:, y0:y1, None], hem)
        place = depth[:, y0:y1, x0:x1]
        nearer = hit & (z > place)
        place.copy_(torch.where(nearer, z, place))
        seen[:, y0:y1, x0:x1].masked_fill_(nearer, part)
    return depth, seen


def _meet(
    columns: Float[Tensor, "k t 1 1"], x: Float[Tensor, "t 1 w"], y: Float[Tensor, "t h 1"], hem: bool
) -> tuple[Tensor, Float[Tensor, "t h w"]]:
    """A mask of the rays that hit one part, and their depths."""
    gux, guy, gu0, gvx, gvy, gv0, gnx, gny, gn0, length, ra, dr, dv, dn, alpha, tilt, vy, ny, axis = columns.unbind()[
        :19
    ]
    qu = x * gux + (y * guy + gu0)
    qv = x * gvx + (y * gvy + gv0)
    across = qu.mul_(qu)  # only the square is needed
    b = (qv * (dv / alpha)).add_(ra * dr / alpha)
    top = (b * b).mul_(alpha).sub_(qv * qv).sub_(across).add_(ra * ra)
    s = top.clamp_(min=0).sqrt_().mul_(tilt).add_(b).clamp_(0, 1)
    r = (s * dr).add_(ra)
    e = qv - s * dv
    inside = r.mul_(r).sub_(across).sub_(e.mul_(e))
    hit = inside > 0
    zn = s.mul_(dn).add_(inside.clamp_(min=0).sqrt_())
    if hem:
        hit = hit.logical_and_((qv * vy).add_(zn * ny) <= axis)
    return hit, zn.sub_(x * gnx + (y * gny + gn0)).div_(length)


def _ranges(low: np.ndarray, high: np.ndarray, centres: Tensor, falling: bool) -> list[tuple[int, int]]:
    """The range of rows or columns that each part can cover in any frame."""
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
