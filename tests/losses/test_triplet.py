import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer

from duskmatch.errors import SettingsError
from duskmatch.losses import defense_triplet_loss
from tests.oracle import losses as oracle

LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 2, 0])


def embeddings(seed: int = 0) -> torch.Tensor:
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("form", ["squared", "euclidean", "squared_over_d"])
@pytest.mark.parametrize("seed", range(3))
def test_eq10_equals_the_literal_loop(form, seed):
    loss = defense_triplet_loss(embeddings(seed), LABELS, margin=0.3, form=form)
    assert float(loss) == pytest.approx(oracle.eq10(embeddings(seed), LABELS, 0.3, form), rel=1e-5)


def test_euclidean_form_equals_pytorch_metric_learning():
    distance = LpDistance(normalize_embeddings=False)
    reference = TripletMarginLoss(margin=0.3, distance=distance, reducer=MeanReducer())
    pairs = BatchHardMiner(distance=distance)(embeddings(), LABELS)
    loss = defense_triplet_loss(embeddings(), LABELS, margin=0.3, form="euclidean")
    assert float(loss) == pytest.approx(float(reference(embeddings(), LABELS, pairs)), rel=1e-5)


def test_one_case_worked_by_hand():
    points = torch.tensor([[0.0], [1.0], [3.0], [3.5]])  # two people at 0, 1 and 3, 3.5
    labels = torch.tensor([0, 0, 1, 1])
    # anchors: 1-9, 1-4, 0.25-4, 0.25-6.25, each plus 4
    assert float(defense_triplet_loss(points, labels, margin=4.0)) == pytest.approx((0 + 1 + 0.25 + 0) / 4)


def test_identical_embeddings_cost_the_margin_and_have_a_finite_gradient():
    points = torch.ones(8, 5, requires_grad=True)
    loss = defense_triplet_loss(points, LABELS, margin=0.3, form="euclidean")
    loss.backward()
    assert loss.item() == pytest.approx(0.3, abs=1e-5)
    assert bool(torch.isfinite(points.grad).all())


def test_order_of_clips_does_not_matter():
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    a = defense_triplet_loss(embeddings(), LABELS)
    b = defense_triplet_loss(embeddings()[order], LABELS[order])
    assert float(a) == pytest.approx(float(b), rel=1e-6)


def test_a_batch_of_one_person_is_refused():
    with pytest.raises(SettingsError, match="a triplet needs two clips of one person and one of another in the batch"):
        defense_triplet_loss(embeddings(), torch.zeros(8, dtype=torch.int64))


def test_an_unknown_form_is_refused():
    with pytest.raises(
        SettingsError, match=r"loss\.triplet must be one of squared, euclidean, squared_over_d; got cosine"
    ):
        defense_triplet_loss(embeddings(), LABELS, form="cosine")


def test_what_is_not_a_number_stays_in_the_loss_and_is_not_taken_for_a_missing_person():
    embeddings = torch.randn(4, 3)
    embeddings[1, 0] = torch.nan
    assert torch.isnan(defense_triplet_loss(embeddings, torch.tensor([0, 0, 1, 1])))
