"""Attention between the positions of feature maps: IMSA (paper, Eq. 2, Fig. 3) and CMCA (Eq. 7, Fig. 4).

Both are one embedded-Gaussian non-local block (Wang et al., "Non-local Neural Networks", section 3): 1x1
convolutions make query, key and value at half width, softmax over positions weighs the values, a 1x1 convolution
and a batch normalisation (which starts at zero, or at `start`) bring them back, and the trunk is added.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from duskmatch.config import SelfAttackSettings
from duskmatch.models.gauges import branch_over_trunk


class NonLocal(nn.Module):
    """`trunk` plus attention from the positions of `asking` (queries) to those of `source` (keys and values).

    `branch_ratio` holds |branch| / |trunk| of the last forward in training: under 0.01 the block has hardly an effect.
    """

    def __init__(self, channels: int, *, inner: int | None = None, pool_keys: bool = False, start: float = 0.0) -> None:
        """`inner`: the width of queries, keys and values; None: half of `channels`.

        `start`: the initial weight of the last normalisation; at 0 the block starts as the identity, so that loaded
        weights keep their meaning, but a short run may hardly change it.
        """
        super().__init__()
        inner = inner or max(channels // 2, 1)
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.out = nn.Conv2d(inner, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.pool = nn.MaxPool2d(2) if pool_keys else nn.Identity()
        nn.init.constant_(self.norm.weight, start)
        self.branch_ratio: Tensor | None = None

    def forward(
        self,
        asking: Float[Tensor, "n c h w"],
        source: Float[Tensor, "n c h w"],
        trunk: Float[Tensor, "n c h w"],
        n_frames: int = 1,
    ) -> Float[Tensor, "n c h w"]:
        """With n_frames > 1 the positions of all frames of a clip attend to each other."""
        n, _, h, w = trunk.shape
        query = positions(self.theta(asking), n_frames)  # (n/t, 1, t*h*w, inner)
        key = positions(self.pool(self.phi(source)), n_frames)
        value = positions(self.pool(self.g(source)), n_frames)
        mixed = self.mixed(query, key, value).reshape(n, h, w, -1).permute(0, 3, 1, 2)  # (n inner h w)
        branch = self.norm(self.out(mixed))
        if self.training:
            self.branch_ratio = branch_over_trunk(branch, trunk)
        return trunk + branch  # type: ignore[no-any-return]

    def mixed(
        self, query: Float[Tensor, "m 1 p c"], key: Float[Tensor, "m 1 q c"], value: Float[Tensor, "m 1 q c"]
    ) -> Float[Tensor, "m 1 p c"]:
        """For each query position the mean of the values, weighted by the softmax of its products with the keys."""
        # scale 1: the embedded Gaussian has no square root of the width in its exponent
        if torch.compiler.is_exporting():  # OpenVINO 2026.4 fuses the single call wrongly
            return (query @ key.transpose(-2, -1)).softmax(dim=-1) @ value
        return F.scaled_dot_product_attention(query, key, value, scale=1.0)


class DotProduct(NonLocal):
    """The non-local block whose weights are the products themselves, divided by the number of positions: no softmax.

    Source: Wang et al. 2018, section 3.2, "dot product".
    """

    def mixed(
        self, query: Float[Tensor, "m 1 p c"], key: Float[Tensor, "m 1 q c"], value: Float[Tensor, "m 1 q c"]
    ) -> Float[Tensor, "m 1 p c"]:
        # without a softmax the last two can be multiplied first: c x c numbers instead of p x q
        return query @ (key.transpose(-2, -1) @ value) / key.shape[-2]


def positions(maps: Float[Tensor, "n c h w"], n_frames: int) -> Float[Tensor, "clips 1 p c"]:
    """The positions of all frames of a clip as rows: (clips, 1, t*h*w, c)."""
    n, c, h, w = maps.shape
    return maps.permute(0, 2, 3, 1).reshape(n // n_frames, 1, n_frames * h * w, c)


class IntraModalitySelfAttention(nn.Module):
    """IMSA: self-attention on shallow features, within each frame.

    Source: paper, Eq. 2 and Fig. 3.
    """

    def __init__(self, channels: int, settings: SelfAttackSettings) -> None:
        super().__init__()
        self.block = NonLocal(channels, start=settings.branch_start)

    def forward(self, shallow: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return self.block(shallow, shallow, shallow)  # type: ignore[no-any-return]


class CrossModalityCrossAttention(nn.Module):
    """CMCA(A, B): A with the information that it has in common with B.

    Source: paper, Eq. 7 and Fig. 4.
    Differs: the text does not say which map gives the queries. `cross_query` "own" (default): A gives queries, B keys
    and values; "other": the reverse, as in the group's later code. A's residual is kept in both.
    """

    def __init__(self, channels: int, settings: SelfAttackSettings) -> None:
        super().__init__()
        self.block = NonLocal(channels, pool_keys=settings.cross_pool_keys, start=settings.branch_start)
        self.query, self.temporal = settings.cross_query, settings.cross_temporal

    def forward(
        self, own: Float[Tensor, "n c h w"], other: Float[Tensor, "n c h w"], n_frames: int
    ) -> Float[Tensor, "n c h w"]:
        asking, source = (own, other) if self.query == "own" else (other, own)
        return self.block(asking, source, own, n_frames if self.temporal else 1)  # type: ignore[no-any-return]
