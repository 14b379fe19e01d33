"""Light on a figure: sun and sky by day, the camera's own lamp by night.

Only pixels that show the figure are computed. All light is linear; the camera's curve comes later, in `optics`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from duskmatch.synthetic.figure import MARKS, SLOTS, Part
from duskmatch.synthetic.raycast import COLUMN, FAR, Solids
from duskmatch.synthetic.textures import AT, pattern_mask, weave_relief

SKIN = SLOTS.index("skin")


@dataclass(frozen=True, slots=True)
class Light:
    """Directions in camera coordinates; strengths in linear light."""

    sun: tuple[float, float, float]
    sun_strength: float
    sky: float
    lamp: tuple[float, float, float] = (0.05, 0.18, 0.98)


@dataclass(frozen=True, slots=True)
class Surface:
    """The surface that the rays hit, one entry per pixel of the figure."""

    index: Int[Tensor, " n"]  # into the flattened (t h w) grid
    normal: Float[Tensor, "n 3"]
    across: Float[Tensor, " n"]
    along: Float[Tensor, " n"]
    s: Float[Tensor, " n"]
    angle: Float[Tensor, " n"]
    part: Int[Tensor, " n"]
    open_sky: Float[Tensor, " n"]


def surface(
    solids: Solids, parts: list[Part], xs: Float[Tensor, "t w"], ys: Float[Tensor, "t h"],
    depth: Float[Tensor, "t h w"], seen: Int[Tensor, "t h w"],
) -> Surface:  # fmt: skip
    """Normals and body coordinates of every pixel that shows the figure."""
    t, h, w = depth.shape
    index = torch.nonzero(seen.flatten() >= 0)[:, 0]
    line = index.div(w, rounding_mode="floor")
    frame = line.div(h, rounding_mode="floor")
    part, z = seen.flatten()[index], depth.flatten()[index]
    x, y = xs.flatten()[frame * w + index - line * w], ys.flatten()[line]
    place = part * t + frame
    c = {name: solids.table[i].flatten()[place] for name, i in COLUMN.items()}
    qu = x * c["gux"] + y * c["guy"] + c["gu0"]
    qv = x * c["gvx"] + y * c["gvy"] + c["gv0"]
    zn = z * c["length"] + x * c["gnx"] + y * c["gny"] + c["gn0"]
    b = qv * c["dv"] + c["ra"] * c["dr"]
    top = (c["ra"] ** 2 - qu * qu - qv * qv + b * b / c["alpha"]).clamp(min=0)
    s = (b / c["alpha"] + c["tilt"] * top.sqrt()).clamp(0, 1)
    e, f = qv - s * c["dv"], zn - s * c["dn"]  # away from the ball's centre: u, v, n
    side = qu * c["ux"] + e * c["vx"] + f * c["nx"]
    axial = e * c["vy"] + f * c["ny"]
    front = qu * c["uz"] + e * c["vz"] + f * c["nz"]
    normal = torch.stack(
        [(side * c[f"s{k}"]).addcmul_(axial, c[f"a{k}"]).addcmul_(front, c[f"f{k}"]) for k in "xyz"], 1
    )
    normal = F.normalize(normal, dim=1)
    angle = torch.atan2(side, front)
    start, end, girth, offset = (
        _of_parts(parts, part, value)
        for value in (lambda p: p.shade[0], lambda p: p.shade[1], lambda p: p.girth_m, lambda p: p.along_m)
    )
    shade = (start + (end - start) * s) * crevices(depth).flatten()[index]
    return Surface(index, normal, angle * girth, offset + s * c["axis"] + axial, s, angle, part, shade)


def _of_parts(parts: list[Part], part: Int[Tensor, " n"], value: Callable[[Part], float]) -> Float[Tensor, " n"]:
    """One number of the part that each pixel shows."""
    return torch.tensor([value(p) for p in parts], dtype=torch.float32, device=part.device)[part]


def crevices(depth: Float[Tensor, "t h w"]) -> Float[Tensor, "t h w"]:
    """A factor that darkens where another part is close in front, as under an arm or between the legs."""
    cell = max(2, depth.shape[1] // 48)  # coarse is enough: a crevice is soft
    there = depth > 0.5 * FAR
    known = torch.where(there, depth, torch.zeros_like(depth))
    pair = F.avg_pool2d(torch.stack([known, there.float()], 1), cell)
    pair = F.avg_pool2d(pair, 3, 1, 1)
    front = F.interpolate(pair[:, :1] / pair[:, 1:].clamp(min=1e-3), depth.shape[1:], mode="bilinear")[:, 0]
    return 1 - 0.45 * ((front - known - 0.01) / 0.10).clamp(0, 1)


def reflect(
    found: Surface, parts: list[Part], table: Float[Tensor, "slots k"], pixel_m: float
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Visible colour, infrared reflectance and gloss of every figure pixel."""
    slot = torch.where(
        found.s > _of_parts(parts, found.part, lambda p: p.cut),
        _of_parts(parts, found.part, lambda p: p.end_slot),
        _of_parts(parts, found.part, lambda p: p.slot),
    ).long()
    look = [column[slot] for column in table.T.contiguous()]
    mask = pattern_mask(look, found.across, found.along)
    relief = weave_relief(look, found.across, found.along) * _folds(found, slot, pixel_m)
    relief = relief * _marks(found, _of_parts(parts, found.part, lambda p: p.mark), slot)
    colour = torch.stack([(look[i] + (look[i + 3] - look[i]) * mask) * relief for i in range(3)], 1)
    infrared = look[AT["infrared"]] + (look[AT["infrared2"]] - look[AT["infrared"]]) * mask
    return colour, infrared * relief, look[AT["gloss"]]


