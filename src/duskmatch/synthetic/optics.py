"""A camera's effect on light: lens, exposure or lamp, sensor noise, tone curve, eight bits."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from duskmatch.synthetic.cameras import Camera


def blurred(light: Float[Tensor, "t c h w"], sigma: float) -> Float[Tensor, "t c h w"]:
    """A separable Gaussian blur of a few taps, with replicated borders."""
    if sigma < 0.2:
        return light
    reach = max(1, round(2.2 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).tolist()
    for axis in (2, 3):
        n = light.shape[axis]
        first, last = light.narrow(axis, 0, 1), light.narrow(axis, n - 1, 1)
        padded = torch.cat([first] * reach + [light] + [last] * reach, dim=axis)
        light = weights[0] * padded.narrow(axis, 0, n)
        for k in range(1, len(weights)):
            light = light.add_(padded.narrow(axis, k, n), alpha=weights[k])
    return light


def vignette(camera: Camera, h: int, w: int, device: torch.device) -> Float[Tensor, "h w"]:
    """A factor that darkens the corners, slightly, as the crop is only a part of the whole picture."""
    y = torch.linspace(-1, 1, h, device=device)[:, None]
    x = torch.linspace(-0.5, 0.5, w, device=device)[None]
    return 1 - camera.vignette * (x * x + y * y) * 0.6


def lamp_spot(camera: Camera, h: int, w: int, device: torch.device) -> Float[Tensor, "h w"]:
    """The infrared lamp's light, brightest in the middle."""
    y = torch.linspace(0, 1, h, device=device)[:, None] - camera.lamp_centre[1]
    x = (torch.linspace(0, 1, w, device=device)[None] - camera.lamp_centre[0]) * 0.5
    return torch.exp(-(x * x + y * y) / (2 * (0.55 * camera.lamp_width) ** 2))


def developed(
    light: Float[Tensor, "t c h w"], noise: Float[Tensor, "t c h w"], curve: float
) -> UInt8[Tensor, "t h w c"]:
    """Pictures of eight bits: light through the tone curve, plus noise that is stronger in the dark.

    The curve is a square root that flattens before it clips, much like that of cameras.
    """
    light = light.clamp(min=0)
    value = (light * (1 + 0.18 * light) / (1 + light * light * 0.45 + 0.18 * light)).clamp_(0, 1).sqrt_()
    value = (value - 0.5) * curve + 0.5
    value = value + noise * (1.5 - value)
    return (value * 255 + 0.5).clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
