"""Embeddings without a part: the part's output replaced by its mean over all clips of the modality.

This removes what the part says about a single clip and keeps what it adds to all clips, so the difference between the
scores shows what the part is worth. The backbone runs once: the head's inputs are kept for every clip, and the head
runs again for each part. If they take too much memory, the clips are embedded again instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from duskmatch.config import Settings
from duskmatch.embedding.embedder import Embedder
from duskmatch.embedding.engines import EngineName, Frames, Precision, Vectors
from duskmatch.embedding.torch_engine import network_input
from duskmatch.models import Network
from duskmatch.records import MODALITIES, Embeddings, Modality, Tracklet

MOST_BYTES = 2**28  # limit for the kept inputs of all clips
Parts = tuple[nn.Module, ...]
Hook = Callable[[nn.Module, tuple[Any, ...], Any], Any]


def embed_without(
    model: Network,
    settings: Settings,
    tracklets: Sequence[Tracklet],
    *,
    device: torch.device,
    on_bad_frame: Literal["stop", "skip"] = "stop",
    most_bytes: int = MOST_BYTES,
) -> tuple[Embeddings, dict[str, Embeddings]]:
    """The tracklets' embeddings, and those without each of the model's `knock_outs`, by its name."""
    engine = HeadEngine(model.to(device), settings, device, most_bytes)
    embedder = Embedder(model, settings, on_bad_frame=on_bad_frame, engine=engine)
    whole = embedder.embed(tracklets)
    without = {}
    for part in model.knock_outs():
        engine.without = part
        if engine.kept is None:
            without[part] = embedder.embed(tracklets)
        else:
            vectors = np.concatenate(engine.again())
            without[part] = replace(whole, vectors=vectors[places(whole)])
    return whole, without


def places(embeddings: Embeddings) -> np.ndarray:
    """Each row's index in the order of embedding, which is one modality after the other."""
    words = [embeddings.modality] * len(embeddings) if isinstance(embeddings.modality, str) else embeddings.modality
    order = np.argsort([MODALITIES.index(word) for word in words], kind="stable")
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.arange(len(order))
    return found


class HeadEngine:
    """Runs a network in fp32 and sums up the outputs of its parts; then runs it `without` one of them.

    kept: the inputs of the head, batch by batch; None once they took too much memory.
    """

    name: EngineName = "torch"
    precision: Precision = "fp32"
    versions: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, model: Network, settings: Settings, device: torch.device, most_bytes: int) -> None:
        self.model, self.data, self.device = model, settings.data, device
        self.parts = model.knock_outs()
        self.means = {m: {part: PartMeans(parts) for part, parts in self.parts.items()} for m in MODALITIES}
        self.kept: list[tuple[Modality, list[Tensor]]] | None = []
        self.left_bytes = most_bytes
        self.without: str | None = None

    @torch.no_grad()
    def __call__(self, frames: Frames, modality: Modality) -> Vectors:
        pixels = network_input(torch.from_numpy(frames).to(self.device), self.data)
        inputs = self.model.head_inputs(self.model.maps_to_pool(pixels, modality), pixels.shape[1])
        if self.without is None:
            self._keep(modality, inputs)
        return self._vectors(modality, inputs)

    def again(self) -> list[Vectors]:
        """The vectors of all kept batches, without the part `without`."""
        assert self.kept is not None
        with torch.no_grad():
            return [self._vectors(modality, [x.to(self.device) for x in inputs]) for modality, inputs in self.kept]

    def _vectors(self, modality: Modality, inputs: list[Tensor]) -> Vectors:
        with ExitStack() as stack:
            for part, means in self.means[modality].items():
                if self.without is None:
                    stack.enter_context(means.adding(len(inputs[0])))
                elif part == self.without:
                    stack.enter_context(means.replacing(len(inputs[0])))
            vectors = self.model.finished(self.model.head(inputs), modality)
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)

    def _keep(self, modality: Modality, inputs: list[Tensor]) -> None:
        self.left_bytes -= sum(x.numel() * x.element_size() for x in inputs)
        if self.left_bytes < 0:
            self.kept = None
        if self.kept is not None:
            self.kept.append((modality, [x.cpu() for x in inputs]))


class PartMeans:
    """The mean over clips of the outputs of a part's modules, for each of their calls, and its use in their place."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.sums: dict[tuple[int, int], Tensor] = {}  # (module, call of a forward) -> (m ...), m rows to a clip
        self.n_clips = 0

    @contextmanager
    def adding(self, n_clips: int) -> Iterator[None]:
        """Adds the modules' outputs for `n_clips` clips to the sums while the block runs."""

        def add(key: tuple[int, int], output: Tensor) -> Tensor:
            total = output.reshape(n_clips, -1, *output.shape[1:]).double().sum(dim=0)
            self.sums[key] = self.sums[key] + total if key in self.sums else total
            return output

        self.n_clips += n_clips
        with self._changed(add):
            yield

    @contextmanager
    def replacing(self, n_clips: int) -> Iterator[None]:
        """Replaces the modules' outputs by their means while the block runs."""

        def mean(key: tuple[int, int], output: Tensor) -> Tensor:
            one = (self.sums[key] / self.n_clips).to(output.dtype)  # (m ...)
            return one.expand(n_clips, *one.shape).flatten(0, 1)

        with self._changed(mean):
            yield

    @contextmanager
    def _changed(self, change: Callable[[tuple[int, int], Tensor], Tensor]) -> Iterator[None]:
        """Applies `change` to the modules' outputs; to an LSTM's first only, as its states are not used."""
        calls = dict.fromkeys(range(len(self.parts)), 0)

        def hook_of(i: int) -> Hook:
            def hook(part: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
                key = (i, calls[i])
                calls[i] += 1
                if isinstance(output, tuple):
                    return (change(key, output[0]), *output[1:])
                return change(key, output)

            return hook

        with ExitStack() as hooks:
            for i, part in enumerate(self.parts):
                hooks.enter_context(part.register_forward_hook(hook_of(i)))
            yield
