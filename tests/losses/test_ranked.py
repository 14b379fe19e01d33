import math

import pytest
import torch

from duskmatch.losses import rank_loss
from tests.oracle import vsd as oracle

LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 2, 0])
ALL = torch.ones(8, 8, dtype=torch.bool)
HALVES = torch.arange(8) < 4
BOUNDS = [{"radius": 2.2, "margin": 0.9}, {"radius": 2.0, "margin": 1.0}, {"radius": 1.2, "margin": 0.4}]


def embeddings(seed: int = 0) -> torch.Tensor:
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("compared", [ALL, HALVES[:, None] == HALVES, HALVES[:, None] != HALVES])
@pytest.mark.parametrize("bounds", BOUNDS)
def test_rank_loss_equals_the_literal_loop(bounds, compared):
    loss = rank_loss(embeddings(), LABELS, compared, **bounds)
    assert float(loss) == pytest.approx(oracle.rank(embeddings(), LABELS, compared, **bounds), rel=1e-4)


def test_one_case_worked_by_hand():
    """Corners of a square: the person's other clip at sqrt 2, the others at sqrt 2 and 2."""
    points = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    labels, only_first = torch.tensor([0, 0, 1]), torch.zeros(3, 3, dtype=torch.bool)
    only_first[0] = True
    expected = (math.sqrt(2) - 1.3) + (2.2 - 2.0)  # one negative: its weight is all of it
    assert float(rank_loss(points, labels, only_first, radius=2.2, margin=0.9)) == pytest.approx(expected / 3, rel=1e-5)


def test_length_and_order_do_not_matter():
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    a = rank_loss(embeddings(), LABELS, ALL, radius=2.0, margin=1.0)
    b = rank_loss(3 * embeddings()[order], LABELS[order], ALL, radius=2.0, margin=1.0)
    assert float(a) == pytest.approx(float(b), rel=1e-5)


def test_identical_embeddings_and_people_seen_once_have_a_finite_gradient():
    points = torch.ones(4, 5, requires_grad=True)
    loss = rank_loss(points, torch.arange(4), torch.ones(4, 4, dtype=torch.bool), radius=2.0, margin=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(2.0, abs=1e-4) and bool(torch.isfinite(points.grad).all())
