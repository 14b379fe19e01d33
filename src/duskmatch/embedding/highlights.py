"""The highlight weights A (Eq. 12), noted while clips are embedded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from torch import Tensor, nn

from duskmatch.embedding.embedder import Embedder
from duskmatch.embedding.engines import Engine, Frames, Precision, Vectors
from duskmatch.records import MODALITIES, Floats, Modality


class NotingEngine:
    """An engine that also keeps, for each clip, the mean of A in each part: over its frames and features."""

    def __init__(self, engine: Engine, maps: nn.Module) -> None:
        self.engine, self.maps = engine, maps
        self._noted: dict[Modality, list[Floats]] = {modality: [] for modality in MODALITIES}

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def precision(self) -> Precision:
        return self.engine.precision

    @property
    def versions(self) -> dict[str, str]:
        return self.engine.versions

    def __call__(self, frames: Frames, modality: Modality) -> Vectors:
        with outputs_of(self.maps) as found:
            vectors = self.engine(frames, modality)
        self._noted[modality] += [a.float().mean(dim=(1, 3)).cpu().numpy() for a in found]  # (b t k d) -> (b k)
        return vectors

    def weights(self) -> dict[Modality, Floats] | None:
        """(clips k) of each modality, in the order embedded; None where the embedding does not pass A."""
        return {m: np.concatenate(rows) for m, rows in self._noted.items() if rows} or None


def note_highlights(embedder: Embedder) -> NotingEngine | None:
    """Makes a torch embedder note A from now on; None where its network has no A, and nothing is changed."""
    guidance = getattr(embedder.model, "guidance", None)
    maps = getattr(guidance, "highlight_maps", None)
    if maps is None:
        return None
    embedder.engine = noting = NotingEngine(embedder.engine, maps)
    return noting


@contextmanager
def outputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """What the module gives while the block runs."""
    found: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.append(output.detach())

    handle = module.register_forward_hook(keep)
    try:
        yield found
    finally:
        handle.remove()
