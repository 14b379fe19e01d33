"""The highlight weights A (Eq. 12), recorded while clips are embedded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from duskmatch.embedding.embedder import Embedder
from duskmatch.embedding.engines import Engine, Frames, Vectors
from duskmatch.records import MODALITIES, Floats, Modality

NEAR_0, NEAR_1 = 0.01, 0.99


@dataclass(frozen=True, slots=True)
class Spread:
    """The distribution of the values of A and their variation between clips, which means over features would hide.

    near_0, near_1: shares of all values (clips, frames, parts, features) under 0.01 and over 0.99; between_clips: the
    standard deviation between clips of A averaged over a clip's frames, averaged over parts and features.
    """

    near_0: float
    near_1: float
    between_clips: float
    n_clips: int


class RunningSpread:
    """Accumulates statistics of A clip by clip: counts, and sums of shape (k d)."""

    def __init__(self) -> None:
        self.n_values = self.n_near_0 = self.n_near_1 = self.n_clips = 0
        self._start: Tensor | None = None  # A of the first clip; sums of differences from it lose no digits
        self._sum = self._squares = torch.zeros(())

    def add(self, highlight: Float[Tensor, "b t k d"]) -> None:
        """Adds a batch of clips."""
        self.n_values += highlight.numel()
        self.n_near_0 += int((highlight < NEAR_0).sum())
        self.n_near_1 += int((highlight > NEAR_1).sum())
        of_clips = highlight.mean(dim=1).double().cpu()  # (b k d)
        if self._start is None:
            self._start = of_clips[0]
        less = of_clips - self._start
        self._sum, self._squares = self._sum + less.sum(dim=0), self._squares + less.square().sum(dim=0)
        self.n_clips += len(of_clips)

    def found(self) -> Spread:
        """The statistics of all clips so far, at least one."""
        variance = self._squares / self.n_clips - (self._sum / self.n_clips).square()
        return Spread(
            near_0=self.n_near_0 / self.n_values,
            near_1=self.n_near_1 / self.n_values,
            between_clips=float(variance.clamp(min=0).sqrt().mean()),  # rounding can make it negative
            n_clips=self.n_clips,
        )


class RecordingEngine:
    """An engine that also records, for each clip and part, the mean of A over frames and features, and A's `Spread`."""

    def __init__(self, engine: Engine, maps: nn.Module) -> None:
        self.engine, self.maps = engine, maps
        self.name, self.precision, self.versions = engine.name, engine.precision, engine.versions
        self._recorded: dict[Modality, list[Floats]] = {modality: [] for modality in MODALITIES}
        self._spreads: dict[Modality, RunningSpread] = {}

    def __call__(self, frames: Frames, modality: Modality) -> Vectors:
        with outputs_of(self.maps) as found:
            vectors = self.engine(frames, modality)
        for a in map(Tensor.float, found):  # (b t k d)
            self._recorded[modality].append(a.mean(dim=(1, 3)).cpu().numpy())  # (b k)
            self._spreads.setdefault(modality, RunningSpread()).add(a)
        return vectors

    def weights(self) -> dict[Modality, Floats] | None:
        """(clips k) of each modality, in the order embedded; None if the embedding does not use A."""
        return {m: np.concatenate(rows) for m, rows in self._recorded.items() if rows} or None

    def spreads(self) -> dict[Modality, Spread] | None:
        """The spread in each modality over all clips embedded; None if the embedding does not use A."""
        return {m: self._spreads[m].found() for m in MODALITIES if m in self._spreads} or None


def record_highlights(embedder: Embedder) -> RecordingEngine | None:
    """Makes a torch embedder record A from now on; None, and no change, if its network has no A."""
    guidance = getattr(embedder.model, "guidance", None)
    maps = getattr(guidance, "highlight_maps", None)
    if maps is None:
        return None
    embedder.engine = recording = RecordingEngine(embedder.engine, maps)
    return recording


@contextmanager
def outputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collects the module's outputs while the block runs."""
    found: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.append(output.detach())

    with module.register_forward_hook(keep):
        yield found
