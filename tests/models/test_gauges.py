"""What is measured of learned parts at their forward, against literal loops."""

import numpy as np
import pytest
import torch

from duskmatch.config import SelfAttackSettings
from duskmatch.models import MODELS, SelfAttackDefense
from duskmatch.models.ddag import DDAGSettings, DualAttentiveAggregation
from duskmatch.models.gauges import branch_over_trunk, deviation
from duskmatch.models.mitml import MITML, MITMLSettings
from duskmatch.models.mpanet import MPANet, MPANetSettings
from duskmatch.models.parts import SpatialTemporalGuidance, part_pool
from duskmatch.models.pooled import PooledGuidance
from duskmatch.models.vsd import VSD, VSDSettings
from duskmatch.training.health import branch_ratios, gauged, means
from tests.oracle import health as oracle

SMALL = {"backbone": "resnet18", "width": 0.125}


def clips(seed: int = 0) -> torch.Tensor:
    return torch.randn(3, 2, 3, 96, 48, generator=torch.Generator().manual_seed(seed))


def guidance_figures(sequence: str, parts: torch.Tensor) -> tuple[SpatialTemporalGuidance, dict[str, float]]:
    model = SelfAttackDefense(4, SelfAttackSettings(**SMALL, sequence=sequence, n_parts=3))
    torch.manual_seed(1)
    with torch.no_grad():  # A near both ends, so that there is something to count
        for maps in filter(None, (getattr(model.guidance, "highlight_maps", None),)):
            maps[0].weight.mul_(30)
            maps[2].weight.mul_(30)
    with torch.no_grad(), gauged(model, on=True) as found:
        model.guidance(parts)
    return model.guidance, means(found)


@pytest.mark.parametrize("sequence", ["full", "no_spatial", "temporal"])
def test_motion_and_highlight_are_measured_as_the_literal_loops_measure_them(sequence):
    parts = torch.randn(5, 4, 3, 64, generator=torch.Generator().manual_seed(0)).abs()
    guidance, found = guidance_figures(sequence, parts)
    with torch.no_grad():
        motion = guidance.motion(parts)
        expected = {"motion_deviation": oracle.deviation(motion.numpy())}
        expected["parts_deviation"] = oracle.deviation(parts.numpy())
        if sequence != "temporal":
            highlight = guidance.highlight(parts, guidance.spatial(motion)).numpy()
            expected["highlight_low"] = oracle.share(highlight, lambda a: a < 0.01)
            expected["highlight_high"] = oracle.share(highlight, lambda a: a > 0.99)
            expected["highlight_deviation"] = oracle.deviation(highlight)
            assert 0 < expected["highlight_low"] < 1 and 0 < expected["highlight_high"] < 1
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_pooled_head_is_measured_beside_the_parts_it_is_added_to():
    parts = torch.randn(5, 4, 3, 64, generator=torch.Generator().manual_seed(0))
    guidance, found = guidance_figures("pooled_std", parts)
    assert isinstance(guidance, PooledGuidance)
    with torch.no_grad():
        added = guidance.perceptron(guidance.pool(parts))[:, None]  # (b 1 k d)
    expected = {"pooled_deviation": oracle.deviation(added.numpy()), "parts_deviation": oracle.deviation(parts.numpy())}
    assert found == pytest.approx(expected, rel=1e-4)


def test_nothing_is_measured_and_nothing_hangs_on_a_part_when_it_is_off():
    model = SelfAttackDefense(4, SelfAttackSettings(**SMALL, n_parts=3))
    parts = torch.randn(2, 2, 3, 64)
    with torch.no_grad(), gauged(model, on=False) as found:
        model.guidance(parts)
    assert found == {}
    with gauged(model, on=True):
        pass
    assert not any(part._forward_hooks for part in model.modules())
    assert SelfAttackDefense(4, SelfAttackSettings(**SMALL, sequence="none")).gauges() == {}


def test_deviation_does_not_depend_on_the_order_of_clips_and_is_nothing_for_equal_ones():
    x = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    assert float(deviation(x[[3, 1, 5, 0, 2, 4]])) == pytest.approx(float(deviation(x)))
    assert float(deviation(2 * x)) == pytest.approx(2 * float(deviation(x)))
    assert float(deviation(x[:1].expand(6, 3, 4))) == 0
    assert float(deviation(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))) == pytest.approx(0.5**0.5)  # by hand: 1 and 0


def test_figures_are_computed_in_fp32_where_the_forward_is_bf16():
    """Small differences between clips beside a large mean: in bf16 they would all be one number."""
    guidance = SelfAttackDefense(4, SelfAttackSettings(**SMALL, n_parts=3)).guidance
    gauges = guidance.gauges(3)
    series = 2 + torch.randn(8 * 3, 2, 64, generator=torch.Generator().manual_seed(0)) / 50  # (b*k t d)
    halved = series.bfloat16()
    found = gauges[guidance.motion_lstm]((halved,), (halved, None))
    expected = oracle.deviation(halved.float().reshape(8, 3, 2, 64).transpose(1, 2).numpy())
    assert float(found["motion_deviation"]) == pytest.approx(expected, rel=1e-4) and expected > 0.01
    assert found["motion_deviation"].dtype == torch.float32
    parts = halved.reshape(8, 3, 2, 64).transpose(1, 2)  # (b t k d)
    assert float(gauges[guidance]((parts,), parts)["parts_deviation"]) == float(found["motion_deviation"])


