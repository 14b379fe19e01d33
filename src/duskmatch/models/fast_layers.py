"""Faster layers for training on the CPU: gradients that are slow in oneDNN, and a normalisation in fewer passes.

The measurements are in docs/log.md. Each layer computes the same as torch's, up to the last bits of fp32; if its
conditions do not hold (evaluation, bf16, a GPU, many threads, another layout, no numba), torch's is used.

| layer | in torch | here |
|---|---|---|
| depthwise convolution, 5 x 5 | a reference loop for its weights | `kernels.depthwise_weight_gradient` |
| 1x1 convolution of many channels | oneDNN's convolution for its weights | one matrix product |
| batch normalisation and ReLU6 | a pass over memory for each | `kernels.normalise_rows`, two passes |
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from duskmatch import machine_code
from duskmatch.machine_code import Loops
from duskmatch.models import kernels

MANY = 8192  # weights of a 1x1 convolution from which on a matrix product is faster than oneDNN
MOST_THREADS = 2  # the kernels use one thread; with more, torch is faster


KERNELS = (kernels.normalise_rows, kernels.normalise_rows_backward, kernels.depthwise_weight_gradient)


@cache
def compiled() -> Loops | None:
    """The kernels as machine code; None if numba is off, missing or broken: then torch's layers are used."""
    return machine_code.compiled(KERNELS, fastmath={"contract"})


def state() -> str:
    """The version of the kernels, recorded in the RUN: another one gives other last bits."""
    return "off" if compiled() is None else f"numba {version('numba')}"


def run(name: str, *arguments: Any) -> None:
    (compiled() or {})[name](*arguments)


def applies(x: Tensor) -> bool:
    """True if the kernels apply: fp32 on a CPU of few cores, channels last, in training."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and torch.get_num_threads() <= MOST_THREADS
        and not torch.compiler.is_compiling()
        and x.is_contiguous(memory_format=torch.channels_last)
        and compiled() is not None
    )


def rows(maps: Tensor) -> Any:
    """Maps (n c h w), channels last in memory, as an array of rows (nhw c) on the same memory."""
    return maps.detach().permute(0, 2, 3, 1).reshape(-1, maps.shape[1]).numpy()


class NormaliseRows(torch.autograd.Function):
    """Batch normalisation by the batch's statistics, then ReLU6 if `most` is 6 (0: none)."""

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: int | float, most: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        out, mean, inverse = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
        arrays = (
            weight.detach().numpy(),
            bias.detach().numpy(),
            epsilon,
            most,
            rows(out),
            mean.numpy(),
            inverse.numpy(),
        )
        run("normalise_rows", rows(x), *arrays)
        context.save_for_backward(x, weight, bias, mean, inverse)
        context.most = most
        context.mark_non_differentiable(mean, inverse)
        return out, mean, inverse

    @staticmethod
    @once_differentiable
    def backward(context: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, inverse = context.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_x, grad_weight, grad_bias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        known = (weight.detach().numpy(), bias.detach().numpy(), context.most, mean.numpy(), inverse.numpy())
        found = (rows(grad_x), grad_weight.numpy(), grad_bias.numpy())
        run("normalise_rows_backward", rows(x), rows(grad), *known, *found)
        return grad_x, grad_weight, grad_bias, None, None


class Norm(nn.BatchNorm2d):
    """Batch normalisation, then ReLU6 if `clips`."""

    def __init__(self, channels: int, *, epsilon: int | float, clips: bool) -> None:
        super().__init__(channels, eps=epsilon)
        self.clips = clips

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and applies(x)):
            x = super().forward(x)
            return F.relu6(x, inplace=True) if self.clips else x
        out, mean, inverse = NormaliseRows.apply(x, self.weight, self.bias, self.eps, 6.0 if self.clips else 0.0)  # type: ignore[no-untyped-call]
        variance = (inverse.square().reciprocal() - self.eps).clamp_min(0)
        follow(self, mean, variance, x.numel() // x.shape[1])
        return out  # type: ignore[no-any-return]


@torch.no_grad()
def follow(norm: _BatchNorm, mean: Tensor, variance: Tensor, n: int | float) -> None:
    """Updates the running statistics with those of n rows, by the training loop's momentum (0: no update)."""
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    if norm.momentum:
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (n / max(n - 1, 1)), norm.momentum)


class Convolve(torch.autograd.Function):
    """A convolution whose weights' gradient is computed by a kernel (depthwise) or one matrix product (1x1)."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        context.save_for_backward(x, weight)
        context.stride, context.padding = stride, padding
        groups = x.shape[1] // weight.shape[1]
        return F.conv2d(x, weight, None, stride, padding, 1, groups)

    @staticmethod
    @once_differentiable
    def backward(context: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = context.saved_tensors
        stride, padding, groups = context.stride, context.padding, x.shape[1] // weight.shape[1]
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_x = None
        if context.needs_input_grad[0]:
            grad_x = torch.ops.aten.convolution_backward(
                grad, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, [True, False, False]
            )[0]
        if not context.needs_input_grad[1]:
            return grad_x, None, None, None
        return grad_x, weight_gradient(x, grad, weight, stride, padding), None, None


def weight_gradient(x: Tensor, grad: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """The gradient of the weights of a 1x1 or a depthwise convolution."""
    if weight.shape[-1] == 1:
        flat = [maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1]) for maps in (grad, x)]
        return (flat[0].T @ flat[1]).reshape(weight.shape)
    kernel, channels = weight.shape[-1], weight.shape[0]
    found = torch.empty(kernel, kernel, channels)
    arrays = [maps.detach().permute(0, 2, 3, 1).numpy() for maps in (x, grad)]
    run("depthwise_weight_gradient", *arrays, stride, padding, padding, found.numpy())
    return found.permute(2, 0, 1).unsqueeze(1)


def convolved(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """The convolution, with the faster gradient if it applies."""
    weight = convolution.weight
    depthwise = convolution.groups == weight.shape[0] > 1 and weight.shape[-1] == 5
    product = weight.shape[-1] == 1 and weight.numel() >= MANY and convolution.groups == 1
    if not (depthwise or product) or convolution.bias is not None or not applies(x):
        return convolution(x)  # type: ignore[no-any-return]
    padding = convolution.padding[0]
    assert isinstance(padding, int)
    return Convolve.apply(x, weight, convolution.stride[0], padding)  # type: ignore[no-any-return, no-untyped-call]
