"""Batch-hard triplet loss over both modalities: the paper's Eq. 10 and the forms that others use."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from duskmatch.errors import SettingsError
from duskmatch.losses.precision import in_fp32

TripletForm = Literal["squared", "euclidean", "squared_over_d"]


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


class Pairs(NamedTuple):
    """Who is whose positive and negative, row by row; no clip is its own positive."""

    positive: Bool[Tensor, "n n"]
    negative: Bool[Tensor, "n n"]
    whole: Bool[Tensor, " n"]  # rows that have one of both


def pairs(labels: Int64[Tensor, "n"]) -> Pairs:
    """By labels alone, for a distance that is no number must stay in the loss to be named."""
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
