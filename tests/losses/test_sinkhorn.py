import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from duskmatch.losses import sinkhorn_distance
from duskmatch.losses.distillation import plan
from tests.oracle import vsd as oracle


def posteriors(seed: int, n: int = 6) -> torch.Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)).softmax(dim=1)


@pytest.mark.parametrize(("n", "m"), [(6, 6), (5, 7)])
@pytest.mark.parametrize("epsilon", [0.01, 0.1])
def test_sinkhorn_equals_the_literal_loop(epsilon, n, m):
    a, b = posteriors(0, n), posteriors(1, m)
    expected = oracle.sinkhorn(a.double(), b.double(), epsilon, 100)
    assert float(sinkhorn_distance(a, b, epsilon=epsilon)) == pytest.approx(expected, rel=1e-3)


def test_with_a_small_epsilon_it_is_the_cheapest_assignment():
    a, b = posteriors(0), posteriors(1)
    cost = torch.cdist(a, b).square().numpy()
    cheapest = cost[linear_sum_assignment(cost)].mean()
    assert float(sinkhorn_distance(a, b, epsilon=1e-3, n_iterations=3000)) == pytest.approx(float(cheapest), rel=0.02)


def test_the_order_of_points_does_not_matter_and_a_set_is_next_to_itself():
    a, b = posteriors(0), posteriors(1)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    assert float(sinkhorn_distance(a, b[order])) == pytest.approx(float(sinkhorn_distance(a, b)), rel=1e-4)
    corners = torch.eye(4)
    assert float(sinkhorn_distance(corners, corners[[2, 0, 3, 1]])) == pytest.approx(0.0, abs=1e-6)


def test_the_plan_carries_all_of_the_mass_and_far_points_make_no_nan():
    carried = plan(torch.cdist(posteriors(0, 5), posteriors(1, 7)), 0.01, 500)
    assert torch.allclose(carried.sum(dim=0), torch.full((7,), 1 / 7), atol=1e-6)
    assert torch.allclose(carried.sum(dim=1), torch.full((5,), 1 / 5), atol=1e-3)
    assert np.isfinite(float(sinkhorn_distance(100 * torch.eye(3), -100 * torch.eye(3))))


def test_the_gradient_is_that_of_the_regularised_cost():
    """Cost less epsilon times the plan's entropy, by differences in double precision."""
    a, b, epsilon = posteriors(0, 4), posteriors(1, 4), 0.1

    def regularised(points: torch.Tensor) -> float:
        cost = torch.cdist(points, b.double()).square()
        carried = plan(cost, epsilon, 2000)
        return float((carried * cost).sum() + epsilon * (carried * carried.log()).sum())

    leaf = a.clone().requires_grad_()
    sinkhorn_distance(leaf, b, epsilon=epsilon, n_iterations=2000).backward()
    step = torch.zeros(4, 4, dtype=torch.float64)
    step[2, 1] = 1e-4
    slope = (regularised(a.double() + step) - regularised(a.double() - step)) / 2e-4
    assert float(leaf.grad[2, 1]) == pytest.approx(slope, rel=1e-2)
