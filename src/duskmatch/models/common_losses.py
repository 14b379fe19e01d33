"""The losses that most methods share, in the form chosen by the settings, and classification accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from duskmatch.config import LossSettings
from duskmatch.losses import cross_entropy, defense_triplet_loss, in_fp32
from duskmatch.models.method import ALONE, AllProcesses


@dataclass(frozen=True)
class Outputs:
    """Each clip's vector before and after its normalisation, its logits and its label; visible clips first."""

    pooled: Float[Tensor, "n d"]
    embedding: Float[Tensor, "n d"]
    logits: Float[Tensor, "n n_pids"]
    labels: Int64[Tensor, " n"]


@dataclass(frozen=True)
class CommonLosses:
    """Cross entropy over this process's clips; triplets over those of all processes if `processes` gathers them."""

    settings: LossSettings
    processes: AllProcesses = ALONE

    def identity(self, out: Outputs) -> Float[Tensor, ""]:
        return self.cross_entropy(out.logits, out.labels)

    def triplet(self, out: Outputs) -> Float[Tensor, ""]:
        return self.triplet_of(self.compared(out), out.labels)

    def compared(self, out: Outputs) -> Float[Tensor, "n d"]:
        """The vectors of the triplet loss, by `loss.triplet_on`."""
        return out.embedding if self.settings.triplet_on == "embedding" else out.pooled

    @in_fp32
    def cross_entropy(self, logits: Float[Tensor, "n n_pids"], labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
        """The mean over clips, smoothed by `loss.label_smoothing`."""
        return cross_entropy(logits, labels, smoothing=self.settings.label_smoothing)

    @in_fp32
    def triplet_of(self, vectors: Float[Tensor, "n d"], labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
        loss, gather = self.settings, self.processes.gather
        return defense_triplet_loss(gather(vectors), gather(labels), margin=loss.margin, form=loss.triplet)


def accuracy(out: Outputs) -> Float[Tensor, ""]:
    """The share of clips whose largest logit is their label's."""
    return share_right(out.logits, out.labels)


@in_fp32
def share_right(logits: Float[Tensor, "n n_labels"], labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
    return (logits.argmax(1) == labels).float().mean()
