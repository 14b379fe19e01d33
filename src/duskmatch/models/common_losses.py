"""The losses that most methods share, in the form that the settings give them, and classification accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from duskmatch.config import LossSettings
from duskmatch.losses import cross_entropy, defense_triplet_loss, in_fp32
from duskmatch.models.method import ALONE, AllProcesses


@dataclass(frozen=True)
class Seen:
    """Each clip's vector before and after its normalisation, its logits and its label; visible clips first."""

    pooled: Float[Tensor, "n d"]
    embedding: Float[Tensor, "n d"]
    logits: Float[Tensor, "n n_pids"]
    labels: Int64[Tensor, " n"]


@dataclass(frozen=True)
class CommonLosses:
    """Cross entropy over this process's clips, triplets over those of all where `processes` gathers them."""

    settings: LossSettings
    processes: AllProcesses = ALONE

    def identity(self, seen: Seen) -> Float[Tensor, ""]:
        return self.cross_entropy(seen.logits, seen.labels)

    def triplet(self, seen: Seen) -> Float[Tensor, ""]:
        return self.triplet_of(self.compared(seen), seen.labels)

    def compared(self, seen: Seen) -> Float[Tensor, "n d"]:
        """The vectors that a triplet loss takes, by `loss.triplet_on`."""
        return seen.embedding if self.settings.triplet_on == "embedding" else seen.pooled

    @in_fp32
    def cross_entropy(self, logits: Float[Tensor, "n n_pids"], labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
        """The mean over clips, smoothed by `loss.label_smoothing`."""
        return cross_entropy(logits, labels, smoothing=self.settings.label_smoothing)

    @in_fp32
    def triplet_of(self, vectors: Float[Tensor, "n d"], labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
        loss, gather = self.settings, self.processes.gather
        return defense_triplet_loss(gather(vectors), gather(labels), margin=loss.margin, form=loss.triplet)


def accuracy(seen: Seen) -> Float[Tensor, ""]:
    """The share of clips whose largest logit is their label's."""
    return share_right(seen.logits, seen.labels)


@in_fp32
def share_right(logits: Float[Tensor, "n n_labels"], labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
    return (logits.argmax(1) == labels).float().mean()
