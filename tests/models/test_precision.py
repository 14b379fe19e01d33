"""Every term of every method gives, from the last maps on, what fp32 gives: whatever autocast is around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from duskmatch.models import MODELS, Due, Forward, Network
from duskmatch.models.building import find_method
from duskmatch.models.method import ALONE, AllProcesses, Pixels
from duskmatch.models.network import FullPrecisionLinear
from duskmatch.models.self_attack import DefenseMaps
from duskmatch.models.vsd import ChannelAttention
from duskmatch.pixels import normalise
from tests.models.methods import LABELS, clips, figures, made, values
from tests.precision import HANDED, as_in_fp32, parallel

DUE = Due(step=3, epoch=1)
D = 64  # of the preset tiny
TWO_PARTS = "model.n_parts=2"  # the batch's maps have four rows
SMOOTH = "loss.label_smoothing=0.1"
# What is trained: a name, its method, its settings.
VARIANTS = {
    "self_attack": (TWO_PARTS, SMOOTH, "loss.contrastive_weight=0.5", "loss.sequence_triplet=0.5"),
    "self_attack as printed": (TWO_PARTS, "loss.triplet=squared", "loss.triplet_on=embedding", "loss.identity=sum"),
    "self_attack without j_d": (TWO_PARTS, "model.sequence=none", "loss.contrastive_weight=0.5"),
    "self_attack without recurrence": (TWO_PARTS, "model.sequence=pooled_std", "model.pooling=gem"),
    "hc_tri": (),
    "lba": (SMOOTH, "model.pooling=gem"),
    "mpanet": ("loss.margin=0.7",),
    "ddag": (TWO_PARTS, SMOOTH),
    "vsd": (SMOOTH,),
    "cajl": ("model.pooling=gem",),
    "mitml": ("model.options={frame_guides: 2, confusion_epoch: 0}",),
}


def test_no_method_is_left_out():
    assert {name.split()[0] for name in VARIANTS} == set(MODELS)


def maps(n: int, channels: int = D, seed: int = 0) -> Tensor:
    """Of n clips' frames: what they have in common is most of them, as in a network."""
    noise = torch.randn(2 * n, channels, 4, 2, generator=torch.Generator().manual_seed(seed))
    return (1 + 0.5 * noise).clamp_min(0)


class Given(nn.Module):
    """A piece of a network whose maps are known beforehand."""

    def __init__(self, known: Tensor) -> None:
        super().__init__()
        self.known = known

    def forward(self, _: Tensor) -> Tensor:
        return self.known


# How a network's last maps are put in the place of those that it would make.
Cut = Callable[[Network, Forward, list[Tensor]], None]


def cut_frames(model: Network, forward: Forward, given: list[Tensor]) -> None:
    (forward.maps,) = given


def cut_self_attack(model: Network, forward: Forward, given: list[Tensor]) -> None:
    forward.maps = DefenseMaps(given[0], given[1])
    model.fused_maps = lambda *_: given[2]
    model.attack_encoder = Given(given[3])


def cut_lba(model: Network, forward: Forward, given: list[Tensor]) -> None:
    model.encoder.to_stage3 = lambda _: given[0]
    model.encoder.stage4 = lambda x: torch.cat([x.float(), x.float().square()], dim=1)  # no product to be rounded


def cut_cajl(model: Network, forward: Forward, given: list[Tensor]) -> None:
    model.shared_maps = lambda *_: given[0]


def cut_vsd(model: Network, forward: Forward, given: list[Tensor]) -> None:
    forward.maps = given


