"""The last layer of a compacted network: a learned projection of the embedding to fewer numbers.

Differs: not in the paper, whose j_d is up to 12,288 wide. `duskmatch compact` learns it once the network is trained.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from duskmatch.losses import in_fp32
from duskmatch.records import Modality


class Compaction(nn.Module):
    """Subtracts the modality's mean, projects, and scales to length 1; random until its weights are filled in."""

    mean_visible: Tensor
    mean_infrared: Tensor

    def __init__(self, full_width: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.empty(width, full_width), requires_grad=False)
        nn.init.normal_(self.weight, std=full_width**-0.5)
        self.register_buffer("mean_visible", torch.zeros(full_width))
        self.register_buffer("mean_infrared", torch.zeros(full_width))

    @in_fp32
    def forward(self, whole: Float[Tensor, "b d"], modality: Modality) -> Float[Tensor, "b k"]:
        mean = self.mean_visible if modality == "visible" else self.mean_infrared
        return nn.functional.normalize((whole - mean) @ self.weight.T, dim=1)
