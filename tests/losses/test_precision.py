"""Every function of the room of losses gives what fp32 gives, whatever autocast is around it and whatever comes in."""

import importlib
import inspect
import pkgutil
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from duskmatch import losses
from duskmatch.losses import (
    alignment,
    centre_cluster,
    contrastive,
    distillation,
    identity,
    precision,
    triplet,
)
from duskmatch.losses.precision import in_fp32, raised
from tests.precision import HANDED, as_in_fp32

LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 2, 0])
COMPARED = torch.rand(8, 8, generator=torch.Generator().manual_seed(9)) > 0.3


class Case(NamedTuple):
    """What a function is called with: tensors that may come in half precision, then the rest."""

    tensors: tuple[Tensor, ...]
    others: tuple = ()
    options: dict = {}  # noqa: RUF012


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def vectors(seed: int = 0) -> Tensor:
    """Wide, long and much alike, as pooled vectors are: their distances are small beside their lengths."""
    return 1 + 0.05 * normal(8, 512, seed=seed)


def maps(seed: int = 0) -> Tensor:
    return normal(4, 16, 5, 3, seed=seed).abs()


LOGITS = (normal(8, 40), normal(8, 40, seed=1))
DIST = normal(8, 8).abs()
MATCH = normal(4, 15, 15).softmax(dim=2)

# A function that is not here fails the test below: give it a line when you write one.
CASES = {
    alignment.matching: Case((maps(), maps(1))),
    alignment.person_mask: Case((maps(),)),
    alignment.stretched: Case((maps()[:, :1],)),
    alignment.warped: Case((MATCH, maps())),
    alignment.reconstructed: Case((maps(), maps(1), MATCH)),
    alignment.coattention: Case((maps(), maps(1), MATCH)),
    alignment.dense_triplet_loss: Case((maps(), maps(1), maps(2), maps(3)[:, :1]), (), {"margin": 0.3}),
    alignment.over_channels: Case((maps(), maps(1))),
    centre_cluster.centre_cluster_loss: Case((vectors(),), (LABELS,), {"margin": 2.0}),
    centre_cluster.hetero_centre_triplet: Case((vectors(), vectors(1)), (LABELS,), {"margin": 2.0}),
    centre_cluster.centres: Case((vectors(),), (LABELS, 3)),
    centre_cluster.length: Case((vectors(),)),
    contrastive.cross_modal_contrastive_loss: Case((vectors(), vectors(1)), (LABELS,)),
    contrastive.towards_own: Case((DIST,), (LABELS[:, None] == LABELS,)),
    distillation.distillation_loss: Case(LOGITS),
    identity.confusion_loss: Case(LOGITS, (), {"mean": True}),
    identity.pair_cross_entropy: Case(LOGITS, (LABELS,), {"mean": True, "smoothing": 0.1}),
    identity.cross_entropy: Case(LOGITS[:1], (LABELS,), {"smoothing": 0.1}),
    triplet.rank_loss: Case((vectors(),), (LABELS, COMPARED), {"radius": 1.2, "margin": 1.19}),
    triplet.averaged: Case((DIST, DIST)),
    distillation.sinkhorn_distance: Case(tuple(5 * x.softmax(dim=1) for x in LOGITS)),
    distillation.plan: Case((DIST,), (0.1, 20)),
    triplet.squared_difference_loss: Case((vectors(),), (LABELS,), {"normalised": False}),
    triplet.weighted: Case((DIST, DIST), (COMPARED,)),
    triplet.defense_triplet_loss: Case((vectors(),), (LABELS,), {"form": "euclidean", "margin": 3.0}),
    triplet.pairwise_distance: Case((vectors(),), ("squared",)),
}
UNROUNDED = {triplet.pairs}  # labels in, true and false out


@pytest.mark.parametrize(("dtype", "autocast"), HANDED)
@pytest.mark.parametrize("function", CASES, ids=lambda function: function.__name__)
def test_it_is_computed_in_fp32(function, dtype, autocast):
    tensors, others, options = CASES[function]
    as_in_fp32(lambda *handed: function(*handed, *others, **options), tensors, dtype, autocast)


def test_no_function_of_the_room_is_left_out():
    modules = [
        importlib.import_module(f"duskmatch.losses.{found.name}") for found in pkgutil.iter_modules(losses.__path__)
    ]
    public = {
        thing
        for module in modules
        if module is not precision
        for name, thing in inspect.getmembers(module, inspect.isfunction)
        if thing.__module__ == module.__name__ and not name.startswith("_")
    }
    assert public == CASES.keys() | UNROUNDED
    named = {getattr(losses, name) for name in losses.__all__ if inspect.isfunction(getattr(losses, name))}
    assert named <= public | {in_fp32}


def test_without_it_autocast_makes_distances_wrong_by_far_more_than_a_margin():
    """What the case of the triplet would show: a distance is a small difference of large products."""
    exact = triplet.pairwise_distance(vectors(), "squared")
    with torch.autocast("cpu", torch.bfloat16):
        rounded = triplet.pairwise_distance.__wrapped__(vectors(), "squared")
        kept = triplet.pairwise_distance(vectors(), "squared")
    assert float((rounded.float() - exact).abs().max()) > 1.0
    assert torch.equal(kept, exact)


def test_what_is_raised_and_what_is_left_alone():
    single, double, labels = torch.zeros(2), torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.int64)
    assert all(raised(x) is x for x in (single, double, labels, "squared", 0.3, None))
    assert {raised(single.to(half)).dtype for half in (torch.bfloat16, torch.float16)} == {torch.float32}


def test_autocast_is_off_inside_and_as_before_outside_and_an_error_changes_nothing():
    @in_fp32
    def seen(x, *, y=None, fail=False):
        assert not torch.is_autocast_enabled("cpu")
        assert y is None or y.dtype == torch.float32
        if fail:
            raise ValueError("wrong")
        return x @ x

    square = torch.rand(3, 3, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(seen(square, y=square.bfloat16()), seen(square))
        with pytest.raises(ValueError, match="wrong"):
            seen(square, fail=True)
        assert torch.is_autocast_enabled("cpu") and (square @ square).dtype == torch.bfloat16
    assert seen(torch.zeros(2, 2, device="meta")).shape == (2, 2)  # networks are laid out and counted there