def _folds(found: Surface, slot: Int[Tensor, " n"], pixel_m: float) -> Float[Tensor, " n"]:
    """Soft creases of cloth; skin has none."""
    phase = found.part.float() * 1.7
    wave = torch.sin(found.along * 31 + found.across * 13 + phase) * torch.sin(found.along * -17 + found.across * 25)
    depth = 0.13 / (1 + (25 * pixel_m) ** 2)
    return torch.where(slot == SKIN, 1.0, 1 + depth * wave)


def _marks(found: Surface, mark: Float[Tensor, " n"], slot: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Darkening drawn on single parts: eyes and mouth (the same for everyone), soles."""
    face = (mark == MARKS.index("face")) & (slot == SKIN)
    side = found.angle.abs()
    eyes = ((side - 0.42).abs() < 0.17) & ((found.s - 0.30).abs() < 0.16)
    brow = (side < 0.75) & ((found.s + 0.0) < 0.08) & (side > 0.2)
    mouth = (side < 0.28) & ((found.s - 0.93).abs() < 0.07)
    value = 1 - 0.62 * (face & eyes).float() - 0.25 * (face & brow).float() - 0.30 * (face & mouth).float()
    sole = (mark == MARKS.index("sole")) & (found.normal[:, 1] < -0.45)
    return value * (1 - 0.5 * sole.float())


def daylight(
    found: Surface, colour: Float[Tensor, "n 3"], gloss: Float[Tensor, " n"], light: Light
) -> Float[Tensor, "n 3"]:
    """The figure in the light of sun, sky and the ground's reflection."""
    normal = found.normal
    sun = torch.tensor(light.sun, device=normal.device)
    direct = light.sun_strength * (normal @ sun).clamp(min=0) * (0.35 + 0.65 * found.open_sky)
    height = normal[:, 1]
    sky = light.sky * found.open_sky * (0.62 + 0.38 * height)
    sky_tint = torch.tensor([0.93, 1.0, 1.12], device=normal.device)
    sun_tint = torch.tensor([1.06, 1.0, 0.90], device=normal.device)
    lit = direct[:, None] * sun_tint + sky[:, None] * sky_tint
    half = F.normalize(sun + torch.tensor([0.0, 0.0, 1.0], device=normal.device), dim=0)
    shine = gloss * ((normal @ half).clamp(min=0) ** 24 * light.sun_strength * 0.9 + 0.10 * light.sky * (1 + height))
    return colour * lit + (shine * found.open_sky)[:, None] * 0.55


def lamplight(
    found: Surface, infrared: Float[Tensor, " n"], gloss: Float[Tensor, " n"], light: Light
) -> Float[Tensor, " n"]:
    """The figure in the light of the lamp beside the lens, which is dark where the surface turns away."""
    lamp = torch.tensor(light.lamp, device=infrared.device)
    lamp = F.normalize(lamp, dim=0)
    facing: Tensor = (found.normal @ lamp).clamp(min=0)
    shine = gloss * facing.pow(30) * 0.55
    return infrared * (0.06 + 0.94 * facing.pow(0.85)) * (0.45 + 0.55 * found.open_sky) + shine * found.open_sky


def scatter(
    found: Surface, values: Float[Tensor, "n c"], shape: tuple[int, int, int], shrink: int
) -> Float[Tensor, "t c h w"]:
    """Values on the picture's grid, averaged down by `shrink`; zero outside of the figure."""
    t, h, w = shape
    grid = torch.zeros(values.shape[1], t * h * w, device=values.device)
    grid.index_copy_(1, found.index, values.T.contiguous())
    grid = grid.view(-1, t, h, w)
    return (F.avg_pool2d(grid, shrink) if shrink > 1 else grid).transpose(0, 1)


def unit(vector: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(part) for part in vector / np.linalg.norm(vector))
    return x, y, z
