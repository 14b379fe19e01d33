"""Attention between the nodes of a graph: each takes a mean of its neighbours, weighed by what both are.

Source: Velickovic et al. 2018, "Graph Attention Networks", Eqs. 1 to 4.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2  # of LeakyReLU below zero


class GraphAttention(nn.Module):
    """One head: (n d) -> (n out)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.transform = nn.Linear(channels, out, bias=False)
        self.asking, self.asked = nn.Linear(out, 1, bias=False), nn.Linear(out, 1, bias=False)

    def forward(
        self,
        nodes: Float[Tensor, "n d"],
        neighbours: Bool[Tensor, "n n"],  # row i: who node i listens to, one at least
        dropout: Callable[[Tensor], Tensor],
    ) -> Float[Tensor, "n out"]:
        """`dropout` is applied to the weights."""
        h = self.transform(nodes)
        scores = F.leaky_relu(self.asking(h) + self.asked(h).T, SLOPE)  # (n n): a . [h_i, h_j], its halves apart
        weights = scores.float().masked_fill(~neighbours, -float("inf")).softmax(dim=1)
        return dropout(weights).to(h.dtype) @ h  # type: ignore[no-any-return]
