"""The network in torch: eager, or compiled for clips of one shape."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from duskmatch.config import DataSettings
from duskmatch.embedding.engines import EngineName, Frames, Precision, Vectors, in_batches
from duskmatch.models import Network
from duskmatch.pixels import normalise
from duskmatch.records import Modality

COMPILED_CLIPS = {"cpu": 4, "cuda": 32}  # clips in a compiled batch


class TorchEngine:
    """Runs the model, which may still be in training, with its current weights at each call."""

    versions: dict[str, str] = {}  # noqa: RUF012  # torch's version is in every score anyway

    def __init__(
        self,
        model: Network,
        data: DataSettings,
        device: torch.device,
        precision: Precision = "fp32",
        *,
        compiled: bool = False,
    ) -> None:
        self.model, self.data, self.device = model, data, device
        self.precision: Precision = precision
        self.name: EngineName = "torch-compiled" if compiled else "torch"
        self._run = torch.compile(self._embed, dynamic=False, options={"freezing": True}) if compiled else self._embed

    @torch.no_grad()
    def __call__(self, frames: Frames, modality: Modality) -> Vectors:
        size = COMPILED_CLIPS[self.device.type] if self.name == "torch-compiled" else len(frames)
        groups = [torch.from_numpy(group).to(self.device) for group in in_batches(frames, size)]
        vectors = torch.cat([self._run(group, modality).float() for group in groups])[: len(frames)]
        return np.asarray(vectors.cpu().numpy(), dtype=np.float32)

    def _embed(self, frames: Tensor, modality: Modality) -> Tensor:
        pixels = network_input(frames, self.data)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.model.embed(pixels, modality)


def network_input(frames: Tensor, data: DataSettings) -> Tensor:
    """Clips normalised for a network at test: (b t 3 h w), channels last in memory."""
    pixels = normalise(frames, **data.normalisation)
    stack = pixels.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return stack.view(pixels.shape)
