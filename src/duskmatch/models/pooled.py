"""Body parts over time without recurrence: the control for FRM-STIG, to see whether LSTM_mot learns motion.

Pooling over time loses the order of frames. With as many parameters as both LSTMs and the maps of Eq. 12 together, a
head on pooled frames shows the gain from capacity alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from duskmatch.config import SelfAttackSettings
from duskmatch.health import POOLED
from duskmatch.losses import in_fp32
from duskmatch.models.gauges import Gauge, deviation
from duskmatch.models.parts import REDUCTION, of_parts

LEAST_VARIANCE = 1e-12  # the root's slope at 0 is infinite, and equal frames have no variance


def mean_and_deviation(parts: Float[Tensor, "b t k d"]) -> Float[Tensor, "b k 2*d"]:
    """Mean and deviation over frames; the variance divides by t, so that it is (almost) 0 for one frame."""
    average = parts.mean(dim=1, keepdim=True)
    variance = (parts - average).square().mean(dim=1)
    return torch.cat([average[:, 0], variance.clamp_min(LEAST_VARIANCE).sqrt()], dim=-1)


POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "pooled_mean": lambda parts: parts.mean(dim=1),
    "pooled_max": lambda parts: parts.amax(dim=1),
    "pooled_std": mean_and_deviation,
}


class PooledGuidance(nn.Module):
    """j_d as each part's mean feature plus a perceptron of the part's frames pooled over time.

    It has as many parameters as the full guidance; all parts share the perceptron, as they share LSTM_mot.

    Differs: not in the paper; in place of Eqs. 11-14, with Eq. 15's mean over frames and order of parts.
    """

    def __init__(self, channels: int, settings: SelfAttackSettings) -> None:
        super().__init__()
        self.pool = POOLS[settings.sequence]
        n_in = 2 * channels if settings.sequence == "pooled_std" else channels
        # parameters of the two layers: n_in h + h, and h d + d
        hidden = round((full_size(channels, settings.lstm_layers) - channels) / (n_in + channels + 1))
        self.perceptron = nn.Sequential(nn.Linear(n_in, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def gauges(self, n_parts: int) -> dict[nn.Module, Gauge]:
        """The deviations of the perceptron's output and of the parts' mean, to which it is added."""

        def of_perceptron(inputs: tuple[Tensor, ...], output: Float[Tensor, "b k d"]) -> dict[str, Tensor]:
            return {"pooled_deviation": deviation(output)}

        return {self.perceptron: of_perceptron, self: of_parts}

    def knock_outs(self) -> dict[str, tuple[nn.Module, ...]]:
        return {POOLED: (self.perceptron,)}

    @in_fp32
    def forward(self, parts: Float[Tensor, "b t k d"]) -> Float[Tensor, "b kd"]:
        return (parts.mean(dim=1) + self.perceptron(self.pool(parts))).flatten(1)  # type: ignore[no-any-return]


def full_size(channels: int, n_layers: int) -> int:
    """The number of parameters of the full `SpatialTemporalGuidance`: two LSTMs and the maps of Eq. 12."""
    lstm = n_layers * (8 * channels**2 + 8 * channels)  # four gates, each with two matrices and two biases
    hidden = max(channels // REDUCTION, 8)
    return 2 * lstm + 3 * channels * hidden + hidden + channels
