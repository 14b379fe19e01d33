"""Many processes as one batch: normalisation over all of them, and hardest pairs among all of them.

With both switched on, n processes of b clips take the step that one process of n * b clips takes, up to rounding:
gradients are averaged over processes, and what flows back through a collective is summed over them.
"""

from __future__ import annotations

import torch
import torch.distributed.nn.functional as collective
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SynchronisedBatchNorm(_BatchNorm):
    """Batch normalisation whose mean and variance in training are those of all processes' rows.

    Differs: torch's SyncBatchNorm runs on GPUs only; this one runs wherever there is an all-reduce.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"rows and channels are needed; got {input.dim()} axes")

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
        self._note(mean.detach(), variance.detach() * (n / max(n - 1, 1)))
        scale = (variance + self.eps).rsqrt() * self.weight
        out: Tensor = centred * scale.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    def _note(self, mean: Tensor, variance: Tensor) -> None:
        """Running statistics, by the momentum that the training loop sets."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def synchronise(model: nn.Module) -> None:
    """Every batch normalisation of the model takes its statistics from all processes; names and weights stay."""
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
    """The rows of all processes, in their order; gradients find their way back to where a row came from."""
    return torch.cat(collective.all_gather(rows.contiguous()))  # type: ignore[no-untyped-call]
