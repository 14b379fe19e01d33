"""Methods for images, run on clips: every frame for itself, pooled features averaged over the clip, then the neck.

The paper compares with image methods and does not say how they read clips; the mean over frames before the
normalisation is the usual way (REFERENCE 5). `FrameNetwork` is what LbA, DDAG and CAJL share: separate stems, shared
stages, BNNeck and a classifier without bias. Trained by `updates` it is the field's plain baseline.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from duskmatch.config import Settings
from duskmatch.models.backbone import initialise, make_stages, make_stem
from duskmatch.models.method import Due, Forward, Network, SubStep, classifier, every_part, neck
from duskmatch.models.pooling import Pooling, pool_clip
from duskmatch.records import Modality


class FrameNetwork(Network):
    """Two stems, shared stages, one neck. A subclass adds its own parts after `super().__init__`."""

    def __init__(
        self,
        n_pids: int,
        *,
        backbone: str = "resnet50",
        width: float = 1.0,
        last_stride: int = 1,
        head_width: int | None = None,
        pooling: Pooling = "mean",
        gem_p: float = 3.0,
    ) -> None:
        super().__init__(n_pids)
        self.power = gem_p if pooling == "gem" else None
        self.stem_visible, self.stem_infrared = make_stem(backbone, width), make_stem(backbone, width)
        self.encoder = make_stages(backbone, width, last_stride, head_width)
        self.neck, self.classifier = neck(self.channels), classifier(self.channels, n_pids)
        self.register_centres()
        for piece in self.backbone_pieces():
            initialise(piece)
        self.stem_infrared.load_state_dict(self.stem_visible.state_dict())  # as with loaded weights

    @property
    def channels(self) -> int:
        return self.encoder.channels

    def backbone_pieces(self) -> list[nn.Module]:
        return [self.stem_visible, self.stem_infrared, self.encoder]

    def shallow(
        self, visible: Float[Tensor, "b t 3 h w"], infrared: Float[Tensor, "b t 3 h w"]
    ) -> Float[Tensor, "n c h4 w4"]:
        """Both modalities through their stems, visible frames first: n = 2 b t."""
        return torch.cat([self.stem_visible(visible.flatten(0, 1)), self.stem_infrared(infrared.flatten(0, 1))])

    def shared_maps(self, shallow: Float[Tensor, "n c h4 w4"], n_frames: int) -> Float[Tensor, "n d h w"]:
        """The last maps of the shared stages."""
        return self.encoder(shallow)  # type: ignore[no-any-return]

    def pooled(self, maps: Float[Tensor, "n d h w"], n_frames: int) -> Float[Tensor, "b d"]:
        """One vector for each clip, before its normalisation."""
        return pool_clip(maps, n_frames, self.power)

    def maps_to_pool(
        self, clips: Float[Tensor, "b t 3 h w"], modality: Modality
    ) -> list[Float[Tensor, "bt d h16 w16"]]:
        stem = self.stem_visible if modality == "visible" else self.stem_infrared
        return [self.shared_maps(stem(clips.flatten(0, 1)), clips.shape[1])]

    def vectors(
        self, maps: list[Float[Tensor, "bt d h16 w16"]], n_frames: int, modality: Modality
    ) -> list[Float[Tensor, "b _"]]:
        return [self.neck(self.pooled(maps[0], n_frames))]


def terms(forward: Forward) -> dict[str, Tensor]:
    """Cross entropy of the normalised vector and the triplet on the vector before, as in BNNeck (Luo et al. 2019)."""
    model: FrameNetwork = forward.model
    pooled = model.pooled(forward.maps, forward.n_frames)
    embedding = model.neck(pooled)
    anchors = embedding if forward.loss.triplet_on == "embedding" else pooled
    return {
        "identity": forward.identity("identity", model.classifier(embedding)),
        "triplet": forward.triplet(anchors),
    }


def updates(model: FrameNetwork, settings: Settings, due: Due) -> list[SubStep]:
    """One update of everything."""
    return [SubStep("main", every_part(model), terms, {"identity": 1.0, "triplet": settings.loss.triplet_weight})]
