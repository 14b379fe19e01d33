"""The base of every backbone's encoder: four stages after a stem, run one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Encoder(nn.Module):
    """Four stages: (n c h4 w4) -> (n d h16 w16) with last stride 1, (n d h32 w32) with 2. A subclass builds them.

    stage_channels: the width after each of the four; fresh: prefixes of the tensors that published weights lack, which
    keep their random initialisation.
    """

    fresh: tuple[str, ...] = ()

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential
    stage_channels: tuple[int, ...]

    def __init__(self) -> None:
        super().__init__()
        self.recompute = False  # True: activations of a stage are recomputed in the backward pass, not kept

    def set_stages(self, stages: Sequence[nn.Sequential], channels: tuple[int, ...]) -> None:
        """Sets the four stages and the width after each."""
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.stage_channels = channels

    @property
    def channels3(self) -> int:
        return self.stage_channels[2]

    @property
    def channels(self) -> int:
        """d, the width after the last stage."""
        return self.stage_channels[3]

    def to_stage3(self, shallow: Float[Tensor, "n c h4 w4"]) -> Float[Tensor, "n d3 h16 w16"]:
        """E_def3: the first three stages."""
        return self.run(self.layer3, self.run(self.layer2, self.run(self.layer1, shallow)))

    def stage4(self, maps3: Float[Tensor, "n d3 h16 w16"]) -> Float[Tensor, "n d h w"]:
        """ConLa_4: the last stage."""
        return self.run(self.layer4, maps3)

    def run(self, stage: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Runs one stage, with recomputed activations if `recompute` is set."""
        if self.recompute and torch.is_grad_enabled():  # stages have no randomness, so no generator state
            return checkpoint(stage, x, use_reentrant=False, preserve_rng_state=False)  # type: ignore[no-any-return]
        return stage(x)

    def forward(self, shallow: Float[Tensor, "n c h4 w4"]) -> Float[Tensor, "n d h w"]:
        return self.stage4(self.to_stage3(shallow))
