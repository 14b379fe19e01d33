"""Random choices of a method's updates: a pure function of (seed, step), so that a resumed run makes the same."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from duskmatch.losses import in_fp32


class Draws:
    """The choices of one forward; each forward of an iteration begins with the same."""

    def __init__(self, seed: int, step: int) -> None:
        self.rng = np.random.Generator(np.random.Philox(key=[seed % 2**63, step], counter=[0, 0, 0, 1]))
        self.generator: torch.Generator | None = None

    @in_fp32
    def dropout(self, x: Tensor, share: float) -> Tensor:
        """Dropout by a generator that the first call seeds from `rng`."""
        if self.generator is None:
            self.generator = torch.Generator(x.device).manual_seed(int(self.rng.integers(2**63)))
        kept = torch.rand(x.shape, generator=self.generator, device=x.device) >= share
        return x * kept / (1 - share)