CUTS: dict[str, tuple[Cut, list[Tensor]]] = {
    "self_attack": (cut_self_attack, [maps(8, D // 2), *(maps(8, seed=seed) for seed in (1, 2, 3))]),
    "hc_tri": (cut_frames, [maps(8)]),
    "lba": (cut_lba, [maps(8, D // 2)]),
    "mpanet": (cut_frames, [maps(8)]),
    "ddag": (cut_frames, [maps(8)]),
    "vsd": (cut_vsd, [maps(8, seed=seed) for seed in range(4)]),
    "cajl": (cut_cajl, [maps(12)]),
    "mitml": (cut_frames, [maps(8, 2 * D)]),
}


class Found(NamedTuple):
    """By term of each sub-step: its value, and its gradients to the maps and to the parameters."""

    values: dict[str, Tensor]
    to_maps: dict[str, Tensor]
    to_parameters: dict[str, Tensor]


def fresh(model: Network) -> Forward:
    pixels = torch.randint(0, 256, (2, 4, 2, 3, 64, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    return Forward(model, clips(0), clips(1), LABELS, Pixels(pixels[0], pixels[1], normalise))


def found(name: str, dtype: torch.dtype, *, autocast: bool, processes: AllProcesses = ALONE) -> Found:
    """All terms of one iteration from the last maps on, these in `dtype`; and what is noted for the log."""
    method = name.split()[0]
    model, settings = made(method, *VARIANTS[name])
    with torch.no_grad():  # as once something is learnt: at the start all logits are nearly 0, right or wrong
        for part in model.modules():
            if isinstance(part, FullPrecisionLinear):
                part.weight.mul_(300)
    parameters = [p for p in model.parameters() if p.requires_grad]
    cut, given = CUTS[method]
    result = Found({}, {}, {})
    for step in find_method(method).updates(model, settings, DUE, processes):
        # in bf16's steps in every precision, so that all are handed the same numbers
        leaves = [x.bfloat16().to(dtype).requires_grad_() for x in given]
        forward = fresh(model)
        cut(model, forward, leaves)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            terms, noted = values(step, forward), figures(step, forward)
        result.values.update({f"{step.name} {term}": x.detach() for term, x in {**terms, **noted}.items()})
        for term, x in terms.items():
            for into, to in ((result.to_maps, leaves), (result.to_parameters, parameters)):
                grads = torch.autograd.grad(x, to, retain_graph=True, allow_unused=True)
                flat = [
                    (torch.zeros_like(y) if g is None else g).float().flatten() for g, y in zip(grads, to, strict=True)
                ]
                into[f"{step.name} {term}"] = torch.cat(flat)
    return result


def agree(got: Found, expected: Found) -> None:
    assert got.values.keys() == expected.values.keys() and len(got.values) > 1
    for name, value in expected.values.items():
        assert got.values[name].dtype == torch.float32, name
        torch.testing.assert_close(
            got.values[name], value, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )
    for name, gradient in expected.to_maps.items():
        parallel(got.to_maps[name], gradient)
        parallel(got.to_parameters[name], expected.to_parameters[name])


@pytest.mark.parametrize(("dtype", "autocast"), HANDED)
@pytest.mark.parametrize("name", VARIANTS)
def test_terms_are_computed_in_fp32_from_the_last_maps_on(name, dtype, autocast):
    agree(found(name, dtype, autocast=autocast), found(name, torch.float32, autocast=False))


@pytest.mark.parametrize("name", ["self_attack", "self_attack without j_d", "hc_tri", "lba", "ddag", "cajl", "mitml"])
def test_rows_of_all_processes_are_fp32_as_well(name):
    def gather(rows: Tensor) -> Tensor:
        """Of two processes, the other one with as many clips a little further on."""
        assert rows.dtype in (torch.float32, torch.int64)
        return torch.cat([rows, rows if rows.dtype == torch.int64 else 1.01 * rows.roll(1, dims=1)])

    processes = AllProcesses(gather)
    alone = found(name, torch.float32, autocast=False)
    together = found(name, torch.float32, autocast=False, processes=processes)
    agree(found(name, torch.bfloat16, autocast=True, processes=processes), together)
    changed = any(not torch.equal(together.values[term], value) for term, value in alone.values.items())
    assert changed == (name != "hc_tri")  # whose centres are those of its own process


@pytest.mark.parametrize("name", VARIANTS)
def test_of_a_network_in_bf16_all_that_losses_see_is_fp32(name):
    method = name.split()[0]
    model, settings = made(method, *VARIANTS[name])
    seen: dict[str, set[torch.dtype]] = {"maps": set(), "vectors": set()}
    for part in model.modules():
        kind = "maps" if isinstance(part, nn.Conv2d) else "vectors"
        if isinstance(part, nn.Conv2d | nn.BatchNorm1d | nn.Linear | nn.Conv1d):
            part.register_forward_hook(lambda _, __, output, kind=kind: seen[kind].add(output.dtype))
    for step in find_method(method).updates(model, settings, DUE, ALONE):
        forward = fresh(model)
        with torch.autocast("cpu", torch.bfloat16):
            terms, noted = values(step, forward), figures(step, forward)
        assert {x.dtype for x in (*terms.values(), *noted.values())} == {torch.float32}
    assert torch.bfloat16 in seen["maps"] and seen["vectors"] == {torch.float32}


@pytest.mark.parametrize(("dtype", "autocast"), HANDED)
def test_weights_between_channels_are_computed_in_fp32_too_for_a_softmax_takes_sums_of_products_to_their_powers(
    dtype, autocast
):
    as_in_fp32(ChannelAttention().weights, [maps(2, 16).flatten(2)], dtype, autocast)


def test_logits_under_autocast_are_not_rounded_and_names_stay_those_of_a_linear_map():
    torch.manual_seed(0)
    plain, layer, rows = nn.Linear(64, 5, bias=False), FullPrecisionLinear(64, 5, bias=False), torch.randn(4, 64)
    assert layer.load_state_dict(plain.state_dict()).missing_keys == []
    with torch.autocast("cpu", torch.bfloat16):
        got, rounded = layer(rows), plain(rows)
    assert rounded.dtype == torch.bfloat16
    assert got.dtype == torch.float32 and torch.equal(got, plain(rows))
