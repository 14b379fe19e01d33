"""What a function gives and what flows back from it, in one precision and another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# As a network hands its tensors over, and whether autocast is on around the function that takes them.
HANDED = [(torch.float32, True), (torch.bfloat16, False), (torch.bfloat16, True)]


class Outcome(NamedTuple):
    """Values, and the gradient of their sum (each weighed at random) with respect to all that was handed over."""

    values: Tensor
    gradient: Tensor | None  # None where nothing flows back


def outcome(function: Callable[..., Tensor], tensors: Sequence[Tensor], *, autocast: bool) -> Outcome:
    """Of the function on copies of these tensors, each in its own precision; what comes out has to be fp32."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        values = function(*leaves)
    assert values.dtype == torch.float32
    if not values.requires_grad:
        return Outcome(values, None)
    weights = torch.rand(values.shape, generator=torch.Generator().manual_seed(0))
    (values * weights).sum().backward()
    grads = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    return Outcome(values.detach(), torch.cat([grad.float().flatten() for grad in grads]))


def as_in_fp32(function: Callable[..., Tensor], tensors: Sequence[Tensor], dtype: torch.dtype, autocast: bool) -> None:
    """Holds the function, handed these tensors in this precision, to what fp32 makes of the same numbers.

    Values to 1e-5 of their size, at least 1e-6; the gradients' cosine 0.9999 or more.
    """
    handed = [tensor.to(dtype) for tensor in tensors]
    expected = outcome(function, [tensor.float() for tensor in handed], autocast=False)
    got = outcome(function, handed, autocast=autocast)
    torch.testing.assert_close(got.values, expected.values, rtol=1e-5, atol=1e-6)
    assert (got.gradient is None) == (expected.gradient is None)
    if got.gradient is not None and expected.gradient is not None:
        parallel(got.gradient, expected.gradient)


def parallel(got: Tensor, expected: Tensor) -> None:
    """Both gradients are nothing, or point the same way."""
    assert bool(got.any()) == bool(expected.any())
    if bool(expected.any()):
        assert float(F.cosine_similarity(got.double(), expected.double(), dim=0)) >= 0.9999
