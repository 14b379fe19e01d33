"""Losses on people's mean vectors: the centre cluster loss (MPANet) and the hetero-centre triplet."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from duskmatch.errors import SettingsError
from duskmatch.losses.precision import in_fp32


@in_fp32
def centre_cluster_loss(
    embeddings: Float[Tensor, "n d"],
    labels: Int64[Tensor, "n"],
    *,
    margin: float = 0.7,
) -> Float[Tensor, ""]:
    """Mean over clips of |x - c_y|, plus mean over pairs of people of [margin - |c_i - c_j|]_+.

    c_y is the mean of the batch's clips of person y, both modalities together.

    Source: MPANet (Wu et al. 2021), the centre cluster loss; the margin is its public code's.
    """
    people, person = labels.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    if len(people) < 2:
        raise SettingsError("the centre cluster loss needs two people in the batch; raise train.pids_per_batch")
    means = centres(embeddings, person, len(people))
    first, second = torch.triu_indices(len(people), len(people), offset=1, device=embeddings.device)
    apart = length(means[first] - means[second])
    return length(embeddings - means[person]).mean() + F.relu(margin - apart).mean()


@in_fp32
def hetero_centre_triplet(
    visible: Float[Tensor, "b d"],
    infrared: Float[Tensor, "b d"],  # row i the same pid as above
    labels: Int64[Tensor, " b"],
    *,
    margin: float,
) -> Float[Tensor, ""]:
    """The sum over people and modalities of [margin + own centre of the other modality - nearest other's centre]_+.

    Source: L_hc_tri (Liu, Tan, Zhou 2020); distances are Euclidean; the nearest other is that of either modality.
    """
    people, person = labels.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    n = len(people)
    everyone = torch.cat([centres(visible, person, n), centres(infrared, person, n)])
    dist = length(everyone[:, None] - everyone[None, :])  # (2p 2p)
    who = people.repeat(2)
    others = dist.masked_fill(who[:, None] == who[None, :], torch.inf).amin(dim=1)
    own = dist.diagonal(n).repeat(2)  # c_v^i to c_t^i, for both
    return F.relu(margin + own - others).sum()


@in_fp32
def centres(vectors: Float[Tensor, "n d"], person: Int64[Tensor, "n"], n_people: int) -> Float[Tensor, "p d"]:
    """The mean vector of each person; `person`: the person of each row, from 0."""
    own = F.one_hot(person, n_people).to(vectors)  # (n p)
    return own.T @ vectors / own.sum(dim=0)[:, None]


@in_fp32
def length(vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
    """The Euclidean norm; clamped, as the root's slope at 0 is infinite and a person's only clip is its own centre."""
    return vectors.square().sum(dim=-1).clamp_min(1e-12).sqrt()
