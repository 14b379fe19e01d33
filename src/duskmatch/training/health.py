"""Measures of a network's learned parts on the iterations that are logged; they change no weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from duskmatch.models import Network
from duskmatch.models.gauges import Gauge


@contextmanager
def gauged(model: Network, *, on: bool) -> Iterator[dict[str, list[float]]]:
    """Collects the figures of the parts' gauges while the block runs, one for each forward, if `on`."""
    found: dict[str, list[float]] = {}
    with ExitStack() as hooks:
        for part, gauge in model.gauges().items() if on else ():
            hooks.callback(part.register_forward_hook(_reading(gauge, found)).remove)
        yield found


def _reading(gauge: Gauge, found: dict[str, list[float]]) -> Callable[[nn.Module, Any, Any], None]:
    @torch.no_grad()
    def read(part: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        for column, figure in gauge(inputs, output).items():
            found.setdefault(column, []).append(float(figure))

    return read


def means(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The mean of each column over micro-batches, and over parts that share a column."""
    return {column: fmean(figures) for column, figures in found.items()}


def branch_ratios(model: Network) -> dict[str, float]:
    """|branch| / |trunk| of each part that records it; the largest if several share a column."""
    ratios: dict[str, float] = {}
    for name, part in model.named_modules():
        ratio = getattr(part, "branch_ratio", None)
        if ratio is not None:
            column = f"{name.split('.', 1)[0]}_ratio"
            ratios[column] = max(ratios.get(column, 0.0), float(ratio))
    return ratios


class StemGradients:
    """Gradients of the stems by single terms, for the columns that compare two of them (`Network.gradient_shares`).

    They are taken before the update's own backward and leave its graph unchanged.
    """

    def __init__(self, shares: Mapping[str, tuple[str, str]], model: nn.Module, stems: Sequence[nn.Parameter]) -> None:
        self.shares, self.model, self.stems = shares, model, stems
        self.terms = {name for pair in shares.values() for name in pair}
        self.found: dict[str, Tensor] = {}

    def add(self, name: str, weighted: Tensor) -> None:
        """Adds the gradient of a weighted term, if the term reaches the stems."""
        stems = [p for p in self.stems if p.requires_grad]
        if name not in self.terms or not stems or not weighted.requires_grad:
            return
        with _batch_counts_restored(self.model):
            grads = torch.autograd.grad(weighted, stems, retain_graph=True, allow_unused=True)
        if any(g is not None for g in grads):
            pieces = [torch.zeros_like(p) if g is None else g for p, g in zip(stems, grads, strict=True)]
            flat = torch.cat([piece.float().flatten() for piece in pieces])
            self.found[name] = self.found[name] + flat if name in self.found else flat

    def ratios(self, reduce: Callable[[Tensor], Tensor] | None) -> dict[str, float]:
        """Ratios of the norms of gradients averaged over processes, if both were measured; every process must call."""
        norms = {n: float((g if reduce is None else reduce(g)).norm()) for n, g in sorted(self.found.items())}
        return {
            column: norms[over] / norms[under]
            for column, (over, under) in self.shares.items()
            if over in norms and norms.get(under)
        }


@contextmanager
def _batch_counts_restored(model: nn.Module) -> Iterator[None]:
    """Restores the normalisations' forward counters: activations recomputed for a measurement must not count."""
    counters = [b for name, b in model.named_buffers() if name.endswith("num_batches_tracked")]
    before = [counter.clone() for counter in counters]
    yield
    for counter, count in zip(counters, before, strict=True):
        counter.copy_(count)
