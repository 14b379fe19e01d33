"""Centre cluster loss (MPANet): clips of a person near their mean, the means of two people apart."""

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

    Source: MPANet (Wu et al. 2021), the centre cluster loss; REFERENCE 5.2 for its margin.
    """
    people, who = labels.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    if len(people) < 2:
        raise SettingsError("the centre cluster loss needs two people in the batch; raise train.pids_per_batch")
    chosen = F.one_hot(who, len(people)).to(embeddings)  # (n p)
    centres = chosen.T @ embeddings / chosen.sum(dim=0)[:, None]  # (p d)
    first, second = torch.triu_indices(len(people), len(people), offset=1, device=embeddings.device)
    apart = length(centres[first] - centres[second])
    return length(embeddings - centres[who]).mean() + F.relu(margin - apart).mean()


@in_fp32
def length(vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
    """Euclidean; the root's slope at 0 is infinite, and a person's only clip is its own centre."""
    return vectors.square().sum(dim=1).clamp_min(1e-12).sqrt()
