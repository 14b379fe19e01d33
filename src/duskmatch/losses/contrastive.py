"""Contrastive loss between the modalities: visible clips among infrared ones, and the other way round."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from duskmatch.losses.precision import in_fp32


@in_fp32
def cross_modal_contrastive_loss(
    visible: Float[Tensor, "b d"],
    infrared: Float[Tensor, "b d"],  # row i the same pid as above
    labels: Int64[Tensor, "b"],
    *,
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """Mean of both directions' cross entropies of finding a clip's own person among the clips of the other modality.

    Similarities are cosines.

    Source: Khosla et al. 2020, "Supervised Contrastive Learning", Eq. 2 (the mean over positives is outside of the
    logarithm). Differs: candidates are clips of the other modality alone, as in search; not in the paper.
    """
    unit_visible, unit_infrared = F.normalize(visible, dim=1), F.normalize(infrared, dim=1)
    sim = unit_visible @ unit_infrared.T / temperature  # (b b), visible clips are queries
    same = labels[:, None] == labels[None, :]  # symmetric, with a True diagonal: every row has a positive
    return (towards_own(sim, same) + towards_own(sim.T, same)) / 2


@in_fp32
def towards_own(sim: Float[Tensor, "b b"], same: Bool[Tensor, "b b"]) -> Float[Tensor, ""]:
    """Mean over rows of -log softmax, averaged over the row's positives."""
    log_share = F.log_softmax(sim, dim=1)
    return -((log_share * same).sum(dim=1) / same.sum(dim=1)).mean()
