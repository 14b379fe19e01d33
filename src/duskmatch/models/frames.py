"""Image methods on clips: each frame is processed alone, pooled features are averaged over the clip, then the neck.

The paper compares with image methods and does not say how they read clips; the mean over frames before the
normalisation is the usual way, as in BUPTCampus' comparison. `FrameNetwork` is what LbA, DDAG and CAJL share: separate
stems, shared stages, BNNeck and a classifier without bias. Trained by `updates` it is the field's plain baseline.
"""

from __future__ import annotations

from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from duskmatch.config import BackboneSettings, Settings
from duskmatch.models.backbone import make_stages, make_stem
from duskmatch.models.common_losses import CommonLosses, Outputs, accuracy
from duskmatch.models.method import ALONE, AllProcesses, Figure, Forward, SubStep, Term
from duskmatch.models.network import Due, LastMaps, Network, Shallow, Vectors, classifier, every_part, neck
from duskmatch.models.pooling import pool_clip

IDENTITY_ACCURACY = Figure("identity_accuracy", accuracy)


class FrameNetwork(Network):
    """Two stems, shared stages, one neck; a subclass adds its own parts after `super().__init__`."""

    def __init__(self, n_pids: int, settings: BackboneSettings) -> None:
        super().__init__(n_pids)
        self.power = settings.power
        self.stem_visible, self.stem_infrared = make_stem(settings), make_stem(settings)
        self.encoder = make_stages(settings)
        self.neck, self.classifier = neck(self.channels), classifier(self.channels, n_pids)
        self.initialise()
        self.stem_infrared.load_state_dict(self.stem_visible.state_dict())  # equal, as with loaded weights

    def backbone_pieces(self) -> list[nn.Module]:
        return [self.stem_visible, self.stem_infrared, self.encoder]

    def shared_maps(self, shallow: Shallow, n_frames: int) -> Float[Tensor, "n d h w"]:
        """The last maps of the shared stages."""
        return self.encoder(shallow)  # type: ignore[no-any-return]

    def pooled(self, maps: Float[Tensor, "n d h w"], n_frames: int) -> Float[Tensor, "b d"]:
        """One vector for each clip, before its normalisation."""
        return pool_clip(maps, n_frames, self.power)

    def vectors(self, maps: LastMaps, n_frames: int) -> Vectors:
        return [self.neck(self.pooled(maps[0], n_frames))]


def outputs(model: FrameNetwork, forward: Forward[Tensor]) -> Outputs:
    """The vectors and logits of a batch with BNNeck (Luo et al. 2019)."""
    pooled = model.pooled(forward.maps, forward.n_frames)
    embedding = model.neck(pooled)
    return Outputs(pooled, embedding, model.classifier(embedding), forward.both_labels)


def terms(losses: CommonLosses) -> tuple[Term[Outputs], ...]:
    """Cross entropy of the normalised vector and the triplet on the vector before, as in BNNeck."""
    return Term("identity", 1.0, losses.identity), Term("triplet", losses.settings.triplet_weight, losses.triplet)


def updates(model: FrameNetwork, settings: Settings, due: Due, processes: AllProcesses = ALONE) -> list[SubStep]:
    """One update of all parameters."""
    losses = CommonLosses(settings.loss, processes)
    return [SubStep("main", every_part(model), partial(outputs, model), terms(losses), (IDENTITY_ACCURACY,))]
