"""Dense alignment between the modalities (LbA): each position of a map rebuilt from a map of the other modality.

| LbA | here |
|---|---|
| matching probability, a softmax of cosines over the target's positions | `matching` |
| person mask M | `person_mask` |
| warp, w = sum of p times the target | `warped` |
| reconstruction, M w + (1 - M) f | `reconstructed` |
| co-attention A | `coattention` |
| dense triplet | `dense_triplet_loss` |

Source: Park et al. 2021, "Learning by Aligning: Visible-Infrared Person Re-identification using Cross-Modal
Correspondences"; public code cvlab-yonsei/LbA.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from duskmatch.losses.precision import in_fp32

SHARPNESS = 50.0  # of the softmax over positions
LEAST = 1e-12  # lower bound of divisors and of arguments of roots


@in_fp32
def matching(
    own: Float[Tensor, "n d h w"], target: Float[Tensor, "n d h w"], *, sharpness: float = SHARPNESS
) -> Float[Tensor, "n p q"]:
    """Row p: the probability that position q of the target matches position p of `own`."""
    unit, unit_target = (F.normalize(maps.flatten(2), dim=1) for maps in (own, target))
    return (sharpness * unit.transpose(1, 2) @ unit_target).softmax(dim=2)


@torch.no_grad()
@in_fp32
def person_mask(maps: Float[Tensor, "n d h w"]) -> Float[Tensor, "n 1 h w"]:
    """M: the person's mask, from 0 to 1, by the length of each position's vector; no gradient flows through it."""
    return stretched(torch.linalg.vector_norm(maps, dim=1, keepdim=True))


@in_fp32
def stretched(maps: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Each map scaled so that its smallest value is 0 and its largest 1; a flat map is 0."""
    least, most = maps.amin(dim=(2, 3), keepdim=True), maps.amax(dim=(2, 3), keepdim=True)
    return (maps - least) / (most - least).clamp_min(LEAST)


@in_fp32
def warped(match: Float[Tensor, "n p q"], target: Float[Tensor, "n d h w"]) -> Float[Tensor, "n d h w"]:
    """The target warped onto `own`: for each position the target's mean, weighted by the probabilities."""
    return (target.flatten(2) @ match.transpose(1, 2)).reshape(target.shape)


@in_fp32
def reconstructed(
    own: Float[Tensor, "n d h w"], target: Float[Tensor, "n d h w"], match: Float[Tensor, "n p q"]
) -> Float[Tensor, "n d h w"]:
    """`own` with its person rebuilt from the target, and its own background: M w + (1 - M) f."""
    mask = person_mask(own)
    return mask * warped(match, target) + (1 - mask) * own


@torch.no_grad()
@in_fp32
def coattention(
    own: Float[Tensor, "n d h w"], target: Float[Tensor, "n d h w"], match: Float[Tensor, "n p q"]
) -> Float[Tensor, "n 1 h w"]:
    """A: the mask of positions where both maps show a person, from 0 to 1; no gradient flows through it."""
    return stretched(person_mask(own) * warped(match, person_mask(target)))


@in_fp32
def dense_triplet_loss(
    own: Float[Tensor, "n d h w"],
    positive: Float[Tensor, "n d h w"],  # `own` rebuilt from the same person in the other modality
    negative: Float[Tensor, "n d h w"],  # and from another person
    attention: Float[Tensor, "n 1 h w"],
    *,
    margin: float = 0.3,
) -> Float[Tensor, ""]:
    """Mean over all positions of A [ |f - r_pos| - |f - r_neg| + margin ]_+, Euclidean over channels.

    Source: Park et al. 2021. Differs: the distance is over channels, and A keeps its axis; in the public code the axis
    depends on the library's version, and the product weights every picture by every mask.
    """
    hinge = F.relu(over_channels(own, positive) - over_channels(own, negative) + margin)
    return (attention * hinge).mean()


@in_fp32
def over_channels(a: Float[Tensor, "n d h w"], b: Float[Tensor, "n d h w"]) -> Float[Tensor, "n 1 h w"]:
    """The Euclidean distance of the vectors at each position; clamped, as the root's slope at 0 is infinite."""
    squared = (a - b).square().sum(dim=1, keepdim=True)
    return squared.clamp_min(LEAST).sqrt()
