import math

import pytest
import torch

from duskmatch.errors import SettingsError
from duskmatch.losses.triplet import squared_difference_loss
from tests.oracle.squared_difference import squared_difference

LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 2, 0])


def embeddings(seed: int = 0) -> torch.Tensor:
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize(("seed", "gamma"), [(0, 1.0), (1, 0.5), (2, 3.0)])
def test_it_equals_the_literal_loop(seed, gamma, normalised):
    loss = squared_difference_loss(embeddings(seed), LABELS, gamma=gamma, normalised=normalised)
    expected = squared_difference(embeddings(seed), LABELS, gamma, normalised=normalised)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_one_case_worked_by_hand():
    points = torch.tensor([[0.0], [1.0], [3.0], [3.5]])  # each has one positive; negatives weigh by exp(-d)
    labels = torch.tensor([0, 0, 1, 1])

    def anchor(d_p: float, a: float, b: float) -> float:
        d_n = (a * math.exp(-a) + b * math.exp(-b)) / (math.exp(-a) + math.exp(-b))
        return math.log(1 + math.exp(-((d_p - d_n) ** 2)))

    expected = (anchor(1, 3, 3.5) + anchor(1, 2, 2.5) + anchor(0.5, 3, 2) + anchor(0.5, 3.5, 2.5)) / 4
    assert float(squared_difference_loss(points, labels, normalised=False)) == pytest.approx(expected, rel=1e-5)


def test_long_vectors_lie_at_the_clamp_where_nothing_is_learnt_and_unit_ones_do_not():
    mixed = torch.tensor([0, 1, 0, 1])  # each far from its own and near the other
    points = 100 * torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]])
    stuck, free = points.clone().requires_grad_(), points.clone().requires_grad_()
    loss = squared_difference_loss(stuck, mixed, normalised=False)
    loss.backward()
    assert float(loss) == pytest.approx(88.0) and float(stuck.grad.abs().max()) == 0
    squared_difference_loss(free, mixed).backward()
    assert float(free.grad.abs().max()) > 1e-4


def test_length_and_order_do_not_matter():
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    a = squared_difference_loss(embeddings(), LABELS)
    b = squared_difference_loss(7 * embeddings()[order], LABELS[order])
    assert float(a) == pytest.approx(float(b), rel=1e-5)


def test_identical_vectors_have_a_finite_gradient():
    points = torch.ones(8, 5, requires_grad=True)
    squared_difference_loss(points, LABELS).backward()
    assert bool(torch.isfinite(points.grad).all())


def test_a_batch_of_one_person_is_refused():
    with pytest.raises(SettingsError, match="a triplet needs two clips of one person and one of another in the batch"):
        squared_difference_loss(embeddings(), torch.zeros(8, dtype=torch.int64))
