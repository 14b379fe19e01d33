"""What is measured of learned parts at their forward while they train: how much they differ between clips, how far
their gates are open, how large a branch is beside its trunk.

A network names its parts and their gauges (`Network.gauges`); training reads them on the iterations that it logs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

NEAR_0, NEAR_1 = 0.01, 0.99  # a gate under the one is shut, over the other open, whatever it is shown

# From a module's inputs and output to figures by their columns in log.csv.
Gauge = Callable[[tuple[Any, ...], Any], dict[str, Tensor]]


def deviation(clips: Float[Tensor, "b *rest"]) -> Float[Tensor, ""]:
    """How much something differs between clips: its standard deviation over them, root mean square over all else."""
    return clips.float().var(dim=0, unbiased=False).mean().sqrt()


def gate_figures(name: str, gate: Float[Tensor, "b *rest"], clips: Float[Tensor, "b *less"]) -> dict[str, Tensor]:
    """Shares of a gate's values near 0 and near 1, and how much what it is for each clip (`clips`) differs."""
    values = gate.float()
    return {
        f"{name}_low": (values < NEAR_0).float().mean(),
        f"{name}_high": (values > NEAR_1).float().mean(),
        f"{name}_deviation": deviation(clips),
    }


@torch.no_grad()
def branch_over_trunk(branch: Float[Tensor, "*shape"], trunk: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """|branch| / |trunk|: under 0.01 the branch has not opened."""
    return branch.float().norm() / trunk.float().norm().clamp_min(1e-12)  # type: ignore[no-any-return]
