import math

import pytest
import torch
from pytorch_metric_learning.losses import SupConLoss
from pytorch_metric_learning.reducers import MeanReducer

from duskmatch.losses import cross_modal_contrastive_loss
from tests.oracle import losses as oracle

LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 2, 0])


def clips(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    visible, infrared = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(seed))
    return visible, infrared


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(2))
def test_contrastive_loss_equals_the_literal_loop(seed, temperature):
    loss = cross_modal_contrastive_loss(*clips(seed), LABELS, temperature=temperature)
    assert float(loss) == pytest.approx(oracle.contrastive(*clips(seed), LABELS, temperature), rel=1e-5)


def test_it_equals_pytorch_metric_learnings_in_both_directions():
    visible, infrared = clips()
    reference = SupConLoss(temperature=0.1, reducer=MeanReducer())
    # a clone: where both labels are one object it takes rows and columns for the same clips
    ways = [(visible, infrared), (infrared, visible)]
    expected = sum(float(reference(a, LABELS, ref_emb=b, ref_labels=LABELS.clone())) for a, b in ways) / 2
    assert float(cross_modal_contrastive_loss(visible, infrared, LABELS)) == pytest.approx(expected, rel=1e-5)


def test_one_case_worked_by_hand():
    """Two people, one clip each: cosines 1 and 0 to the visible clips' own and other, 1 and 0 back; temperature 1/2."""
    corners = torch.tensor([[2.0, 0.0], [0.0, 3.0]])  # lengths do not count
    loss = cross_modal_contrastive_loss(corners, torch.eye(2), torch.tensor([0, 1]), temperature=0.5)
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2)))


def test_clips_of_one_modality_do_not_compete_with_each_other():
    """Visible clips of two people that are alike cost nothing where each is found by night without them."""
    visible, infrared = clips()
    a = cross_modal_contrastive_loss(visible[:2], infrared[:2], torch.tensor([0, 1]), temperature=1.0)
    sim = torch.nn.functional.normalize(visible[:2], dim=1) @ torch.nn.functional.normalize(infrared[:2], dim=1).T
    expected = sum(-torch.log_softmax(s, dim=1).diagonal().mean() for s in (sim, sim.T)) / 2
    assert float(a) == pytest.approx(float(expected), rel=1e-6)  # four cosines, none within a modality


def test_order_and_length_of_clips_do_not_matter():
    visible, infrared = clips()
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    a = cross_modal_contrastive_loss(visible, infrared, LABELS)
    b = cross_modal_contrastive_loss(7 * visible[order], infrared[order], LABELS[order])
    assert float(a) == pytest.approx(float(b), rel=1e-5)


def test_everybody_alike_costs_the_logarithm_of_the_candidates_and_has_a_finite_gradient():
    same = torch.ones(8, 5, requires_grad=True)
    loss = cross_modal_contrastive_loss(same, same, LABELS, temperature=0.001)
    loss.backward()
    assert float(loss) == pytest.approx(math.log(8), rel=1e-5) and bool(torch.isfinite(same.grad).all())


def test_half_precision_around_it_does_not_change_it():
    visible, infrared = clips()
    with torch.autocast("cpu", torch.bfloat16):
        loss = cross_modal_contrastive_loss(visible, infrared, LABELS)
    assert torch.equal(loss, cross_modal_contrastive_loss(visible, infrared, LABELS))


def test_what_is_not_a_number_stays_in_the_loss():
    visible, infrared = clips()
    visible[0, 0] = torch.nan
    assert torch.isnan(cross_modal_contrastive_loss(visible, infrared, LABELS))
