"""MPANet: nuances of appearance shared by both modalities, found by pattern maps (Wu et al. 2021, CVPR).

| paper | here |
|---|---|
| one ResNet for both modalities | `stem`, `encoder` |
| modality alleviation, after stages 3 and 4 | `alleviation3`, `alleviation4` |
| pattern maps, separation | `patterns`, `separation` |
| masked means and the global mean, side by side | `pooled` (b (1 + n_patterns) d) |
| W, W_v, W_i | `classifier`, `visible_classifier`, `infrared_classifier` |
| the running means of W_v and W_i | `visible_follower`, `infrared_follower` |

Source: Wu et al. 2021, "Discover Cross-Modality Nuances for Visible-Infrared Person Re-Identification"; public code
DoubtedSteam/MPANet.
Differs: the image network runs on every frame, and the descriptors of a clip's frames are averaged before the neck;
a clip's modality is known from its half of the batch, not from camera numbers; Adam's weight decay is decoupled and
padding is black, as for every method here. The centre cluster loss is on the descriptor before the neck, like the
triplet of other methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from duskmatch.config import BackboneSettings, Settings
from duskmatch.losses import centre_cluster_loss, distillation_loss, in_fp32
from duskmatch.models.backbone import make_stages, make_stem
from duskmatch.models.common_losses import CommonLosses, Outputs, share_right
from duskmatch.models.frames import IDENTITY_ACCURACY
from duskmatch.models.gauges import GATE_FIGURES, Gauge, gate_figures
from duskmatch.models.method import ALONE, AllProcesses, Figure, Forward, SubStep, Term
from duskmatch.models.network import (
    Clips,
    Due,
    LastMaps,
    Network,
    Shallow,
    Vectors,
    Watched,
    classifier,
    every_part,
    neck,
)
from duskmatch.models.pooling import over_positions
from duskmatch.records import Modality


class MPANetSettings(BackboneSettings):
    n_patterns: Annotated[int, Field(ge=2)] = 6
    follow_rate: Annotated[float, Field(gt=0, le=1)] = 0.2


class ModalityAlleviation(nn.Module):
    """m x + (1 - m) IN(x): a channel whose gate m is 0 is instance-normalised."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.down, self.up = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)

    def gate(self, maps: Float[Tensor, "n d h w"]) -> Float[Tensor, "n d 1 1"]:
        """m, from the picture's mean of each channel."""
        hidden = torch.relu(self.down(maps.mean(dim=(-2, -1), keepdim=True)))
        return torch.sigmoid(self.up(hidden))

    def forward(self, maps: Float[Tensor, "n d h w"]) -> Float[Tensor, "n d h w"]:
        m = self.gate(maps)
        return m * maps + (1 - m) * instance_normalised(maps)


def instance_normalised(maps: Float[Tensor, "n d h w"], least: float = 1e-5) -> Float[Tensor, "n d h w"]:
    """Each channel of each picture minus its mean, divided by its deviation."""
    shifted = maps.float() - maps.float().mean(dim=(-2, -1), keepdim=True)
    variance = shifted.square().mean(dim=(-2, -1), keepdim=True)
    return (shifted * torch.rsqrt(variance + least)).to(maps.dtype)


class MPANet(Network):
    """One ResNet for both modalities; its last maps are pooled under masks of patterns."""

    logged = (
        *("identity", "centre_cluster", "separation", "modality_identity", "agreement"),
        "identity_accuracy",
        "modality_identity_accuracy",
        *(f"{gate}_{figure}" for gate in ("gate3", "gate4", "mask") for figure in GATE_FIGURES),
    )
    watched = Watched(triplet="centre_cluster")
    visible_follower: Tensor
    infrared_follower: Tensor

    def __init__(self, n_pids: int, settings: MPANetSettings) -> None:
        super().__init__(n_pids)
        self.n_patterns, self.follow_rate = settings.n_patterns, settings.follow_rate
        self.stem, self.encoder = make_stem(settings), make_stages(settings)
        self.alleviation3 = ModalityAlleviation(self.encoder.channels3)
        self.alleviation4 = ModalityAlleviation(self.channels)
        self.patterns = nn.Conv2d(self.channels, self.n_patterns, 1)
        d = self.embedding_width
        self.neck, self.classifier = neck(d), classifier(d, n_pids)
        self.visible_classifier, self.infrared_classifier = classifier(d, n_pids), classifier(d, n_pids)
        self.register_buffer("visible_follower", self.visible_classifier.weight.detach().clone())
        self.register_buffer("infrared_follower", self.infrared_classifier.weight.detach().clone())
        self.initialise()

    @property
    def embedding_width(self) -> int:
        return (1 + self.n_patterns) * self.channels

    @property
    def unused_at_test(self) -> tuple[str, ...]:
        return ("classifier", "visible_classifier", "infrared_classifier")

    def backbone_pieces(self) -> list[nn.Module]:
        return [self.stem, self.encoder]

    def gauges(self) -> dict[nn.Module, Gauge]:
        """The gates m of both alleviations and the masks of the patterns, for each picture instead of each clip."""

        def of_sigmoid(name: str) -> Gauge:
            def gauge(inputs: tuple[Tensor, ...], output: Float[Tensor, "n d h w"]) -> dict[str, Tensor]:
                values = torch.sigmoid(output.float())
                return gate_figures(name, values, values)

            return gauge

        parts = {"gate3": self.alleviation3.up, "gate4": self.alleviation4.up, "mask": self.patterns}
        return {part: of_sigmoid(name) for name, part in parts.items()}

    @torch.no_grad()
    def begin(self, due: Due) -> None:
        """Moves the running means towards W_v and W_i; the rate falls after 100 epochs."""
        rate = self.follow_rate * min(100 / (due.epoch + 1), 1)
        self.visible_follower.lerp_(self.visible_classifier.weight, rate)
        self.infrared_follower.lerp_(self.infrared_classifier.weight, rate)

    def stem_of(self, modality: Modality) -> nn.Module:
        return self.stem

    def shallow(self, visible: Clips, infrared: Clips) -> Shallow:
        """The stem's output for both modalities, visible frames first: n = 2 b t."""
        return self.stem(torch.cat([visible, infrared]).flatten(0, 1))  # type: ignore[no-any-return]

    def shared_maps(self, shallow: Shallow, n_frames: int) -> Float[Tensor, "n d h w"]:
        maps3 = self.alleviation3(self.encoder.to_stage3(shallow))
        return self.alleviation4(self.encoder.stage4(maps3))  # type: ignore[no-any-return]

    @in_fp32
    def masks(self, maps: Float[Tensor, "n d h w"]) -> Float[Tensor, "n p h w"]:
        """The mask of each pattern, with values from 0 to 1."""
        return torch.sigmoid(self.patterns(maps))

    @in_fp32
    def pooled(
        self, maps: Float[Tensor, "n d h w"], masks: Float[Tensor, "n p h w"], n_frames: int
    ) -> Float[Tensor, "b d_all"]:
        """The means of the maps under each pattern's mask and without one, concatenated, averaged over the frames."""
        under = masks.flatten(2) @ maps.flatten(2).transpose(1, 2) / (maps.shape[-2] * maps.shape[-1])  # (n p d)
        descriptors = torch.cat([under.flatten(1), over_positions(maps)], dim=1)  # (n (p+1)*d)
        return descriptors.reshape(-1, n_frames, descriptors.shape[1]).mean(dim=1)

    def vectors(self, maps: LastMaps, n_frames: int) -> Vectors:
        raised = maps[0].float()  # once, for both of its readers
        return [self.neck(self.pooled(raised, self.masks(raised), n_frames))]


