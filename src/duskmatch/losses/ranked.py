"""Rank loss (VSD): an anchor's own person inside one radius, everybody else outside a larger one."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from duskmatch.losses.precision import in_fp32
from duskmatch.losses.triplet import pairwise_distance


@in_fp32
def rank_loss(
    embeddings: Float[Tensor, "n d"],
    labels: Int64[Tensor, "n"],
    compared: Bool[Tensor, "n n"],  # which rows an anchor is compared with
    *,
    radius: float,  # alpha: nobody else nearer than this
    margin: float,  # m: the person's own clips nearer than alpha - m
) -> Float[Tensor, ""]:
    """Mean over anchors of how far positives lie outside alpha - m, plus how far negatives lie inside alpha.

    Only pairs that break their bound count. Positives are averaged; negatives are weighed by exp(alpha - distance),
    so that the nearest speaks loudest. Vectors are brought to length 1, distances are Euclidean.

    Source: Ranked List Loss (Wang et al. 2019) with the bounds of REFERENCE 5.4.
    Differs: the scale of the exponent is not known here and is 1; an anchor without a positive or a negative among
    `compared` adds nothing for it.
    """
    dist = pairwise_distance(F.normalize(embeddings, dim=1), "euclidean")
    same = labels[:, None] == labels[None, :]
    other = compared & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    too_far, too_near = dist - (radius - margin), radius - dist
    positives, negatives = other & same & (too_far > 0), other & ~same & (too_near > 0)
    weights = too_near.detach().exp() * negatives  # a weight is no target: no gradient
    return (averaged(too_far, positives.to(dist)) + averaged(too_near, weights)).mean()


@in_fp32
def averaged(values: Float[Tensor, "n n"], weights: Float[Tensor, "n n"]) -> Float[Tensor, "n"]:
    """The weighted mean of each row, 0 for a row without weights."""
    return (values * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1e-12)
