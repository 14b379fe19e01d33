"""New running statistics for the normalisations of vectors (f_d, j_d, or another method's), estimated as at test.

In training f_d's batch statistics come from cross-modal pairs, at test each clip is its own partner; and if clips are
shorter in training than at test, LSTM_mot's later outputs shift j_d as a whole, which raises all cosine
similarities. Source: docs/method.md, row 34.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from duskmatch.config import DataSettings
from duskmatch.data import Batch
from duskmatch.models import Network
from duskmatch.pixels import normalise
from duskmatch.records import MODALITIES


@torch.no_grad()
def recalibrate(model: Network, batches: Sequence[Batch], data: DataSettings, *, centre: bool) -> None:
    """Sets the necks' running mean and variance to those over batches of clips, computed as at test.

    `centre`: also sets the mean embedding of each modality, which `embed` subtracts.
    """
    model.eval()
    for _ in range(model.neck_depth):
        rows: dict[nn.BatchNorm1d, list[Tensor]] = {}
        for batch in batches:
            for norm, vectors in model.neck_inputs(*pixels(model, batch, data)).items():
                rows.setdefault(norm, []).append(vectors.float())
        for norm, seen in rows.items():
            set_statistics(norm, seen)
    if centre:
        set_centres(model, batches, data)
    model.train()


def set_centres(model: Network, batches: Sequence[Batch], data: DataSettings) -> None:
    """Sets each modality's centre to its mean embedding over the batches."""
    found = zip(*(pixels(model, batch, data) for batch in batches), strict=True)
    for modality, clips in zip(MODALITIES, found, strict=True):
        centre = model.get_buffer(f"centre_{modality}").zero_()
        centre.copy_(torch.cat([model.embed(some, modality) for some in clips]).mean(dim=0))


def pixels(model: Network, batch: Batch, data: DataSettings) -> tuple[Tensor, Tensor]:
    """The batch's visible and infrared clips, normalised for the network."""
    device = model.centre_visible.device
    visible, infrared = batch.visible.to(device), batch.infrared.to(device)
    return normalise(visible, **data.normalisation), normalise(infrared, **data.normalisation)


def set_statistics(norm: nn.BatchNorm1d, vectors: list[Tensor]) -> None:
    rows = torch.cat(vectors)
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(rows.mean(dim=0))
    norm.running_var.copy_(rows.var(dim=0))
