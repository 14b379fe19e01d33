"""The mean over the positions of feature maps, plain or generalised, and over the frames of a clip."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

LEAST = 1e-6  # smaller values are raised to it


def over_positions(maps: Float[Tensor, "... h w"], power: float | None = None) -> Float[Tensor, "..."]:
    """The mean over h and w; with a power p the generalised mean, (mean of x^p)^(1/p), from the mean (p = 1) upwards.

    It is computed in fp32, whatever the precision of the maps: distances between pooled vectors are small differences
    of large numbers. With a power, values are clamped to 1e-6 at least, as CMCA's branch can make maps negative.

    Source: Radenovic et al. 2018, "Fine-tuning CNN Image Retrieval with No Human Annotation", section 3.2; p = 3,
    fixed, as in LbA (Park et al. 2021). Differs: the paper has the plain mean.
    """
    if power is None:
        return maps.mean(dim=(-2, -1), dtype=torch.float32)  # no copy of the maps in fp32
    return maps.float().clamp_min(LEAST).pow(power).mean(dim=(-2, -1)).pow(1 / power)


def pool_clip(maps: Float[Tensor, "n d h w"], n_frames: int, power: float | None = None) -> Float[Tensor, "b d"]:
    """The mean over positions (`power`: the generalised one), then over the frames of each clip.

    Source: paper, GAP of Eqs. 4 and 8.
    """
    return over_positions(maps, power).reshape(-1, n_frames, maps.shape[1]).mean(dim=1)
