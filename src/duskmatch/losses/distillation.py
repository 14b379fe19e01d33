"""Distillation: one prediction drawn towards another, both over the same people."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from duskmatch.losses.precision import in_fp32


@in_fp32
def distillation_loss(
    teacher: Float[Tensor, "n n_pids"],
    student: Float[Tensor, "n n_pids"],
) -> Float[Tensor, ""]:
    """Mean over clips of KL(p_teacher || p_student), both from logits, least (0) where they agree.

    The caller detaches the side that must not learn.

    Source: REFERENCE 5.2 (MPANet's agreement of modality classifiers), 5.4 (VSD's self-distillation).
    Differs: VSD's public code hands probabilities, in swapped places, to a function that takes logarithms first, which
    leaves almost no gradient; this is the divergence that its paper writes.
    """
    log_p, log_q = F.log_softmax(teacher, dim=1), F.log_softmax(student, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()
