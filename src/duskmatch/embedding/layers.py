"""Vectors of a tracklet from each layer of a RUN's network, not only the embedding.

| layer | is | width |
|---|---|---|
| `stem` | F_c: mean and standard deviation over the positions of each channel, averaged over the clip | 2 c |
| `attack` | f^l, where the RUN has the attack | d |
| `defense` | f_d, paired as at test | d |
| `sequence` | j_d, where the RUN has the sequence part | K d |

Vectors are the layers' outputs: not scaled to length 1, no modality's centre subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from duskmatch.config import DataSettings
from duskmatch.embedding.embedder import Embedder, Progress
from duskmatch.embedding.engines import EngineName, Frames, Precision, Vectors
from duskmatch.embedding.exported import is_exported
from duskmatch.embedding.run import load_model
from duskmatch.errors import CheckpointError
from duskmatch.models import SelfAttackDefense
from duskmatch.models.start import untrained_model
from duskmatch.pixels import normalise
from duskmatch.records import Embeddings, Modality, Tracklet

Layer = Literal["stem", "attack", "defense", "sequence"]
LAYERS: dict[Layer, str] = {"stem": "F_c, the stem", "attack": "f^l", "defense": "f_d", "sequence": "j_d"}


def load_whole(run: str | Path, *, device: str = "auto", untrained: bool = False) -> Embedder:
    """The embedder of a RUN in fp32, training-only parts included.

    `untrained` as in `load_embedder`: the network before training.
    """
    if is_exported(Path(run)):
        raise CheckpointError(f"{run} must be a RUN; it is an exported folder, which has no layers; name its RUN")
    model, settings, header = load_model(Path(run))
    model = untrained_model(settings, model.n_pids) if untrained else model
    return Embedder(model, settings, device=device, header=header)


def layer_vectors(
    embedder: Embedder, tracklets: Sequence[Tracklet], on_progress: Progress | None = None
) -> dict[Layer, Embeddings]:
    """For each layer that the network has, one vector for each tracklet, in their order.

    Clips are read and normalised as for the embedding; the network is computed in fp32.
    """
    model = embedder.model
    if model is not None and not isinstance(model, SelfAttackDefense):
        raise CheckpointError(f"layers need model self_attack; got {embedder.settings.model.name}; name other RUNs")
    if model is None or not hasattr(model, "defense_neck") or (model.has_attack and not hasattr(model, "attack_neck")):
        raise CheckpointError(
            "layers need a network with all its parts; this embedder lacks the training-only ones; use load_whole(RUN)"
        )
    engine = LayerEngine(model, embedder.settings.data)
    header, on_bad_frame = embedder.header, embedder.on_bad_frame
    wide = Embedder(model, embedder.settings, on_bad_frame=on_bad_frame, engine=engine, header=header)
    found = wide.embed(tracklets, on_progress)
    cuts = np.cumsum(list(engine.widths.values()))[:-1]
    parts = np.split(found.vectors, cuts, axis=1)
    return {layer: replace(found, vectors=part) for layer, part in zip(engine.widths, parts, strict=True)}


class LayerEngine:
    """An engine whose vectors are those of all layers concatenated; `widths` holds each layer's width."""

    name: EngineName = "torch"
    precision: Precision = "fp32"
    versions: dict[str, str] = {}  # noqa: RUF012  # as in TorchEngine

    def __init__(self, model: SelfAttackDefense, data: DataSettings) -> None:
        self.model, self.data = model, data
        self.widths: dict[Layer, int] = {}

    @torch.no_grad()
    def __call__(self, frames: Frames, modality: Modality) -> Vectors:
        device = next(self.model.parameters()).device
        clips = normalise(torch.from_numpy(frames).to(device), **self.data.normalisation)
        layers = layers_of(self.model, clips, modality)
        self.widths = {layer: vectors.shape[1] for layer, vectors in layers.items()}
        return np.asarray(torch.cat(list(layers.values()), dim=1).cpu().numpy(), dtype=np.float32)


def layers_of(
    model: SelfAttackDefense, clips: Float[Tensor, "b t 3 h w"], modality: Modality
) -> dict[Layer, Float[Tensor, "b _"]]:
    """Each layer's vector of each clip; only those that the network has."""
    n_frames = clips.shape[1]
    stem = model.stem_visible if modality == "visible" else model.stem_infrared
    shallow = stem(clips.flatten(0, 1))  # (bt c h4 w4)
    maps = model.shared_maps(shallow, n_frames)
    layers: dict[Layer, Tensor] = {"stem": stem_statistics(shallow, n_frames)}
    if model.has_attack:
        layers["attack"] = model.attack_alone(shallow, n_frames, modality)
    layers["defense"] = model.defense_embedding(maps, n_frames, model.test_pairing).embedding
    if model.has_sequence:
        layers["sequence"] = model.sequence_embedding(maps.maps, n_frames)
    return layers


def stem_statistics(shallow: Float[Tensor, "n c h4 w4"], n_frames: int) -> Float[Tensor, "b c2"]:
    """Mean and standard deviation over the positions of each channel, averaged over the frames of a clip."""
    both = torch.cat([shallow.mean(dim=(2, 3)), shallow.std(dim=(2, 3), correction=0)], dim=1)  # (bt 2c)
    return both.reshape(-1, n_frames, both.shape[1]).mean(dim=1)
