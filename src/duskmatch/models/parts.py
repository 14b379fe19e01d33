"""Body parts over time: FRM-STIG, the feature representation guided by motion and by the relation of parts.

| paper | here |
|---|---|
| PCB's patches f_{t,d}^k | `part_pool` -> `parts` (b t k d) |
| LSTM_mot, f~_{t,d}^k | `SpatialTemporalGuidance.motion` |
| LSTM_spa, f~_T | `.spatial` |
| Eqs. 11-12, A | `.highlight` |
| Eq. 13 | `highlighted` |
| Eq. 14, j_t^k | `with_motion` |
| Eq. 15, j_d | `over_time` |
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from duskmatch.config import SelfAttackSettings
from duskmatch.errors import SettingsError
from duskmatch.health import HIGHLIGHT, MOTION
from duskmatch.losses import in_fp32
from duskmatch.models.gauges import Gauge, deviation, gate_figures
from duskmatch.models.pooling import over_positions

REDUCTION = 16  # of the width in the middle of Eq. 12, as in the group's code


def of_parts(inputs: tuple[Tensor, ...], output: Tensor) -> dict[str, Tensor]:
    """The gauge of the parts that a guidance reads."""
    return {"parts_deviation": deviation(inputs[0].float().mean(dim=1))}


def part_pool(
    maps: Float[Tensor, "n d h w"], n_parts: int, n_frames: int, power: float | None = None
) -> Float[Tensor, "b t k d"]:
    """Each frame's map divided into horizontal stripes of equal height, each averaged (`power`: generalised mean).

    Source: paper, III-D; K = 6 and the mean as in PCB (Sun et al. 2018).
    """
    n, d, h, w = maps.shape
    if h % n_parts:
        raise SettingsError(
            f"the feature map's {h} rows must divide into {n_parts} parts; choose an input height that is a multiple "
            f"of {16 * n_parts} (with last stride 1) or another model.n_parts"
        )
    stripes = over_positions(maps.reshape(n, d, n_parts, h // n_parts, w), power)  # (n d k)
    return stripes.reshape(n // n_frames, n_frames, d, n_parts).permute(0, 1, 3, 2)  # (b t k d)


class SpatialTemporalGuidance(nn.Module):
    """j_d: each part's features, highlighted by the parts' relation, plus its motion.

    `sequence`: "full"; "no_spatial" (without LSTM_spa: Eq. 11 appends a part's own motion in the last frame, Table I's
    starred row); "temporal" (FR-E-TI: Eqs. 11-13 left out). `spatial_output`: "last" appends LSTM_spa's last output to
    every part, "per_part" its k-th output to part k (Eq. 11 prints both a capital and a small k). `motion_norm`: a
    layer normalisation of what LSTM_mot reads. `highlight_start`: "half" starts with A = 0.5 everywhere.
    """

    def __init__(self, channels: int, settings: SelfAttackSettings) -> None:
        super().__init__()
        sequence, n_layers, self.spatial_output = settings.sequence, settings.lstm_layers, settings.spatial_output
        # Differs: the paper has none. It makes LSTM_mot independent of the scale of the parts
        self.motion_norm = nn.LayerNorm(channels) if settings.motion_norm else nn.Identity()
        # Eq. 14 adds motion to the part's own feature: hidden width = d at every width
        self.motion_lstm = nn.LSTM(channels, channels, n_layers, batch_first=True)
        self.spatial_lstm = nn.LSTM(channels, channels, n_layers, batch_first=True) if sequence == "full" else None
        hidden = max(channels // REDUCTION, 8)
        self.highlight_maps = (
            nn.Sequential(nn.Linear(2 * channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())
            if sequence != "temporal"
            else None
        )
        if self.highlight_maps is not None and settings.highlight_start == "half":
            last = self.highlight_maps[2]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight), nn.init.zeros_(last.bias)

    def motion(self, parts: Float[Tensor, "b t k d"]) -> Float[Tensor, "b t k d"]:
        """LSTM_mot over the frames of each part.

        Source: paper, III-D, before Eq. 11.
        """
        b, t, k, d = parts.shape
        series = self.motion_norm(parts).permute(0, 2, 1, 3).reshape(b * k, t, d)
        moved, _ = self.motion_lstm(series)
        return moved.reshape(b, k, t, d).permute(0, 2, 1, 3)  # type: ignore[no-any-return]

    def spatial(self, motion: Float[Tensor, "b t k d"]) -> Float[Tensor, "b k d"]:
        """LSTM_spa over the parts' motion in the last frame, which depends on all frames; a row to append to each part.

        Source: paper, III-D, before and in Eq. 11.
        """
        last = motion[:, -1]  # (b k d)
        if self.spatial_lstm is None:
            return last
        related, _ = self.spatial_lstm(last)  # (b k d)
        return related if self.spatial_output == "per_part" else related[:, -1:].expand_as(related)  # type: ignore[no-any-return]

    def highlight(self, parts: Float[Tensor, "b t k d"], spatial: Float[Tensor, "b k d"]) -> Float[Tensor, "b t k d"]:
        """A: the weight of each feature, from the part and the parts' relation.

        Source: paper, Eqs. 11 and 12.
        """
        assert self.highlight_maps is not None
        joined = torch.cat([parts, spatial[:, None].expand_as(parts)], dim=-1)  # (b t k 2d), Eq. 11
        return self.highlight_maps(joined)  # type: ignore[no-any-return]

    def gauges(self, n_parts: int) -> dict[nn.Module, Gauge]:
        """The deviations of LSTM_mot's output and of the parts, to which Eq. 14 adds it, and A."""

        def of_motion(inputs: tuple[Tensor, ...], output: tuple[Tensor, Any]) -> dict[str, Tensor]:
            mean = output[0].float().mean(dim=1)  # (b*k d)
            return {"motion_deviation": deviation(mean.reshape(-1, n_parts, mean.shape[-1]))}

        def of_highlight(inputs: tuple[Tensor, ...], output: Float[Tensor, "b t k d"]) -> dict[str, Tensor]:
            return gate_figures("highlight", output, output.float().mean(dim=1))

        found: dict[nn.Module, Gauge] = {self.motion_lstm: of_motion, self: of_parts}
        return found if self.highlight_maps is None else {**found, self.highlight_maps: of_highlight}

    def knock_outs(self) -> dict[str, tuple[nn.Module, ...]]:
        """LSTM_mot, whose output is also the input of LSTM_spa, and A."""
        found: dict[str, tuple[nn.Module, ...]] = {MOTION: (self.motion_lstm,)}
        return found if self.highlight_maps is None else {**found, HIGHLIGHT: (self.highlight_maps,)}

    @in_fp32
    def forward(self, parts: Float[Tensor, "b t k d"]) -> Float[Tensor, "b kd"]:
        motion = self.motion(parts)
        features = parts
        if self.highlight_maps is not None:
            features = highlighted(parts, self.highlight(parts, self.spatial(motion)))
        return over_time(with_motion(features, motion))


def highlighted(parts: Float[Tensor, "b t k d"], highlight: Float[Tensor, "b t k d"]) -> Float[Tensor, "b t k d"]:
    """Source: paper, Eq. 13."""
    return parts * highlight


def with_motion(features: Float[Tensor, "b t k d"], motion: Float[Tensor, "b t k d"]) -> Float[Tensor, "b t k d"]:
    """Source: paper, Eq. 14."""
    return features + motion


def over_time(joined: Float[Tensor, "b t k d"]) -> Float[Tensor, "b kd"]:
    """The mean over frames, parts concatenated from head to foot.

    Source: paper, Eq. 15 and the sentence after it.
    """
    return joined.mean(dim=1).flatten(1)
