from itertools import pairwise

import pytest
import torch

from duskmatch.config import SelfAttackSettings
from duskmatch.models import SelfAttackDefense
from duskmatch.models.parts import part_pool
from duskmatch.models.pooling import over_positions, pool_clip


def maps(seed: int = 0) -> torch.Tensor:
    return torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(seed))


def literal(values: list[float], power: float) -> float:
    held = [max(value, 1e-6) for value in values]
    return (sum(value**power for value in held) / len(held)) ** (1 / power)


@pytest.mark.parametrize("power", [1.0, 3.0, 6.0])
def test_generalised_mean_equals_the_literal_loop(power):
    got = over_positions(maps(), power)
    for n in range(2):
        for d in range(3):
            assert float(got[n, d]) == pytest.approx(literal(maps()[n, d].flatten().tolist(), power), rel=1e-5)


def test_one_case_worked_by_hand():
    assert float(over_positions(torch.tensor([[1.0, 2.0], [3.0, -5.0]]), 3.0)) == pytest.approx((36 / 4) ** (1 / 3))


def test_power_1_of_what_is_not_negative_is_the_mean_and_higher_powers_lean_to_the_largest():
    seen = [over_positions(maps().abs(), power) for power in (1.0, 2.0, 3.0, 6.0)]
    assert torch.allclose(seen[0], over_positions(maps().abs()), atol=1e-6)
    assert all(bool((b > a).all()) for a, b in pairwise(seen))
    assert bool((seen[-1] < maps().abs().amax(dim=(2, 3))).all())


@pytest.mark.parametrize("power", [1.0, 3.0, 6.0])
def test_maps_that_are_dead_have_a_finite_gradient(power):
    dead = torch.zeros(1, 2, 3, 3, requires_grad=True)
    over_positions(dead, power).sum().backward()
    assert bool(torch.isfinite(dead.grad).all())


def test_frames_are_averaged_after_positions_and_parts_are_stripes():
    clip = pool_clip(maps(), 2, 3.0)
    assert torch.allclose(clip[0], over_positions(maps(), 3.0).mean(dim=0))
    parts = part_pool(maps(), 3, 2, 3.0)
    assert torch.allclose(parts[0, 1, 2], over_positions(maps()[1, :, 4:6], 3.0))


@pytest.mark.parametrize("power", [None, 3.0])
def test_what_is_pooled_is_fp32_whatever_the_maps_are(power):
    low = maps().abs().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        clip, parts = pool_clip(low, 2, power), part_pool(low, 3, 2, power)
    assert clip.dtype == parts.dtype == torch.float32
    assert torch.equal(clip, pool_clip(low.float(), 2, power)) and torch.equal(
        parts, part_pool(low.float(), 3, 2, power)
    )


def test_every_feature_of_the_network_takes_it():
    def features(**options: object) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = SelfAttackDefense(5, SelfAttackSettings(backbone="resnet18", width=0.125, **options)).eval()
        visible, infrared = torch.randn(2, 2, 3, 3, 96, 48, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            shallow = model.shallow(visible, infrared)
            seen = model.shared_maps(shallow, 2)
            found = [model.attack_embedding(shallow, 3), model.defense_embedding(seen, 3).pooled]
            settings = SelfAttackSettings(backbone="resnet18", width=0.125, embedding="attack", **options)
            alone = SelfAttackDefense(5, settings).eval()
            alone.load_state_dict({**alone.state_dict(), **without_centres(model)})
            return [
                *found,
                model.guided(seen.maps, 3),
                model.embed(visible, "visible"),
                alone.embed(visible, "visible"),
            ]

    mean, gem, again = features(), features(pooling="gem"), features(pooling="gem", gem_p=1.0)
    assert all(not torch.allclose(a, b, rtol=1e-2) for a, b in zip(mean, gem, strict=True))
    assert all(
        torch.allclose(a, b, atol=1e-4) for a, b in zip(mean, again, strict=True)
    )  # nothing negative at the start


def without_centres(model: SelfAttackDefense) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("centre_")}