@in_fp32
def separation(masks: Float[Tensor, "n p h w"]) -> Float[Tensor, ""]:
    """Mean over pictures and pairs of patterns of the inner product of their masks; 0 if none overlap.

    Source: MPANet's public code; a sum over positions, so it grows with the map.
    """
    n, p = masks.shape[:2]
    flat = masks.flatten(2)  # (n p hw)
    together = flat.sum(dim=1).square().sum(dim=1) - flat.square().sum(dim=(1, 2))  # twice the sum over pairs
    return together.sum() / (n * p * (p - 1))


@in_fp32
def modality_logits(model: MPANet, embeddings: Float[Tensor, "n d_all"]) -> Float[Tensor, "n n_pids"]:
    """The logits of visible clips by W_v, of infrared ones by W_i."""
    visible, infrared = embeddings.chunk(2)
    return torch.cat([model.visible_classifier(visible), model.infrared_classifier(infrared)])


@torch.no_grad()
@in_fp32
def followers_logits(model: MPANet, embeddings: Float[Tensor, "n d_all"]) -> Float[Tensor, "n n_pids"]:
    """The logits by the running mean of the other modality's classifier, without gradient."""
    visible, infrared = embeddings.chunk(2)
    return torch.cat([visible @ model.infrared_follower.T, infrared @ model.visible_follower.T])


@dataclass(frozen=True)
class Patterns(Outputs):
    """The outputs with the masks, the logits of the own modality's classifier, and of the other's running mean."""

    masks: Float[Tensor, "nt p h w"]
    own: Float[Tensor, "n n_pids"]
    followers: Float[Tensor, "n n_pids"]


def outputs(model: MPANet, forward: Forward[Tensor]) -> Patterns:
    """The outputs for a batch, with its patterns."""
    maps = forward.maps.float()  # once, for both of its readers
    masks = model.masks(maps)
    pooled = model.pooled(maps, masks, forward.n_frames)
    embedding = model.neck(pooled)
    own, logits = modality_logits(model, embedding), model.classifier(embedding)
    followers = followers_logits(model, embedding)
    return Patterns(pooled, embedding, logits, forward.both_labels, masks, own, followers)


def updates(model: MPANet, settings: Settings, due: Due, processes: AllProcesses = ALONE) -> list[SubStep]:
    """One update of all parameters: identity, centre cluster, separation, the modality classifiers and their agreement.

    Differs: the modality classifiers' term is the sum of both modalities' mean cross entropies, with weight 1: the
    public code adds it twice with the weight 0.5, which is printed.
    """
    losses, margin = CommonLosses(settings.loss, processes), settings.loss.margin
    terms = (
        Term("identity", 1.0, losses.identity),
        Term[Patterns]("centre_cluster", 1.0, lambda x: centre_cluster_loss(x.pooled, x.labels, margin=margin)),
        Term[Patterns]("separation", 0.5, lambda x: separation(x.masks)),
        # twice the mean over all clips is the sum of both modalities' means
        Term[Patterns]("modality_identity", 1.0, lambda x: 2 * losses.cross_entropy(x.own, x.labels)),
        Term[Patterns]("agreement", 2.5, lambda x: distillation_loss(x.own, x.followers)),
    )
    of_modalities = Figure[Patterns]("modality_identity_accuracy", lambda x: share_right(x.own, x.labels))
    return [SubStep("main", every_part(model), partial(outputs, model), terms, (IDENTITY_ACCURACY, of_modalities))]
