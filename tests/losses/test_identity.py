import math

import pytest
import torch

from duskmatch.losses import (
    attack_identity_loss,
    confusion_loss,
    cross_entropy,
    defense_identity_loss,
    sequence_identity_loss,
)
from tests.oracle import losses as oracle


@pytest.fixture
def logits() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(5, 7, generator=generator), torch.randn(5, 7, generator=generator)


def test_eq3_equals_the_literal_loop(logits):
    assert float(confusion_loss(*logits)) == pytest.approx(oracle.eq3(*logits), rel=1e-6)


def test_eq3_is_least_where_the_classifier_is_undecided():
    flat = torch.zeros(4, 9)
    assert float(confusion_loss(flat, flat)) == pytest.approx(2 * math.log(9))
    assert float(confusion_loss(flat, flat, mean=True)) == pytest.approx(math.log(9))
    assert float(confusion_loss(flat, torch.eye(4, 9))) > 2 * math.log(9)


@pytest.mark.parametrize("loss", [attack_identity_loss, defense_identity_loss, sequence_identity_loss])
def test_identity_losses_equal_the_literal_loop(loss, logits):
    labels = torch.tensor([0, 6, 3, 3, 1])
    expected = oracle.eq5(*logits, labels)
    assert float(loss(*logits, labels)) == pytest.approx(expected, rel=1e-6)
    assert float(loss(*logits, labels, mean=True)) == pytest.approx(expected / 2, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("loss", [attack_identity_loss, defense_identity_loss, sequence_identity_loss])
def test_smoothed_identity_losses_equal_the_literal_loop(loss, smoothing, logits):
    labels = torch.tensor([0, 6, 3, 3, 1])
    expected = oracle.eq5_smoothed(*logits, labels, smoothing)
    assert float(loss(*logits, labels, smoothing=smoothing)) == pytest.approx(expected, rel=1e-6)
    assert float(loss(*logits, labels, mean=True, smoothing=smoothing)) == pytest.approx(expected / 2, rel=1e-6)


def test_one_modalitys_cross_entropy_equals_the_literal_loop(logits):
    labels, (visible, _) = torch.tensor([0, 6, 3, 3, 1]), logits
    assert float(cross_entropy(visible, labels)) == pytest.approx(oracle.eq5(visible, visible, labels) / 2, rel=1e-6)
    smoothed = oracle.eq5_smoothed(visible, visible, labels, 0.1) / 2
    assert float(cross_entropy(visible, labels, smoothing=0.1)) == pytest.approx(smoothed, rel=1e-6)


def test_smoothing_of_one_case_worked_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)]])  # probabilities 1/4, 3/4
    loss = defense_identity_loss(logits, logits, torch.tensor([1]), smoothing=0.2)  # labels 0.1, 0.9
    assert float(loss) == pytest.approx(2 * (0.1 * math.log(4) + 0.9 * math.log(4 / 3)))


def test_labels_smoothed_to_nothing_are_equation_3s(logits):
    blank = defense_identity_loss(*logits, torch.tensor([0, 6, 3, 3, 1]), smoothing=1.0)
    assert float(blank) == pytest.approx(float(confusion_loss(*logits)), rel=1e-6)


def test_identity_loss_of_one_case_worked_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)]])  # probabilities 1/4, 3/4
    loss = defense_identity_loss(logits, logits, torch.tensor([1]))
    assert float(loss) == pytest.approx(2 * math.log(4 / 3))


def test_gradient_of_eq3_pushes_a_decided_classifier_towards_uniform():
    logits = torch.tensor([[4.0, 0.0, 0.0]], requires_grad=True)
    confusion_loss(logits, logits.detach()).backward()
    assert logits.grad[0, 0] > 0 > logits.grad[0, 1]
