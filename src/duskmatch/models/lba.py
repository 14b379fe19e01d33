"""LbA: learning by aligning; in training the modalities are aligned position by position.

| LbA | here |
|---|---|
| feature map f of stage 3, of stage 4 | `maps3`, `maps4` in `terms` |
| target of the same person, of another | `partners` |
| CMAlign | `aligned`, on `losses.alignment` |
| L_ID, L_IC, L_DT | "identity" and "triplet", "aligned_identity", "dense_triplet" |

Source: Park et al. 2021, "Learning by Aligning: Visible-Infrared Person Re-identification using Cross-Modal
Correspondences"; public code cvlab-yonsei/LbA.
Differs: clips instead of pictures. Frame t of a clip is aligned with frame t of one clip of the other modality.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from duskmatch.config import Settings
from duskmatch.errors import SettingsError
from duskmatch.losses import in_fp32
from duskmatch.losses.alignment import coattention, dense_triplet_loss, matching, reconstructed
from duskmatch.models.common_losses import CommonLosses, Outputs
from duskmatch.models.frames import IDENTITY_ACCURACY, FrameNetwork
from duskmatch.models.method import ALONE, AllProcesses, Draws, Forward, SubStep, Term
from duskmatch.models.network import Due, LastMaps, Vectors, every_part

DENSE_WEIGHT = 0.5  # of L_DT. Source: LbA's public code


class LearningByAligning(FrameNetwork):
    """The stems and stages of `FrameNetwork`; alignment has no parameters of its own.

    The embedding is the pooled vector before its normalisation, as in LbA.
    """

    logged = ("identity", "triplet", "aligned_identity", "dense_triplet", "identity_accuracy")

    @property
    def unused_at_test(self) -> tuple[str, ...]:
        return ("neck", "classifier")

    def vectors(self, maps: LastMaps, n_frames: int) -> Vectors:
        return [self.pooled(maps[0], n_frames)]


class Partners(NamedTuple):
    """For each clip of the stack, the index of a clip of the other modality, of the same person and of another."""

    same: Int64[Tensor, " n"]
    other: Int64[Tensor, " n"]


class Aligned(NamedTuple):
    """Maps rebuilt from the same person's, and the dense triplet."""

    maps: Float[Tensor, "n d h w"]
    dense: Float[Tensor, ""]


def partners(labels: Int64[Tensor, " b"], rng: np.random.Generator) -> Partners:
    """Partners drawn uniformly among all that qualify.

    Differs: the public code needs as many other people as there are pictures of one; here one other is enough.
    """
    known = labels.cpu().numpy()
    same = known[:, None] == known[None, :]  # (b b)
    if same.all():
        raise SettingsError("lba needs clips of two people or more in a batch; raise train.pids_per_batch")
    chosen = []
    for wanted in (same, ~same):
        of_visible, of_infrared = (np.where(wanted, rng.random(same.shape), -1).argmax(axis=1) for _ in range(2))
        chosen.append(np.concatenate([of_visible + len(known), of_infrared]))  # visible clips come first in the stack
    return Partners(*(torch.from_numpy(rows).to(labels.device) for rows in chosen))


def frames_of(clips: Int64[Tensor, " n"], n_frames: int) -> Int64[Tensor, " nt"]:
    """The indices of these clips' frames in the stack of all frames."""
    return (clips[:, None] * n_frames + torch.arange(n_frames, device=clips.device)).flatten()


@in_fp32
def aligned(maps: Float[Tensor, "n d h w"], chosen: Partners, n_frames: int, margin: float) -> Aligned:
    """Each frame's map rebuilt from the same person's map, and the dense triplet against that from another person."""
    same, other = (maps[frames_of(clips, n_frames)] for clips in chosen)
    match = matching(maps, same)
    positive, negative = reconstructed(maps, same, match), reconstructed(maps, other, matching(maps, other))
    dense = dense_triplet_loss(maps, positive, negative, coattention(maps, same, match), margin=margin)
    return Aligned(positive, dense)


@dataclass(frozen=True)
class Rebuilt(Outputs):
    """The outputs with the rebuilt maps of stage 4, those of stage 3 after stage 4, and the sum of dense triplets."""

    maps: tuple[Float[Tensor, "nt d h w"], Float[Tensor, "nt d h w"]]
    dense: Float[Tensor, ""]


def outputs(model: LearningByAligning, settings: Settings, due: Due, forward: Forward[Tensor]) -> Rebuilt:
    """The outputs for a batch, aligned after stages 3 and 4."""
    n_frames, labels = forward.n_frames, forward.both_labels
    maps3 = model.encoder.to_stage3(forward.shallow)
    maps4 = model.encoder.stage4(maps3)
    pooled = model.pooled(maps4, n_frames)
    embedding = model.neck(pooled)  # first: only a layer's first forward updates its running statistics
    chosen = partners(forward.labels, Draws(settings.seed, due.step).rng)
    third, fourth = (aligned(maps, chosen, n_frames, settings.loss.margin) for maps in (maps3, maps4))
    rebuilt = fourth.maps, model.encoder.stage4(third.maps)
    return Rebuilt(pooled, embedding, model.classifier(embedding), labels, rebuilt, third.dense + fourth.dense)


def updates(model: LearningByAligning, settings: Settings, due: Due, processes: AllProcesses = ALONE) -> list[SubStep]:
    """One update of all parameters: L_ID + L_IC + 0.5 L_DT."""
    loss, losses = settings.loss, CommonLosses(settings.loss, processes)

    def aligned_identity(rebuilt: Rebuilt) -> Tensor:
        """L_IC: cross entropy of the rebuilt maps, with the same neck and classifier."""
        n_frames = len(rebuilt.maps[0]) // len(rebuilt.labels)
        of_4, of_3 = (model.classifier(model.neck(model.pooled(maps, n_frames))) for maps in rebuilt.maps)
        return losses.cross_entropy(of_4, rebuilt.labels) + losses.cross_entropy(of_3, rebuilt.labels)

    terms = (
        Term("identity", 1.0, losses.identity),
        Term("triplet", loss.triplet_weight, losses.triplet),
        Term("aligned_identity", 1.0, aligned_identity),
        Term[Rebuilt]("dense_triplet", DENSE_WEIGHT, lambda rebuilt: rebuilt.dense),
    )
    return [SubStep("main", every_part(model), partial(outputs, model, settings, due), terms, (IDENTITY_ACCURACY,))]
