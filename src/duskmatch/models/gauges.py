"""Measures of learned parts during training: their deviation between clips, how far their gates are open, and the
size of a branch relative to its trunk.

A network names its parts and their gauges (`Network.gauges`); training reads them on the iterations that it logs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

NEAR_0, NEAR_1 = 0.01, 0.99  # a gate below the first counts as closed, above the second as open
GATE_FIGURES = ("low", "high", "deviation")  # the columns of a gate, after its name

# (a module's inputs, its output) -> figures by their columns in log.csv
Gauge = Callable[[tuple[Any, ...], Any], dict[str, Tensor]]


def deviation(clips: Float[Tensor, "b *rest"]) -> Float[Tensor, ""]:
    """The standard deviation over clips, root mean square over all other axes."""
    return clips.float().var(dim=0, unbiased=False).mean().sqrt()


def gate_figures(name: str, gate: Float[Tensor, "b *rest"], clips: Float[Tensor, "b *less"]) -> dict[str, Tensor]:
    """Shares of a gate's values near 0 and near 1, and how much its means per clip (`clips`) differ."""
    values = gate.float()
    found = (values < NEAR_0).float().mean(), (values > NEAR_1).float().mean(), deviation(clips)
    return {f"{name}_{figure}": value for figure, value in zip(GATE_FIGURES, found, strict=True)}


@torch.no_grad()
def branch_over_trunk(branch: Float[Tensor, "*shape"], trunk: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """|branch| / |trunk|: under 0.01 the branch has hardly an effect."""
    return branch.float().norm() / trunk.float().norm().clamp_min(1e-12)  # type: ignore[no-any-return]
