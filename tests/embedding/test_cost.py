"""What a network costs at test, by hand and by trial."""

import pytest
import torch

from duskmatch.config import SelfAttackSettings
from duskmatch.embedding.cost import count_flops, count_parameters, unused_at_test
from duskmatch.embedding.folding import at_test
from duskmatch.models import SelfAttackDefense

T, HEIGHT, WIDTH = 2, 96, 48
ALL_ON = {"temporal_mixing": True, "pooling": "gem", "sequence_neck": True}
EMBEDDINGS = [{"embedding": name} for name in ("sequence", "defense", "both", "attack")]
EMBEDDINGS += [{"embedding": "both", "test_pairing": "skip"}, {"embedding": "sequence", "sequence": "pooled_std"}]


def build(**options: object) -> SelfAttackDefense:
    torch.manual_seed(0)
    return SelfAttackDefense(5, SelfAttackSettings(backbone="resnet18", width=0.125, **options)).eval()


def vectors(model: SelfAttackDefense) -> torch.Tensor:
    clips = torch.randn(1, T, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return torch.cat([model.embed(clips, "visible"), model.embed(clips, "infrared")])


@pytest.mark.parametrize("options", EMBEDDINGS, ids=lambda options: "-".join(options.values()))
def test_parameters_said_to_be_unused_are_those_that_change_nothing(options):
    model = build(**ALL_ON, **options)
    before = vectors(model)
    for name, parameter in model.named_parameters():
        if unused_at_test(model, name):
            parameter.data.fill_(torch.nan)
    assert torch.equal(vectors(model), before)
    for piece in {name.split(".")[0] for name, _ in model.named_parameters() if not unused_at_test(model, name)}:
        kept = {name: p.detach().clone() for name, p in model.get_submodule(piece).named_parameters()}
        for parameter in model.get_submodule(piece).parameters():
            parameter.data.fill_(torch.nan)
        assert bool(torch.isnan(vectors(model)).any()), piece
        for name, parameter in model.get_submodule(piece).named_parameters():
            parameter.data.copy_(kept[name])
    n_used = sum(p.numel() for n, p in model.named_parameters() if not unused_at_test(model, n))
    assert count_parameters(model)["test"] == n_used
    assert torch.allclose(vectors(at_test(model)), before, atol=1e-5)


def attention(channels: int, asking: int, answering: int) -> int:
    """Four 1x1 convolutions of half the width and two products, each of a x b x c costing 2abc."""
    half = channels // 2
    convolutions = 2 * channels * half * (2 * asking + 2 * answering)
    return convolutions + 2 * 2 * asking * answering * half


def test_mixing_over_time_costs_its_convolutions_and_two_products_over_all_positions():
    positions = T * 6 * 3
    counted = [count_flops(build(temporal_mixing=on), T, HEIGHT, WIDTH) for on in (False, True)]
    assert counted[1] - counted[0] == attention(32, positions, positions)


def test_cross_attention_costs_the_same_frame_by_frame_and_stage_4_once_more():
    plain, crossed = (build(sequence="none", test_pairing=pairing) for pairing in ("skip", "self"))
    extra = count_flops(crossed, T, HEIGHT, WIDTH) - count_flops(plain, T, HEIGHT, WIDTH)
    frames = T * (attention(32, 18, 18) + attention(64, 18, 18))
    fourth = 2 * T * 18 * (9 * 32 * 64 + 3 * 9 * 64 * 64 + 32 * 64)  # four 3x3 convolutions and the short cut
    assert extra == frames + fourth


def test_settings_that_only_train_cost_nothing_at_test():
    plain, gem = (build(pooling=pooling) for pooling in ("mean", "gem"))
    assert count_parameters(plain) == count_parameters(gem)
    assert count_flops(plain, T, HEIGHT, WIDTH) == count_flops(gem, T, HEIGHT, WIDTH)  # powers are no products
