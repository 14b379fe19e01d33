"""f_d's normalisation, estimated again as it is used at test: with each clip as its own partner.

Source: REFERENCE row 34: in training f_d's batch statistics come from cross-modal pairs.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import torch

from duskmatch.config import DataSettings
from duskmatch.data import Batch, normalise
from duskmatch.models import SelfAttackDefense


@torch.no_grad()
def recalibrate(model: SelfAttackDefense, batches: Iterable[Batch], n_steps: int, data: DataSettings) -> None:
    """Sets the running mean and variance of f_d's normalisation to those of `n_steps` self-paired batches."""
    model.eval()
    device = next(model.parameters()).device
    pooled = []
    for batch in islice(batches, n_steps):
        visible = normalise(batch.visible.to(device), grey=data.grey, per_clip=data.per_clip)
        infrared = normalise(batch.infrared.to(device), grey=data.grey, per_clip=data.per_clip)
        shallow = model.shallow(visible, infrared)
        maps = model.defense_maps(shallow)
        pooled.append(model.defense_embedding(maps, batch.visible.shape[1], "self").pooled.float())
    rows = torch.cat(pooled)
    assert model.defense_neck.running_mean is not None and model.defense_neck.running_var is not None
    model.defense_neck.running_mean.copy_(rows.mean(dim=0))
    model.defense_neck.running_var.copy_(rows.var(dim=0))
    model.train()
