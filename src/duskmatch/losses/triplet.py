"""Losses on the distances between all vectors of a batch: triplet (Eq. 10), rank (VSD), squared difference (CAJL)."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from duskmatch.errors import SettingsError
from duskmatch.losses.precision import in_fp32

TripletForm = Literal["squared", "euclidean", "squared_over_d"]
MOST = 88.0  # exp of more overflows fp32


@in_fp32
def defense_triplet_loss(
    embeddings: Float[Tensor, "n d"],  # f_d of all n_b clips, both modalities
    labels: Int64[Tensor, "n"],
    *,
    margin: float = 0.3,
    form: str = "squared",  # a TripletForm
) -> Float[Tensor, ""]:
    """Mean over anchors of [d(anchor, hardest positive) - d(anchor, hardest negative) + margin]_+.

    `form` "squared": squared Euclidean distances, as printed; "euclidean": their roots, the group's habit (on the
    vector before its normalisation); "squared_over_d": the squares divided by the width.

    Source: paper, Eq. 10 (l_def_tri); hardest in the batch as in Hermans et al. 2017.
    """
    dist = pairwise_distance(embeddings, form)
    positive, negative, whole = pairs(labels)
    hardest_positive = dist.masked_fill(~positive, -torch.inf).amax(dim=1)
    hardest_negative = dist.masked_fill(~negative, torch.inf).amin(dim=1)
    return F.relu(hardest_positive - hardest_negative + margin)[whole].mean()


@in_fp32
def rank_loss(
    embeddings: Float[Tensor, "n d"],
    labels: Int64[Tensor, "n"],
    compared: Bool[Tensor, "n n"],  # row i: the rows that anchor i is compared with
    *,
    radius: float,  # alpha: other people must be farther than this
    margin: float,  # m: the person's own clips must be nearer than alpha - m
) -> Float[Tensor, ""]:
    """Mean over anchors of the excess of positives over alpha - m, plus that of alpha over negatives.

    Only pairs that violate their bound count. Positives are averaged; negatives are weighted by exp(alpha - distance),
    the nearest most. Vectors are scaled to length 1, distances are Euclidean.

    Source: Ranked List Loss (Wang et al. 2019) with the bounds of VSD's public code.
    Differs: the scale of the exponent is not known here and is 1; an anchor without a positive or a negative among
    `compared` adds nothing for it.
    """
    dist = pairwise_distance(F.normalize(embeddings, dim=1), "euclidean")
    same = labels[:, None] == labels[None, :]
    other = compared & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    too_far, too_near = dist - (radius - margin), radius - dist
    positives, negatives = other & same & (too_far > 0), other & ~same & (too_near > 0)
    weights = too_near.detach().exp() * negatives  # no gradient through weights
    return (averaged(too_far, positives.to(dist)) + averaged(too_near, weights)).mean()


@in_fp32
def averaged(values: Float[Tensor, "n n"], weights: Float[Tensor, "n n"]) -> Float[Tensor, "n"]:
    """The weighted mean of each row, 0 for a row without weights."""
    return (values * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1e-12)


@in_fp32
def squared_difference_loss(
    embeddings: Float[Tensor, "n d"],
    labels: Int64[Tensor, "n"],
    *,
    gamma: float = 1.0,
    normalised: bool = True,
) -> Float[Tensor, ""]:
    """Mean over anchors of log(1 + exp(-y s)), s = min(gamma (d_p - d_n)^2, 88), y = 1 where d_n >= d_p, else -1.

    d_p, d_n: the anchor's mean distance to its positives and to its negatives, weighted by the softmax of the distance
    and of the negated distance: far positives and near negatives count most.

    Source: CAJL (Ye et al. 2021) and its public code. Differs: vectors have length 1 first (`normalised`); otherwise
    s is 88 from the first iteration on, where the gradient is 0.
    """
    dist = pairwise_distance(F.normalize(embeddings, dim=1) if normalised else embeddings, "euclidean")
    positive, negative, whole = pairs(labels)
    d_p = weighted(dist, dist, positive)[whole]
    d_n = weighted(dist, -dist, negative)[whole]
    s = (gamma * (d_p - d_n).square()).clamp_max(MOST)
    return F.softplus(torch.where(d_n >= d_p, -s, s)).mean()


@in_fp32
def weighted(
    dist: Float[Tensor, "n n"], scores: Float[Tensor, "n n"], counted: Bool[Tensor, "n n"]
) -> Float[Tensor, " n"]:
    """Each row's mean over the counted columns, weighted by softmax of the scores; 0 for a row without any."""
    scores = scores.masked_fill(~counted, torch.finfo(scores.dtype).min)  # not infinite: rows may be empty
    return (scores.softmax(dim=1) * counted * dist).sum(dim=1)


class Pairs(NamedTuple):
    """Masks of positive and negative pairs, row by row; no clip is its own positive."""

    positive: Bool[Tensor, "n n"]
    negative: Bool[Tensor, "n n"]
    whole: Bool[Tensor, " n"]  # rows that have both


def pairs(labels: Int64[Tensor, "n"]) -> Pairs:
    """The pairs by labels alone: a NaN distance must stay in the loss, which is then reported."""
    same = labels[:, None] == labels[None, :]  # (n n)
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    whole = positive.any(dim=1) & (~same).any(dim=1)
    if not bool(whole.any()):
        raise SettingsError(
            "a triplet needs two clips of one person and one of another in the batch; "
            "raise train.pids_per_batch or train.tracklets_per_pid"
        )
    return Pairs(positive, ~same, whole)


@in_fp32
def pairwise_distance(embeddings: Float[Tensor, "n d"], form: str) -> Float[Tensor, "n n"]:
    """Distances between all rows in the named form."""
    if form not in get_args(TripletForm):
        raise SettingsError(f"loss.triplet must be one of {', '.join(get_args(TripletForm))}; got {form}")
    gram = embeddings @ embeddings.T
    norms = gram.diagonal()
    squared = (norms[:, None] + norms[None, :] - 2 * gram).clamp_min(0)  # rounding can leave -1e-7
    if form == "euclidean":
        return squared.clamp_min(1e-12).sqrt()  # the root's slope at 0 is infinite
    return squared / embeddings.shape[1] if form == "squared_over_d" else squared
