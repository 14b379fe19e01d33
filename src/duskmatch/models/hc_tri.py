"""Hetero-centre triplet: the centre of a person's clips in one modality near that in the other, far from others'.

| paper | here |
|---|---|
| c_v^i, c_t^i | `centres` |
| L_hc_tri | `hetero_centre_triplet` |

Source: Liu, Tan, Zhou, "Parameter Sharing Exploration and Hetero-Center Triplet Loss for Visible-Thermal Person
Re-Identification", IEEE TMM 2020. Differs: one vector for the whole person, without the paper's stripes; clips.
"""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from duskmatch.config import Settings
from duskmatch.losses import in_fp32
from duskmatch.models.common_losses import CommonLosses, Seen
from duskmatch.models.frames import IDENTITY_ACCURACY, FrameNetwork, see
from duskmatch.models.method import ALONE, AllProcesses, SubStep, Term
from duskmatch.models.network import Due, every_part


class HeteroCentreTriplet(FrameNetwork):
    """Two stems, shared stages, one neck; only the loss is its own."""

    logged = ("identity", "centre_triplet", "identity_accuracy")


@in_fp32
def centres(vectors: Float[Tensor, "b d"], labels: Int64[Tensor, " b"]) -> Float[Tensor, "p d"]:
    """The mean vector of each person, in the order of their labels."""
    people, whose = torch.unique(labels, return_inverse=True)
    own = F.one_hot(whose, len(people)).to(vectors.dtype)  # (b p)
    return own.T @ vectors / own.sum(dim=0)[:, None]


@in_fp32
def hetero_centre_triplet(
    visible: Float[Tensor, "b d"],
    infrared: Float[Tensor, "b d"],  # row i the same pid as above
    labels: Int64[Tensor, " b"],
    *,
    margin: float,
) -> Float[Tensor, ""]:
    """The sum over people and modalities of [margin + own centre of the other modality - nearest other's centre]_+.

    Source: L_hc_tri; distances are Euclidean, the nearest other is sought in both modalities.
    """
    v, t = centres(visible, labels), centres(infrared, labels)
    everyone, n = torch.cat([v, t]), len(v)
    dist = (everyone[:, None] - everyone[None, :]).square().sum(dim=2).clamp_min(1e-12).sqrt()  # (2p 2p)
    person = torch.arange(n, device=v.device).repeat(2)
    others = dist.masked_fill(person[:, None] == person[None, :], torch.inf).amin(dim=1)
    own = dist.diagonal(n).repeat(2)  # c_v^i to c_t^i, which both of them have
    return F.relu(margin + own - others).sum()


def updates(model: HeteroCentreTriplet, settings: Settings, due: Due, processes: AllProcesses = ALONE) -> list[SubStep]:
    """One update of everything: cross entropy behind the neck, the centres before it."""

    def of_centres(seen: Seen) -> Tensor:
        (visible, infrared), (labels, _) = seen.pooled.chunk(2), seen.labels.chunk(2)
        return hetero_centre_triplet(visible, infrared, labels, margin=settings.loss.margin)

    losses = CommonLosses(settings.loss, processes)
    terms = (Term("identity", 1.0, losses.identity), Term("centre_triplet", 1.0, of_centres))
    return [SubStep("main", every_part(model), partial(see, model), terms, (IDENTITY_ACCURACY,))]
