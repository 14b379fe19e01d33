import pytest
import torch

from duskmatch.errors import SettingsError
from duskmatch.losses import centre_cluster_loss
from tests.oracle import mpanet as oracle

LABELS = torch.tensor([0, 0, 1, 1, 4, 4, 4, 0])


def embeddings(seed: int = 0) -> torch.Tensor:
    return 0.5 * torch.randn(8, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("margin", [0.7, 2.0])
@pytest.mark.parametrize("seed", range(2))
def test_centre_cluster_loss_equals_the_literal_loop(seed, margin):
    loss = centre_cluster_loss(embeddings(seed), LABELS, margin=margin)
    assert float(loss) == pytest.approx(oracle.centre_cluster(embeddings(seed), LABELS, margin), rel=1e-5)


def test_one_case_worked_by_hand():
    points = torch.tensor([[0.0], [2.0], [1.5]])  # person 0 around 1, half a unit from person 1
    loss = centre_cluster_loss(points, torch.tensor([0, 0, 1]), margin=0.7)
    assert float(loss) == pytest.approx((1 + 1 + 0) / 3 + 0.2, abs=1e-5)


def test_people_as_points_far_apart_cost_nothing_and_order_does_not_matter():
    corners = 3 * torch.eye(3)[torch.tensor([0, 1, 2, 0, 1, 2])]
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    assert float(centre_cluster_loss(corners, labels)) == pytest.approx(0.0, abs=1e-5)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    a, b = centre_cluster_loss(embeddings(), LABELS), centre_cluster_loss(embeddings()[order], LABELS[order])
    assert float(a) == pytest.approx(float(b), rel=1e-5)


def test_identical_embeddings_cost_the_margin_and_have_a_finite_gradient():
    points = torch.ones(8, 5, requires_grad=True)
    loss = centre_cluster_loss(points, LABELS, margin=0.7)
    loss.backward()
    assert loss.item() == pytest.approx(0.7, abs=1e-5) and bool(torch.isfinite(points.grad).all())


def test_one_person_is_refused():
    with pytest.raises(SettingsError, match=r"needs two people in the batch; raise train\.pids_per_batch"):
        centre_cluster_loss(embeddings(), torch.zeros(8, dtype=torch.int64))
