import pytest
import torch

from duskmatch.config import SelfAttackSettings
from duskmatch.errors import SettingsError
from duskmatch.models.parts import SpatialTemporalGuidance, part_pool

B, T, K, D = 2, 3, 6, 4


@pytest.fixture
def parts() -> torch.Tensor:
    return torch.randn(B, T, K, D, generator=torch.Generator().manual_seed(0))


def literal(guidance: SpatialTemporalGuidance, parts: torch.Tensor) -> torch.Tensor:
    """Eqs. 11-15 clip by clip, part by part, frame by frame."""
    out = []
    for clip in parts:
        motion = [guidance.motion_lstm(clip[:, k][None])[0][0] for k in range(K)]  # K times (t d)
        last = torch.stack([m[-1] for m in motion])  # (k d)
        related = guidance.spatial_lstm(last[None])[0][0] if guidance.spatial_lstm is not None else None
        vector = []
        for k in range(K):
            joined = []
            for t in range(T):
                feature = clip[t, k]
                if guidance.highlight_maps is not None:
                    if related is None:
                        spatial = last[k]
                    else:
                        spatial = related[k] if guidance.spatial_output == "per_part" else related[-1]
                    first, _, second, _ = guidance.highlight_maps
                    weight = torch.sigmoid(second(torch.relu(first(torch.cat([feature, spatial])))))  # Eqs. 11, 12
                    feature = feature * weight  # Eq. 13
                joined.append(feature + motion[k][t])  # Eq. 14
            vector.append(torch.stack(joined).mean(0))  # Eq. 15
        out.append(torch.cat(vector))
    return torch.stack(out)


@pytest.mark.parametrize("spatial_output", ["last", "per_part"])
@pytest.mark.parametrize("sequence", ["full", "no_spatial", "temporal"])
def test_equations_11_to_15_equal_the_literal_loop(parts, sequence, spatial_output):
    torch.manual_seed(1)
    guidance = SpatialTemporalGuidance(D, SelfAttackSettings(sequence=sequence, spatial_output=spatial_output))
    with torch.no_grad():
        assert torch.allclose(guidance(parts), literal(guidance, parts), atol=1e-6)


def test_two_layers_run_and_keep_the_width(parts):
    assert SpatialTemporalGuidance(D, SelfAttackSettings(lstm_layers=2))(parts).shape == (B, K * D)


def test_part_pool_averages_stripes_from_head_to_foot():
    maps = torch.arange(12.0).reshape(1, 1, 12, 1).expand(2, 3, 12, 5)
    parts = part_pool(maps, 6, n_frames=2)
    assert parts.shape == (1, 2, 6, 3)
    assert parts[0, 0, :, 0].tolist() == [0.5, 2.5, 4.5, 6.5, 8.5, 10.5]


def test_rows_that_do_not_divide_are_refused():
    with pytest.raises(
        SettingsError, match="the feature map's 8 rows must divide into 6 parts; choose an input height"
    ):
        part_pool(torch.zeros(1, 1, 8, 4), 6, n_frames=1)


def test_order_of_frames_matters_and_order_of_parts_matters(parts):
    torch.manual_seed(1)
    guidance = SpatialTemporalGuidance(D, SelfAttackSettings())
    with torch.no_grad():
        whole = guidance(parts)
        assert not torch.allclose(whole, guidance(parts.flip(1)), atol=1e-4)
        swapped = guidance(parts.flip(2)).reshape(B, K, D).flip(1).flatten(1)
        assert not torch.allclose(whole, swapped, atol=1e-4)
