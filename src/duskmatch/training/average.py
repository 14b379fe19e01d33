"""An exponential moving average of the weights, beside the trained ones.

Differs: not in the paper.
"""

from __future__ import annotations

import copy

import torch

from duskmatch.models import Network


class Average:
    """Holds `model`, a copy whose weights and running statistics follow those of the trained network."""

    def __init__(self, trained: Network, decay: float) -> None:
        """Begins as a copy of `trained`."""
        self.model, self.decay = copy.deepcopy(trained), decay
        self.model.requires_grad_(False)

    @torch.no_grad()
    def follow(self, trained: Network, step: int) -> None:
        """Moves towards the weights after iteration `step`, counted from 0."""
        share = 1 - decay_at(self.decay, step)
        for own, new in zip(self.model.state_dict().values(), trained.state_dict().values(), strict=True):
            if own.is_floating_point():
                own.lerp_(new, share)
            else:
                own.copy_(new)  # a normalisation's number of batches


def decay_at(decay: float, step: int) -> float:
    """The weight of the old average in an update: small at first, so that the random start soon fades.

    Source: min(decay, (1 + n) / (10 + n)) after n updates, the warm-up of TensorFlow's ExponentialMovingAverage.
    """
    return min(decay, (1 + step) / (10 + step))
