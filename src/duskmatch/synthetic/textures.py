"""From materials to numbers a pixel can look up, and from body coordinates to weave and pattern.

Across and along are metres on the cloth. Each wave fades as it gets finer than a pixel, as a lens would have it.
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
           "wave_u", "wave_v", "cross_u", "cross_v", "contrast",
           "p_u", "p_v", "q_u", "q_v", "p", "q", "pq", "level", "sharp")  # fmt: skip
AT = {name: i for i, name in enumerate(COLUMNS)}


def material_table(look: Look, device: torch.device) -> Float[Tensor, "slots k"]:
    """One row for each slot a part can show."""
    inner = Material("cotton jersey", 0.78, 0.02, colour=look.hat_material.colour)
    named = {name: inner if name == "inner" else getattr(look, name) for name in SLOTS}
    rows = np.array([_row(named[name]) for name in SLOTS], dtype=np.float32)
    return torch.from_numpy(rows).to(device)


def _row(material: Material) -> list[float]:
    return [
        *material.colour, *material.second_colour, material.infrared, material.second_infrared, material.gloss,
        *material.wave, *material.cross, material.contrast, *_pattern(material.pattern, 1.0 / material.pattern_m),
    ]  # fmt: skip


def _pattern(kind: str, f: float) -> list[float]:
    """Two wave vectors (per metre), their weights, the product's weight, the level and the sharpness of the edge."""
    patterns: dict[str, list[float]] = {
        "plain": [0, 0, 0, 0, 0, 0, 0, 9, 9],
        "hoops": [0, f, 0, 0, 1, 0, 0, 0.1, 6],
        "stripes": [f, 0, 0, 0, 1, 0, 0, 0.1, 6],
        "checks": [f, 0, 0, f, 0.7, 0.7, 0.0, 0.15, 5],
        "dots": [f, 0, 0, f, 0.5, 0.5, 0.0, 0.52, 9],
        "band": [0, 2.2, 0, 0, 1, 0, 0, 0.55, 9],
        "diagonal": [0.7 * f, 0.7 * f, 0, 0, 1, 0, 0, 0.1, 6],
    }
    return patterns[kind]


def waves(
    across: Float[Tensor, " n"],
    along: Float[Tensor, " n"],
    ku: Float[Tensor, " n"],
    kv: Float[Tensor, " n"],
    pixel_m: float,
) -> Float[Tensor, " n"]:
    """sin(2 pi k.x), faded by a Gaussian the width of a pixel."""
    fade = torch.exp((ku * ku + kv * kv) * (-2 * np.pi**2 * (0.42 * pixel_m) ** 2))
    return torch.sin((across * ku + along * kv) * (2 * np.pi)) * fade


def pattern_mask(
    look: Float[Tensor, "n k"], across: Float[Tensor, " n"], along: Float[Tensor, " n"], pixel_m: float
) -> Float[Tensor, " n"]:
    """0 where the first shade shows, 1 where the second does."""
    p = waves(across, along, look[:, AT["p_u"]], look[:, AT["p_v"]], pixel_m)
    q = waves(across, along, look[:, AT["q_u"]], look[:, AT["q_v"]], pixel_m)
    value = p * look[:, AT["p"]] + q * look[:, AT["q"]] + p * q * look[:, AT["pq"]]
    return torch.sigmoid((value - look[:, AT["level"]]) * look[:, AT["sharp"]])


def weave_relief(
    look: Float[Tensor, "n k"], across: Float[Tensor, " n"], along: Float[Tensor, " n"], pixel_m: float
) -> Float[Tensor, " n"]:
    """Factor around 1 by which the weave's ridges and furrows brighten and darken the cloth."""
    wave = waves(across, along, look[:, AT["wave_u"]], look[:, AT["wave_v"]], pixel_m)
    cross = waves(across, along, look[:, AT["cross_u"]], look[:, AT["cross_v"]], pixel_m)
    return 1 + look[:, AT["contrast"]] * (0.75 * wave + 0.45 * cross)
