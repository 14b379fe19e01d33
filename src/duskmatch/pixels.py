"""Pixels as they enter a network: normalised, in grey or in colours, with or without local contrast."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

# Source: ImageNet's channel statistics (RGB, of pixels in [0, 1]), which pretrained backbones expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)  # Source: ITU-R BT.601


def normalise(
    clips: UInt8[Tensor, "*n t 3 h w"],
    *,
    grey: bool = False,
    per_clip: bool = False,
    local_contrast: tuple[int, ...] = (),
) -> Float[Tensor, "*n t 3 h w"]:
    """Pixels as float32 with ImageNet's mean taken off and its deviation divided out.

    grey: colours are first reduced to their brightness, the part that infrared can share; per_clip: each clip's own
    mean and deviation are used instead, which removes exposure and the illuminator's strength; local_contrast: odd
    windows in pixels, each of which replaces one of the last channels by the contrast with the surroundings, which
    the two modalities share better than brightness.
    """
    pixels = clips.to(torch.float32, copy=True)
    if grey:
        luma = torch.tensor(LUMA, device=clips.device).view(3, 1, 1)
        pixels = (pixels * luma).sum(dim=-3, keepdim=True).expand(clips.shape)
    if per_clip:
        of_clip = (-4, -3, -2, -1)
        mean, std = pixels.mean(dim=of_clip, keepdim=True), pixels.std(dim=of_clip, keepdim=True)
        pixels = (pixels - mean) / std.clamp_min(1.0)  # a flat clip stays flat: one grey level is its least deviation
        return with_local_contrast(pixels, local_contrast) if local_contrast else pixels
    mean = 255 * torch.tensor(IMAGENET_MEAN, device=clips.device).view(3, 1, 1)
    std = 255 * torch.tensor(IMAGENET_STD, device=clips.device).view(3, 1, 1)
    shifted = pixels - mean if grey else pixels.sub_(mean)  # the grey view holds one channel in memory
    return shifted.div_(std)


def with_local_contrast(pixels: Float[Tensor, "*n 3 h w"], windows: tuple[int, ...]) -> Float[Tensor, "*n 3 h w"]:
    """The pixels, with the last channels replaced by the contrast of the first one, one for each window.

    Contrast: (value - window mean) / (window deviation + 0.3 of the clip's), so that noise in flat regions stays small.
    Source: divisive normalisation (Jarrett et al. 2009).
    """
    brightness = pixels[..., :1, :, :].flatten(0, -4)  # (n 1 h w)
    contrasts = []
    for window in windows:
        mean = box_mean(brightness, window)
        variance = box_mean(brightness.square(), window) - mean.square()
        contrasts.append((brightness - mean) / (variance.clamp_min(0).sqrt() + 0.3))
    kept = pixels[..., : 3 - len(windows), :, :].flatten(0, -4)
    return torch.cat([kept, *contrasts], dim=1).reshape(pixels.shape)


def box_mean(pictures: Float[Tensor, "n 1 h w"], window: int) -> Float[Tensor, "n 1 h w"]:
    """The mean over the part of a square around each pixel that lies inside the picture."""
    down, across = (window_weights(n, window, pictures.device) for n in pictures.shape[-2:])
    return down @ pictures @ across.T  # a product of bands: many times as fast as pooling with stride 1


def window_weights(n: int, window: int, device: torch.device) -> Float[Tensor, "n n"]:
    """Row i: equal weights for the places within half a window of i."""
    place = torch.arange(n, device=device)
    near = ((place[:, None] - place[None, :]).abs() <= window // 2).float()
    return near / near.sum(dim=1, keepdim=True)
