"""One process or many: device, precision and collectives through Lightning Fabric.

Torchrun starts the processes; each has its share of a batch's people, and gradients are averaged after the backward
pass of each sub-step. Batch statistics are computed in each process, or over all (`synchronise`), and so are hardest
pairs (`gathered`): with both, n processes of b clips take the same step as one process of n * b clips, up to rounding,
because gradients through a collective are summed over processes.
"""

from __future__ import annotations

import importlib
import logging
import os
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
import torch.distributed.nn.functional as collective
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from duskmatch.models.fast_layers import follow


class Processes:
    """This process and its collectives with the others."""

    def __init__(self, device: torch.device, precision: Literal["fp32", "bf16", "auto"]) -> None:
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self.fabric = _fabric()(
            accelerator="cuda" if device.type == "cuda" else "cpu",
            devices=here if here > 1 else ([device.index or 0] if device.type == "cuda" else 1),
            num_nodes=int(os.environ.get("GROUP_WORLD_SIZE", "1")),
            strategy="ddp" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else "auto",
            precision="bf16-mixed" if precision == "bf16" else "32-true",
        )
        self.fabric.launch()
        self.rank, self.world = self.fabric.global_rank, self.fabric.world_size
        self.device: torch.device = self.fabric.device

    @property
    def first(self) -> bool:
        return bool(self.rank == 0)

    def autocast(self) -> AbstractContextManager[Any]:
        return self.fabric.autocast()  # type: ignore[no-any-return]

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        return self.fabric.all_reduce(value, reduce_op="mean")  # type: ignore[no-any-return]

    def mean_of(self, number: float) -> float:
        """The mean of a number over all processes."""
        if self.world == 1:
            return number
        return float(self.mean(torch.tensor(number, dtype=torch.float64, device=self.device)))

    def wait(self) -> None:
        self.fabric.barrier()


def _fabric() -> Any:
    """The class Fabric of the small package, or of the big one if only that is installed, with its messages muted."""
    try:
        module = importlib.import_module("lightning_fabric")
    except ImportError:
        module = importlib.import_module("lightning.fabric")
    for name in ("lightning_fabric", "lightning.fabric"):  # after the import, which sets its own level
        logging.getLogger(name).setLevel(logging.WARNING)
    return module.Fabric


class SynchronisedBatchNorm(_BatchNorm):
    """Batch normalisation whose mean and variance in training are those of all processes' rows.

    Differs: torch's SyncBatchNorm runs on GPUs only; this one runs on any device with an all-reduce.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"input must have rows and channels; got {input.dim()} axes")

    def forward(self, input: Float[Tensor, "n c *hw"]) -> Float[Tensor, "n c *hw"]:
        if not self.training:
            return super().forward(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        others = [axis for axis in range(x.dim()) if axis != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        count = torch.full((1,), x.numel() // x.shape[1], dtype=x.dtype, device=x.device)
        sums: Tensor = collective.all_reduce(torch.cat([x.sum(others), count]))  # type: ignore[no-untyped-call]
        n, mean = float(sums[-1]), sums[:-1] / sums[-1]
        centred = x - mean.view(shape)
        variance: Tensor = collective.all_reduce(centred.square().sum(others)) / n  # type: ignore[no-untyped-call]
        follow(self, mean.detach(), variance.detach(), n)
        scale = (variance + self.eps).rsqrt() * self.weight
        out: Tensor = centred * scale.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)


def synchronise(model: nn.Module) -> None:
    """Makes every batch normalisation of the model use all processes' statistics; names and weights stay."""
    for parent in model.modules():
        for name, part in parent.named_children():
            if isinstance(part, _BatchNorm) and not isinstance(part, SynchronisedBatchNorm):
                setattr(parent, name, _synchronised(part))


def _synchronised(part: _BatchNorm) -> SynchronisedBatchNorm:
    twin = SynchronisedBatchNorm(part.num_features, part.eps, part.momentum)
    twin.weight, twin.bias = part.weight, part.bias
    twin.running_mean, twin.running_var = part.running_mean, part.running_var
    twin.num_batches_tracked = part.num_batches_tracked
    twin.training = part.training
    return twin


def gathered(rows: Float[Tensor, "n d"]) -> Float[Tensor, "m d"]:
    """The rows of all processes, in the order of processes; gradients flow back to the process of each row."""
    return torch.cat(collective.all_gather(rows.contiguous()))  # type: ignore[no-untyped-call]
