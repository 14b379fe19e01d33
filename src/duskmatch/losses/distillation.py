"""Losses between the predictions of two classifiers: KL divergence and Sinkhorn distance."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from duskmatch.losses.precision import in_fp32


@in_fp32
def distillation_loss(
    teacher: Float[Tensor, "n n_pids"],
    student: Float[Tensor, "n n_pids"],
) -> Float[Tensor, ""]:
    """Mean over clips of KL(p_teacher || p_student), both from logits; 0 if they agree.

    The caller detaches the side that must not learn.

    Source: MPANet (Wu et al. 2021), agreement of modality classifiers; VSD (Tian et al. 2021), self-distillation.
    Differs: VSD's public code passes probabilities, in swapped order, to a function that expects a logarithm first,
    which leaves almost no gradient; this is the divergence of its paper.
    """
    log_p, log_q = F.log_softmax(teacher, dim=1), F.log_softmax(student, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


@in_fp32
def sinkhorn_distance(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    *,
    epsilon: float = 0.01,
    n_iterations: int = 100,
) -> Float[Tensor, ""]:
    """Sum over all pairs of (transported mass) times (squared distance); all points of a set have the same mass.

    Source: Cuturi 2013, "Sinkhorn Distances", in logarithms; epsilon and iterations: VSD's public code.
    Differs: the plan is held fixed in the backward pass. That is the gradient of the regularised cost at its optimum
    (the envelope theorem), and needs no memory for 100 iterations.
    """
    cost = (a[:, None] - b[None, :]).square().sum(dim=-1)  # (n m)
    return (plan(cost.detach(), epsilon, n_iterations) * cost).sum()


@torch.no_grad()
@in_fp32
def plan(cost: Float[Tensor, "n m"], epsilon: float, n_iterations: int) -> Float[Tensor, "n m"]:
    """The transported mass of each pair: columns sum to 1/m exactly, rows to 1/n after many iterations."""
    n, m = cost.shape
    affinity = -cost / epsilon
    v = cost.new_zeros(m)
    for _ in range(n_iterations):
        u = -math.log(n) - torch.logsumexp(affinity + v[None, :], dim=1)
        v = -math.log(m) - torch.logsumexp(affinity + u[:, None], dim=0)
    return (affinity + u[:, None] + v[None, :]).exp()
