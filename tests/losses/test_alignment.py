import pytest
import torch

from duskmatch.losses.alignment import coattention, dense_triplet_loss, matching, person_mask, reconstructed, warped
from tests.oracle import alignment as oracle

SAME, OTHER = [2, 3, 0, 1], [3, 2, 1, 0]


def maps(seed: int = 0) -> torch.Tensor:
    return torch.randn(4, 5, 3, 2, generator=torch.Generator().manual_seed(seed))


def loss_of(some: torch.Tensor, margin: float = 0.3) -> torch.Tensor:
    same, other = some[SAME], some[OTHER]
    match = matching(some, same)
    rebuilt = reconstructed(some, same, match), reconstructed(some, other, matching(some, other))
    return dense_triplet_loss(some, *rebuilt, coattention(some, same, match), margin=margin)


def test_matching_masks_warps_and_coattention_equal_the_literal_loop():
    some, same = maps(), maps()[SAME]
    match = matching(some, same)
    for i in range(4):
        assert torch.allclose(match[i], torch.tensor(oracle.matching(some[i], same[i])), atol=1e-5)
        assert torch.allclose(person_mask(some)[i].flatten(), torch.tensor(oracle.mask(some[i])), atol=1e-5)
        rebuilt = reconstructed(some, same, match)[i]
        assert torch.allclose(rebuilt, oracle.reconstructed(some[i], same[i]), atol=1e-5)
        assert not torch.allclose(rebuilt, some[i], atol=1e-2)
        seen = coattention(some, same, match)[i].flatten()
        assert torch.allclose(seen, torch.tensor(oracle.coattention(some[i], same[i])), atol=1e-5)


@pytest.mark.parametrize("margin", [0.3, 2.0])
def test_the_dense_triplet_equals_the_literal_loop(margin):
    assert float(loss_of(maps(), margin)) == pytest.approx(oracle.dense_triplet(maps(), SAME, OTHER, margin), rel=1e-4)


def test_one_case_worked_by_hand():
    own = torch.zeros(1, 2, 1, 2)
    near, far = own.clone(), own.clone()
    near[0, :, 0, 0], far[0, :, 0, 0] = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 4.5])  # 5 - 4.5 + 1
    near[0, :, 0, 1], far[0, :, 0, 1] = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 9.0])  # under 0
    attention = torch.tensor([0.5, 1.0]).reshape(1, 1, 1, 2)
    assert float(dense_triplet_loss(own, near, far, attention, margin=1.0)) == pytest.approx(0.5 * 1.5 / 2)


def test_a_map_warped_by_its_own_matching_is_nearly_itself():
    spread = torch.eye(6).reshape(1, 6, 3, 2)  # every place another direction
    assert torch.allclose(warped(matching(spread, spread), spread), spread, atol=1e-6)


def test_no_gradient_flows_through_masks_and_a_still_map_has_a_finite_one():
    some = maps().requires_grad_()
    assert not person_mask(some).requires_grad
    assert not coattention(some, some[SAME], matching(some, some[SAME])).requires_grad
    dead = torch.zeros(4, 5, 3, 2, requires_grad=True)
    loss_of(dead).backward()
    assert bool(torch.isfinite(dead.grad).all())


def test_a_mask_without_its_own_axis_is_refused():
    """Multiplied with distances (n h w) a mask (n 1 h w) would weigh every picture by every mask."""
    some = maps()
    with pytest.raises(Exception, match="attention"):
        dense_triplet_loss(some, some, some, torch.ones(4, 3, 2))
