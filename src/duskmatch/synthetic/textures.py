"""Tables of materials for lookup by pixels, and the weave and pattern at positions on the cloth.

Across and along are metres on the cloth. A wave fades as it gets finer than a pixel, as in a lens.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from duskmatch.synthetic.figure import SLOTS
from duskmatch.synthetic.materials import Material
from duskmatch.synthetic.people import Look

COLUMNS = ("red", "green", "blue", "red2", "green2", "blue2", "infrared", "infrared2", "gloss",
           "wave_u", "wave_v", "cross_u", "cross_v", "wave", "cross",
           "p_u", "p_v", "q_u", "q_v", "p", "q", "level", "sharp")  # fmt: skip
AT = {name: i for i, name in enumerate(COLUMNS)}


def material_table(look: Look, pixel_m: float, device: torch.device) -> Float[Tensor, "slots k"]:
    """One row for each material slot of parts, for pixels of this size."""
    inner = Material("cotton jersey", 0.78, 0.02, colour=look.hat_material.colour)
    named = {name: inner if name == "inner" else getattr(look, name) for name in SLOTS}
    rows = np.array([_row(named[name], pixel_m) for name in SLOTS], dtype=np.float32)
    return torch.from_numpy(rows).to(device)


def _row(material: Material, pixel_m: float) -> list[float]:
    wave, cross = np.array(material.wave), np.array(material.cross)
    p_u, p_v, q_u, q_v, p, q, level, sharp = _pattern(material.pattern, 1.0 / material.pattern_m)
    first, second = np.array([p_u, p_v]), np.array([q_u, q_v])
    turn = 2 * np.pi
    return [
        *material.colour, *material.second_colour, material.infrared, material.second_infrared, material.gloss,
        *(turn * wave), *(turn * cross),
        0.75 * material.contrast * _kept(wave, pixel_m), 0.45 * material.contrast * _kept(cross, pixel_m),
        *(turn * first), *(turn * second), p * _kept(first, pixel_m), q * _kept(second, pixel_m), level, sharp,
    ]  # fmt: skip


def _kept(wave: np.ndarray, pixel_m: float) -> float:
    """The share of a wave (cycles per metre) that is left after a pixel's Gaussian blur."""
    return float(np.exp(-2 * np.pi**2 * (wave @ wave) * (0.42 * pixel_m) ** 2))


def _pattern(kind: str, f: float) -> list[float]:
    """Two wave vectors (per metre), their weights, the level and the sharpness of the edge."""
    patterns: dict[str, list[float]] = {
        "plain": [0, 0, 0, 0, 0, 0, 9, 9],
        "hoops": [0, f, 0, 0, 1, 0, 0.1, 6],
        "stripes": [f, 0, 0, 0, 1, 0, 0.1, 6],
        "checks": [f, 0, 0, f, 0.7, 0.7, 0.15, 5],
        "dots": [f, 0, 0, f, 0.5, 0.5, 0.52, 9],
        "band": [0, 2.2, 0, 0, 1, 0, 0.55, 9],
        "diagonal": [0.7 * f, 0.7 * f, 0, 0, 1, 0, 0.1, 6],
    }
    return patterns[kind]


def waves(
    across: Float[Tensor, " n"], along: Float[Tensor, " n"], ku: Float[Tensor, " n"], kv: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """sin(k.x), with wave vectors in radians per metre."""
    return (across * ku).addcmul_(along, kv).sin_()


def pattern_mask(look: list[Tensor], across: Float[Tensor, " n"], along: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """0 for the pattern's first shade, 1 for the second; `look` holds the table's columns per pixel."""
    p = waves(across, along, look[AT["p_u"]], look[AT["p_v"]])
    q = waves(across, along, look[AT["q_u"]], look[AT["q_v"]])
    value = p * look[AT["p"]] + q * look[AT["q"]]
    return torch.sigmoid((value - look[AT["level"]]) * look[AT["sharp"]])


def weave_relief(look: list[Tensor], across: Float[Tensor, " n"], along: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The factor, around 1, by which the weave brightens or darkens the cloth."""
    wave = waves(across, along, look[AT["wave_u"]], look[AT["wave_v"]])
    cross = waves(across, along, look[AT["cross_u"]], look[AT["cross_v"]])
    return 1 + look[AT["wave"]] * wave + look[AT["cross"]] * cross
