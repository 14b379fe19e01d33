import math

import pytest
import torch

from duskmatch.config import SelfAttackSettings, load_settings
from duskmatch.embedding.cost import count_flops, count_parameters
from duskmatch.errors import SettingsError
from duskmatch.models import SelfAttackDefense
from duskmatch.models.parts import SpatialTemporalGuidance
from duskmatch.models.pooled import POOLS, PooledGuidance

B, T, K, D = 2, 3, 6, 4


def parts(t: int = T) -> torch.Tensor:
    return torch.randn(B, t, K, D, generator=torch.Generator().manual_seed(0))


def literal(guidance: PooledGuidance, form: str, parts: torch.Tensor) -> torch.Tensor:
    """Clip by clip, part by part, number by number."""
    first, _, second = guidance.perceptron
    out = []
    for clip in parts.tolist():
        vector: list[float] = []
        for k in range(len(clip[0])):
            frames = [frame[k] for frame in clip]
            columns = list(zip(*frames, strict=True))
            means = [sum(column) / len(column) for column in columns]
            deviations = [
                math.sqrt(sum((x - m) ** 2 for x in column) / len(column))
                for column, m in zip(columns, means, strict=True)
            ]
            pooled = {
                "pooled_mean": means,
                "pooled_max": [max(column) for column in columns],
                "pooled_std": means + deviations,
            }[form]
            seen = torch.relu(first.weight @ torch.tensor(pooled) + first.bias)
            vector += (torch.tensor(means) + second.weight @ seen + second.bias).tolist()
        out.append(vector)
    return torch.tensor(out)


@pytest.mark.parametrize("form", POOLS)
def test_pooled_guidance_equals_the_literal_loop(form):
    torch.manual_seed(1)
    guidance = PooledGuidance(D, SelfAttackSettings(sequence=form))
    with torch.no_grad():
        assert torch.allclose(guidance(parts()), literal(guidance, form, parts()), atol=1e-5)


@pytest.mark.parametrize(
    ("form", "expected"), [("pooled_mean", [3.0]), ("pooled_max", [5.0]), ("pooled_std", [3.0, math.sqrt(8 / 3)])]
)
def test_one_case_worked_by_hand(form, expected):
    frames = torch.tensor([1.0, 3.0, 5.0]).reshape(1, 3, 1, 1)  # variance (4 + 0 + 4) / 3
    assert POOLS[form](frames)[0, 0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("form", POOLS)
def test_the_order_of_frames_is_not_seen_and_each_part_is_seen_alone(form):
    torch.manual_seed(1)
    guidance, x = PooledGuidance(D, SelfAttackSettings(sequence=form)), parts()
    with torch.no_grad():
        assert torch.allclose(guidance(x), guidance(x[:, [2, 0, 1]]), atol=1e-6)
        swapped = guidance(x.flip(2)).reshape(B, K, D).flip(1).flatten(1)
        assert torch.allclose(guidance(x), swapped, atol=1e-6)


@pytest.mark.parametrize("form", POOLS)
@pytest.mark.parametrize(("channels", "n_layers"), [(64, 1), (512, 2), (2048, 1), (96, 1)])
def test_it_has_as_many_parameters_as_the_full_guidance(form, channels, n_layers):
    with torch.device("meta"):
        full = SpatialTemporalGuidance(channels, SelfAttackSettings(lstm_layers=n_layers))
        pooled = PooledGuidance(channels, SelfAttackSettings(sequence=form, lstm_layers=n_layers))
    counted = [sum(p.numel() for p in part.parameters()) for part in (full, pooled)]
    assert counted[1] == pytest.approx(counted[0], rel=0.02)


@pytest.mark.parametrize("n_frames", [1, 3])
def test_frames_that_are_alike_have_a_finite_gradient(n_frames):
    x = torch.ones(1, n_frames, K, D, requires_grad=True)
    PooledGuidance(D, SelfAttackSettings(sequence="pooled_std"))(x).sum().backward()
    assert bool(torch.isfinite(x.grad).all())


@pytest.mark.parametrize("form", POOLS)
def test_the_network_searches_with_it_and_counts_it(form):
    torch.manual_seed(0)
    model = SelfAttackDefense(5, SelfAttackSettings(backbone="resnet18", width=0.125, sequence=form))
    assert isinstance(model.guidance, PooledGuidance)
    assert model.embedding == "sequence" and model.embedding_width == 6 * model.channels
    clips = torch.randn(2, 3, 3, 96, 48)
    with torch.no_grad():
        assert torch.allclose(model.eval().embed(clips, "visible"), model.embed(clips.flip(1), "visible"), atol=1e-5)
    counted = count_parameters(model)["test"]
    none = SelfAttackDefense(5, SelfAttackSettings(backbone="resnet18", width=0.125, defense=False, sequence="none"))
    heads = sum(p.numel() for p in model.guidance.parameters()) - sum(p.numel() for p in none.defense_neck.parameters())
    assert counted - count_parameters(none)["test"] == heads
    # 2ab for each product of a part's vector with an (a b) matrix, once a clip
    layers = [layer for layer in model.guidance.perceptron if isinstance(layer, torch.nn.Linear)]
    products = sum(2 * layer.in_features * layer.out_features for layer in layers)
    assert count_flops(model, 3, 96, 48) - count_flops(none, 3, 96, 48) == 6 * products


def test_an_unknown_form_is_refused():
    with pytest.raises(SettingsError, match=r"model\.sequence must be 'full', .*'pooled_std' or 'none'; got 'pooled'"):
        load_settings("tiny", overrides=["model.sequence=pooled"])
