"""The enhanced squared difference (CAJL): every pair of a batch counts, the hard ones more."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from duskmatch.losses.precision import in_fp32
from duskmatch.losses.triplet import pairs, pairwise_distance

MOST = 88.0  # exp of more is no fp32 number


@in_fp32
def squared_difference_loss(
    embeddings: Float[Tensor, "n d"],
    labels: Int64[Tensor, "n"],
    *,
    gamma: float = 1.0,
    normalised: bool = True,
) -> Float[Tensor, ""]:
    """Mean over anchors of log(1 + exp(-y s)), s = min(gamma (d_p - d_n)^2, 88), y = 1 where d_n >= d_p, else -1.

    d_p, d_n: the anchor's mean distance to its positives and to its negatives, weighed by softmax of the distance, and
    of the distance taken negative: far positives and near negatives count most.

    Source: Ye et al. 2021; REFERENCE 5.5. Differs: vectors have length 1 first (`normalised`); without, s lies at 88
    from the first iteration on, where nothing is learnt.
    """
    dist = pairwise_distance(F.normalize(embeddings, dim=1) if normalised else embeddings, "euclidean")
    positive, negative, whole = pairs(labels)
    d_p = weighed(dist, dist, positive)[whole]
    d_n = weighed(dist, -dist, negative)[whole]
    s = (gamma * (d_p - d_n).square()).clamp_max(MOST)
    return F.softplus(torch.where(d_n >= d_p, -s, s)).mean()


@in_fp32
def weighed(
    dist: Float[Tensor, "n n"], scores: Float[Tensor, "n n"], counted: Bool[Tensor, "n n"]
) -> Float[Tensor, " n"]:
    """Each row's mean over what is counted, by softmax of the scores; 0 for a row where nothing is."""
    scores = scores.masked_fill(~counted, torch.finfo(scores.dtype).min)  # not infinite: rows may be empty
    return (scores.softmax(dim=1) * counted * dist).sum(dim=1)
