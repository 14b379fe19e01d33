"""Cost of a network at test: parameters and floating-point operations for one tracklet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from duskmatch.models import Network

# FlopCounterMode counts attention on a GPU, but not this operation on a CPU.
ATTENTION_ON_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


def count_parameters(model: Network) -> dict[str, int]:
    """The numbers of all parameters and of those that the embedding uses (not the attack nor the classifiers)."""
    total = sum(p.numel() for p in model.parameters())
    at_test = sum(p.numel() for name, p in model.named_parameters() if not unused_at_test(model, name))
    return {"training": total, "test": at_test}


def unused_at_test(model: Network, name: str) -> bool:
    """True if the embedding does not use this parameter."""
    return name.startswith(model.unused_at_test)


@contextmanager
def evaluating(model: Network) -> Iterator[None]:
    """Puts the model in evaluation mode while the block runs."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    """The operations of both products, from the shapes (clips, heads, positions, width) of query, key and value."""
    clips, heads, asking, width = query
    return 2 * clips * heads * asking * key[2] * (width + value[3])


def count_flops(model: Network, n_frames: int, height: int, width: int) -> int:
    """Multiplications plus additions for one clip (a matrix product of a x b by b x c costs 2abc)."""
    recurrent = 0

    def lstm(module: nn.LSTM, inputs: tuple[torch.Tensor, ...], _: Any) -> None:
        nonlocal recurrent
        rows = inputs[0].shape[0] * inputs[0].shape[1]
        weights = sum(p.numel() for name, p in module.named_parameters() if name.startswith("weight"))
        recurrent += 2 * rows * weights

    device = next(model.parameters()).device
    counter = FlopCounterMode(display=False, custom_mapping={ATTENTION_ON_CPU: attention_flops})
    with ExitStack() as hooks, evaluating(model):
        for part in model.modules():
            if isinstance(part, nn.LSTM):
                hooks.enter_context(part.register_forward_hook(lstm))
        with torch.no_grad(), counter:
            model.embed(torch.zeros(1, n_frames, 3, height, width, device=device), "visible")
    seen_by_counter = sum(
        flops for name, flops in counter.get_flop_counts().get("Global", {}).items() if "lstm" not in str(name)
    )
    return int(seen_by_counter + recurrent)
