"""The normalisations of f_d and j_d, estimated again as they are used at test.

In training f_d's batch statistics come from cross-modal pairs, at test each clip is its own partner; and where clips
are shorter in training than at test, LSTM_mot's later outputs shift j_d as a whole, which cosine similarity takes for
likeness. Source: REFERENCE row 34.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import torch
from torch import Tensor, nn

from duskmatch.config import DataSettings
from duskmatch.data import Batch, normalise
from duskmatch.models import SelfAttackDefense
from duskmatch.models.parts import part_pool


@torch.no_grad()
def recalibrate(model: SelfAttackDefense, batches: Iterable[Batch], n_steps: int, data: DataSettings) -> None:
    """Sets both necks' running mean and variance to those of `n_steps` batches of test-length, self-paired clips."""
    model.eval()
    device = next(model.parameters()).device
    pooled: list[Tensor] = []
    sequences: list[Tensor] = []
    for batch in islice(batches, n_steps):
        n_frames = batch.visible.shape[1]
        visible = normalise(batch.visible.to(device), grey=data.grey, per_clip=data.per_clip)
        infrared = normalise(batch.infrared.to(device), grey=data.grey, per_clip=data.per_clip)
        maps = model.defense_maps(model.shallow(visible, infrared))
        pooled.append(model.defense_embedding(maps, n_frames, model.test_pairing).pooled.float())
        if model.has_sequence:
            sequences.append(model.guidance(part_pool(maps.maps, model.n_parts, n_frames)).float())
    _set_statistics(model.defense_neck, pooled)
    if model.has_sequence and isinstance(model.sequence_neck, nn.BatchNorm1d):
        _set_statistics(model.sequence_neck, sequences)
    model.train()


def _set_statistics(norm: nn.BatchNorm1d, vectors: list[Tensor]) -> None:
    rows = torch.cat(vectors)
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(rows.mean(dim=0))
    norm.running_var.copy_(rows.var(dim=0))
