"""Augmentation of clips by their colour channels, on the device, with one draw per clip."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from duskmatch.pixels import LUMA

MEAN_COLOUR = (124, 116, 104)  # ImageNet's, 0 after normalisation
AREA, ASPECT = (0.02, 0.4), 0.3  # of a blanked rectangle: range of its share of the picture, least height over width


def one_channel(
    clips: UInt8[Tensor, "b t 3 h w"], rng: np.random.Generator, *, grey: bool = False
) -> UInt8[Tensor, "b t 3 h w"]:
    """Each clip with one of its channels copied to all three; with `grey`, one clip in 4 becomes its brightness.

    Source: CAJL (Ye et al. 2021) and its public code.
    """
    choices = rng.integers(4 if grey else 3, size=len(clips))
    chosen = [
        brightness(clip) if choice == 3 else clip[:, choice : choice + 1]
        for clip, choice in zip(clips, choices, strict=True)
    ]
    return torch.stack(chosen).expand(clips.shape)


def brightness(clip: UInt8[Tensor, "t 3 h w"]) -> UInt8[Tensor, "t 1 h w"]:
    luma = torch.tensor(LUMA, device=clip.device).view(3, 1, 1)
    return (clip * luma).sum(dim=1, keepdim=True).round().to(torch.uint8)


def erased(clips: UInt8[Tensor, "b t 3 h w"], share: float, rng: np.random.Generator) -> UInt8[Tensor, "b t 3 h w"]:
    """The clips, about this share of which have a rectangle blanked, at the same place in all frames.

    Source: CAJL's public code; the rectangle as in Zhong et al. 2017, "Random Erasing Data Augmentation".
    """
    clips = clips.clone()
    colour = torch.tensor(MEAN_COLOUR, dtype=torch.uint8, device=clips.device).view(3, 1, 1)
    h, w = clips.shape[-2:]
    for clip, draw in zip(clips, rng.random((len(clips), 5)), strict=True):
        area = (AREA[0] + (AREA[1] - AREA[0]) * draw[1]) * h * w
        aspect = math.exp(math.log(ASPECT) * (2 * draw[2] - 1))
        height, width = (
            min(max(round(math.sqrt(side)), 1), most) for side, most in ((area * aspect, h), (area / aspect, w))
        )
        top, left = int(draw[3] * (h - height + 1)), int(draw[4] * (w - width + 1))
        if draw[0] < share:
            clip[..., top : top + height, left : left + width] = colour
    return clips