def test_parts_are_measured_as_motion_is_added_to_them_and_not_as_a_normalisation_leaves_them():
    guidance = SelfAttackDefense(4, SelfAttackSettings(**SMALL, n_parts=3, motion_norm=True)).guidance
    parts = 100 * torch.rand(8, 2, 3, 64, generator=torch.Generator().manual_seed(0))
    seen = guidance.gauges(3)[guidance]((parts,), parts)["parts_deviation"]
    assert float(seen) == pytest.approx(oracle.deviation(parts.numpy()), rel=1e-4) and seen > 10


def test_mitml_measures_its_memory_beside_time_and_its_guides():
    torch.manual_seed(0)
    model = MITML(4, MITMLSettings(**SMALL, frame_guides=2)).eval()
    maps = torch.randn(6, 128, 6, 3)
    with torch.no_grad(), gauged(model, on=True) as found:
        model.frame_features(maps, 2)
    with torch.no_grad():
        _, time = model.halves(maps, 2)
        over_time = model.memory(time)[0][:, -1]
        memory = [oracle.deviation(guide.told(over_time)[:, None, None].numpy()) for guide in model.guides]
        frames = [oracle.deviation(time[:, i][:, None, None].numpy()) for i in range(2)]
        g = [guide(over_time, time[:, i]).numpy() for i, guide in enumerate(model.guides)]
    expected = {
        "memory_deviation": np.mean(memory),
        "time_deviation": np.mean(frames),
        "guide_low": np.mean([oracle.share(x, lambda a: a < 0.01) for x in g]),
        "guide_high": np.mean([oracle.share(x, lambda a: a > 0.99) for x in g]),
        "guide_deviation": np.mean([oracle.deviation(x[:, None, None]) for x in g]),
    }
    assert means(found) == pytest.approx(expected, rel=1e-4)


def test_mpanet_measures_its_gates_and_masks():
    torch.manual_seed(0)
    model = MPANet(4, MPANetSettings(**SMALL)).eval()
    with torch.no_grad():
        model.alleviation3.up.bias.fill_(10)  # gates wide open
        with gauged(model, on=True) as found:
            maps = model.shared_maps(model.shallow(clips(0), clips(1)), 2)
            masks = model.masks(maps)
    figures = means(found)
    assert figures.keys() == {f"{n}_{f}" for n in ("gate3", "gate4", "mask") for f in ("low", "high", "deviation")}
    assert figures["gate3_high"] > 0.9 and figures["gate4_high"] < 0.1
    assert figures["mask_deviation"] == pytest.approx(oracle.deviation(masks.flatten(2)[:, None].numpy()), rel=1e-4)


def test_ratios_of_branches_in_other_methods():
    torch.manual_seed(0)
    vsd, ddag = VSD(4, VSDSettings(**SMALL)).train(), DualAttentiveAggregation(4, DDAGSettings(**SMALL)).train()
    with torch.no_grad():
        for attend in vsd.branch("shared").attention:
            attend.gamma.fill_(0.5)
        with gauged(vsd, on=True) as found:
            vsd.maps_to_pool(clips(), "visible")
        assert branch_ratios(ddag) == {}
        maps = ddag.shared_maps(ddag.shallow(clips(0), clips(1)), 2)
        attended = ddag.attended(maps, 2)
        told = ddag.part_attention(part_pool(maps, ddag.n_parts, 2).mean(dim=1))
        x, attend = torch.randn(2, 3, 4, 2).abs(), vsd.branch("shared").attention[0]
        (measured,) = vsd.gauges()[attend]((x,), attend(x)).values()
    figures = means(found)
    assert figures.keys() == {f"{name}_attention_ratio" for name in ("visible", "infrared", "shared")}
    assert figures["visible_attention_ratio"] == 0 < figures["shared_attention_ratio"]
    mixed = torch.stack([torch.softmax(-(y @ y.T), dim=1) @ y for y in x.flatten(2)])  # each picture by itself
    assert float(measured) == pytest.approx(0.5 * oracle.norm([mixed]) / oracle.norm([x]), rel=1e-4)
    expected = oracle.norm([told]) / oracle.norm([attended.embedding])
    assert branch_ratios(ddag) == {"part_attention_ratio": pytest.approx(expected, rel=1e-4)} and expected > 0
    assert float(branch_over_trunk(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 10.0]))) == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["self_attack", "mitml", "mpanet", "vsd", "ddag"])
def test_every_figure_has_its_column(name):
    torch.manual_seed(0)
    options = {"frame_guides": 2} if name == "mitml" else {}
    method = MODELS[name]
    model = method.network(4, method.settings(**SMALL, **options)).train()
    with torch.no_grad(), gauged(model, on=True) as found:
        model.embed(clips(), "visible")
    assert {*found, *branch_ratios(model)} <= set(model.logged)
    assert found or branch_ratios(model)
