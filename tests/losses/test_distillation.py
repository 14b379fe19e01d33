import math

import pytest
import torch

from duskmatch.losses import distillation_loss
from tests.oracle import mpanet as oracle


def logits(seed: int) -> torch.Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(seed))


def test_distillation_equals_the_literal_loop_and_is_not_symmetric():
    a, b = logits(0), logits(1)
    assert float(distillation_loss(a, b)) == pytest.approx(oracle.divergence(a, b), rel=1e-5)
    assert float(distillation_loss(a, b)) != pytest.approx(float(distillation_loss(b, a)), rel=1e-2)


def test_one_case_worked_by_hand():
    sure = torch.tensor([[math.log(3.0), 0.0]])  # 3/4, 1/4 against 1/2, 1/2
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(distillation_loss(sure, torch.zeros(1, 2))) == pytest.approx(expected)


def test_agreement_costs_nothing_whatever_is_added_to_all_logits():
    assert float(distillation_loss(logits(0), logits(0) + 5)) == pytest.approx(0.0, abs=1e-6)


def test_the_student_is_drawn_to_the_teacher():
    """The divergence's own gradient, p_student - p_teacher: not almost none, as in the public code."""
    teacher, student = logits(0), logits(1).requires_grad_()
    distillation_loss(teacher, student).backward()
    expected = (student.detach().softmax(dim=1) - teacher.softmax(dim=1)) / len(teacher)
    assert torch.allclose(student.grad, expected, atol=1e-6)
    assert float(student.grad.abs().max()) > 0.01
