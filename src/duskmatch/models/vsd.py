"""VSD: variational self-distillation through an information bottleneck (Tian et al. 2021).

| paper | here |
|---|---|
| the visible, infrared and shared branches | `branches` |
| v, an observation: a branch's normalised vector | `Observation.v` |
| z, its representation | `Observation.z`, by `bottlenecks` |
| p(y given v), p(y given z) | `Observation.of_v`, `.of_z`, by `classifiers` and `bottlenecks` |
| L_CML, L_VSD, L_VCD | `mutual`, `self_distillation`, `cross_distillation` |

The visible branch reads every clip as it is, the infrared one its grey copy, the shared one both; the embedding
concatenates the four v.

Source: Tian et al. 2021, "Farewell to Mutual Information: Variational Distillation for Cross-Modal Person
Re-Identification", and its public code (FutabaSakuraXD).
Differs: frames are averaged before the necks; v's classifier is the usual one (BNNeck, no bias), as only z's is known;
batch normalisation and ReLU between the bottleneck's linear maps are our choice too. The divergences are those of the
paper, from p(y given v), which gets no gradient, to p(y given z): the public code's have almost no gradient. Across
modalities, a person's visible clip is paired with the same person's infrared clip as its grey copy, row by
row. L_VML is left out, as in the public code. Adam's weight decay is decoupled, as for every method here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from duskmatch.config import BackboneSettings, Count, Settings
from duskmatch.losses import distillation_loss, in_fp32, rank_loss, sinkhorn_distance
from duskmatch.models.backbone import make_stages, make_stem
from duskmatch.models.common_losses import CommonLosses, share_right
from duskmatch.models.gauges import Gauge, branch_over_trunk
from duskmatch.models.method import ALONE, AllProcesses, Draws, Figure, Forward, SubStep, Term
from duskmatch.models.network import Clips, Due, LastMaps, Network, Vectors, Watched, classifier, every_part, neck
from duskmatch.models.pooling import pool_clip
from duskmatch.pixels import IMAGENET_MEAN, IMAGENET_STD, LUMA
from duskmatch.records import Modality

BRANCHES = ("visible", "infrared", "shared")
WITHIN = {"margin": 0.9, "radius": 2.2}  # rank loss between clips of one modality
ACROSS = {"margin": 1.0, "radius": 2.0}  # rank loss between clips of two modalities

Dropout = Callable[[Tensor, float], Tensor]


class VSDSettings(BackboneSettings):
    """z: half the width of the bottleneck. grey_copy: True for clips in colour with ImageNet's normalisation; False for
    clips that are grey already (data.grey): a clip is then its own grey copy, which the shared branch reads once.
    """

    z: Count = 256
    grey_copy: bool = True


class ChannelAttention(nn.Module):
    """x plus gamma times attention among its channels, each a mean of the least similar ones; gamma starts at 0.

    Source: VSD's public code: softmax of (the largest energy less the energy), which is the softmax of -energy.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        rows = maps.flatten(2)  # (n c hw)
        mixed = self.weights(rows).to(rows.dtype) @ rows
        return maps + self.gamma * mixed.reshape(maps.shape)

    @in_fp32
    def weights(self, rows: Float[Tensor, "n c hw"]) -> Float[Tensor, "n c c"]:
        """The attention between channels."""
        return torch.softmax(-(rows @ rows.transpose(1, 2)), dim=-1)


class Branch(nn.Module):
    """One ResNet with channel attention before its stages 2, 3 and 4."""

    def __init__(self, settings: BackboneSettings) -> None:
        super().__init__()
        self.stem, self.encoder = make_stem(settings), make_stages(settings)
        self.attention = nn.ModuleList(ChannelAttention() for _ in range(3))
        self.neck = neck(self.encoder.channels)

    def maps(self, frames: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d h16 w16"]:
        stages = self.encoder
        x = stages.run(stages.layer1, self.stem(frames))
        for attend, stage in zip(self.attention, (stages.layer2, stages.layer3, stages.layer4), strict=True):
            x = stages.run(stage, attend(x))
        return x

    def observe(self, maps: Float[Tensor, "n d h16 w16"], n_frames: int) -> Float[Tensor, "b d"]:
        """v: the clip's pooled vector after the neck."""
        return self.neck(pool_clip(maps, n_frames))  # type: ignore[no-any-return]


class InformationBottleneck(nn.Module):
    """v to z, three linear maps; and z to p(y given z). Widths 1000, 500 and 2z, then 256, as in the public code."""

    def __init__(self, channels: int, z: int, n_pids: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(
            nn.Linear(channels, 1000, bias=False), nn.BatchNorm1d(1000), nn.ReLU(),
            nn.Linear(1000, 500, bias=False), nn.BatchNorm1d(500), nn.ReLU(),
            nn.Linear(500, 2 * z),
        )  # fmt: skip
        self.hidden = nn.Sequential(nn.Linear(2 * z, 256, bias=False), nn.BatchNorm1d(256), nn.LeakyReLU())
        self.last = nn.Linear(256, n_pids)

    @in_fp32
    def forward(self, v: Float[Tensor, "n d"]) -> Float[Tensor, "n z2"]:
        """z of each v."""
        return self.squeeze(v)  # type: ignore[no-any-return]

    @in_fp32
    def logits(self, z: Float[Tensor, "n z2"], dropout: Dropout) -> Float[Tensor, "n n_pids"]:
        """The logits of p(y given z); dropout of a half in training."""
        return self.last(dropout(self.hidden(z), 0.5))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Observation:
    """The outputs of one branch for all clips of a batch, visible ones first."""

    v: Tensor  # (n d)
    z: Tensor  # (n 2z)
    of_v: Tensor  # (n n_pids), logits
    of_z: Tensor  # (n n_pids), logits

    def halves(self) -> tuple[Observation, Observation]:
        """The first half of the rows and the second."""
        pairs = [x.chunk(2) for x in (self.v, self.z, self.of_v, self.of_z)]
        return Observation(*(x for x, _ in pairs)), Observation(*(y for _, y in pairs))


class Views(NamedTuple):
    """Frames as they are and their grey copies; the same object if the two are equal."""

    whole: Tensor  # (n 3 h w)
    grey: Tensor  # (n 3 h w)


class Observations(NamedTuple):
    """The outputs of every branch for every clip; the shared branch reads the clip as it is and its grey copy."""

    visible: Observation
    infrared: Observation
    whole: Observation
    grey: Observation


class VSD(Network):
    """Three ResNets, each with a bottleneck."""

    logged = (
        *(f"{name}_{term}" for name in BRANCHES for term in ("identity", "rank")),
        *("mutual", "self_distillation", "cross_distillation"),
        *(f"{name}_accuracy" for name in BRANCHES),
        *(f"{name}_attention_ratio" for name in BRANCHES),
    )
    watched = Watched("shared_accuracy", "shared_identity")  # no value of a rank loss shows a collapse

    def __init__(self, n_pids: int, settings: VSDSettings) -> None:
        super().__init__(n_pids)
        self.grey_copy = settings.grey_copy
        self.branches = nn.ModuleDict({name: Branch(settings) for name in BRANCHES})
        d = self.channels
        self.classifiers = nn.ModuleDict({name: classifier(d, n_pids) for name in BRANCHES})
        self.bottlenecks = nn.ModuleDict({name: InformationBottleneck(d, settings.z, n_pids) for name in BRANCHES})
        self.initialise()

    def branch(self, name: str) -> Branch:
        return self.branches[name]  # type: ignore[return-value]

    @property
    def channels(self) -> int:
        return self.branch("shared").encoder.channels

    @property
    def embedding_width(self) -> int:
        return 4 * self.channels

    @property
    def unused_at_test(self) -> tuple[str, ...]:
        return ("classifiers", "bottlenecks")

    def backbone_pieces(self) -> list[nn.Module]:
        return [piece for name in BRANCHES for piece in (self.branch(name).stem, self.branch(name).encoder)]

    def gauges(self) -> dict[nn.Module, Gauge]:
        """The ratio of channel attention to its trunk, the mean of a branch's three."""

        def of_attention(name: str) -> Gauge:
            def gauge(inputs: tuple[Tensor, ...], output: Float[Tensor, "n c h w"]) -> dict[str, Tensor]:
                return {f"{name}_attention_ratio": branch_over_trunk(output - inputs[0], inputs[0])}

            return gauge

        return {part: of_attention(name) for name in BRANCHES for part in self.branch(name).attention}

    def views(self, frames: Float[Tensor, "n 3 h w"]) -> Views:
        return Views(frames, grey_copy(frames) if self.grey_copy else frames)

    def shallow(self, visible: Clips, infrared: Clips) -> Float[Tensor, "n 3 h w"]:
        """The frames themselves, visible ones first: each branch has a stem of its own."""
        return torch.cat([visible, infrared]).flatten(0, 1)

    def shared_maps(self, shallow: Float[Tensor, "n 3 h w"], n_frames: int) -> list[Float[Tensor, "n d h16 w16"]]:
        """The last maps of the visible branch, the infrared branch, and the shared branch's two."""
        views = self.views(shallow)
        own = [self.branch("visible").maps(views.whole), self.branch("infrared").maps(views.grey)]
        shared = self.branch("shared")
        if views.whole is views.grey:
            return [*own, *[shared.maps(views.whole)] * 2]
        maps = shared.maps(torch.cat(views))  # one forward, so that batch statistics are of both
        both = maps.reshape(2, -1, *maps.shape[1:])  # not chunk, which would fix the batch of an exported graph
        return [*own, both[0], both[1]]

    def maps_to_pool(self, clips: Clips, modality: Modality) -> LastMaps:
        return self.shared_maps(clips.flatten(0, 1), clips.shape[1])

    def vectors(self, maps: LastMaps, n_frames: int) -> Vectors:
        """v of the visible and the infrared branch, and both of the shared one."""
        names = ("visible", "infrared", "shared", "shared")
        return [self.branch(name).observe(m, n_frames) for name, m in zip(names, maps, strict=True)]

    def observations(self, maps: list[Float[Tensor, "nt d h16 w16"]], n_frames: int, dropout: Dropout) -> Observations:
        """The observations of the maps of `shared_maps`."""
        visible, infrared, whole, grey = maps

        def observed(name: str, maps: Tensor) -> Observation:
            v = self.branch(name).observe(maps, n_frames)
            bottleneck: InformationBottleneck = self.bottlenecks[name]  # type: ignore[assignment]
            z = bottleneck(v)
            return Observation(v, z, self.classifiers[name](v), bottleneck.logits(z, dropout))

        own = observed("visible", visible), observed("infrared", infrared)
        if whole is grey:
            return Observations(*own, *[observed("shared", whole)] * 2)
        # one forward, so that batch statistics are of both
        return Observations(*own, *observed("shared", torch.cat([whole, grey])).halves())


def grey_copy(frames: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """`normalise(grey=True)` of the same pixels, computed from frames in ImageNet's normalisation."""
    mean, std, luma = (
        torch.tensor(x, dtype=frames.dtype, device=frames.device).view(3, 1, 1)
        for x in (IMAGENET_MEAN, IMAGENET_STD, LUMA)
    )
    brightness = ((frames * std + mean) * luma).sum(dim=1, keepdim=True)  # (n 1 h w)
    return (brightness - mean) / std


def ranks(vectors: Float[Tensor, "n _"], labels: Int64[Tensor, " n"]) -> Tensor:
    """The rank loss within each modality plus the one across."""
    across = different_modality(len(labels), labels.device)
    return rank_loss(vectors, labels, ~across, **WITHIN) + rank_loss(vectors, labels, across, **ACROSS)


def different_modality(n: int, device: torch.device) -> Bool[Tensor, "n n"]:
    """True for pairs of rows of different modalities; the first half of the rows is visible."""
    visible = torch.arange(n, device=device) < n // 2
    return visible[:, None] != visible[None, :]


@in_fp32
def mutual(visible: Float[Tensor, "n n_pids"], infrared: Float[Tensor, "n n_pids"]) -> Float[Tensor, ""]:
    """L_CML: the Sinkhorn distance between two branches' predictions of all clips."""
    return sinkhorn_distance(visible.softmax(dim=1), infrared.softmax(dim=1))


def cross_distillation(whole: Observation, grey: Observation) -> Tensor:
    """L_VCD: distillation from one modality's v into the other's z, in both directions."""
    visible_v, infrared_v = whole.of_v.detach().chunk(2)[0], grey.of_v.detach().chunk(2)[1]
    visible_z, infrared_z = whole.of_z.chunk(2)[0], grey.of_z.chunk(2)[1]
    return distillation_loss(visible_v, infrared_z) + distillation_loss(infrared_v, visible_z)


class Outputs(NamedTuple):
    """The outputs of all branches for a batch, and its labels."""

    by: Observations
    labels: Int64[Tensor, " n"]


def outputs(model: VSD, settings: Settings, due: Due, forward: Forward[list[Tensor]]) -> Outputs:
    dropout = Draws(settings.seed, due.step).dropout
    return Outputs(model.observations(forward.maps, forward.n_frames, dropout), forward.both_labels)


def updates(model: VSD, settings: Settings, due: Due, processes: AllProcesses = ALONE) -> list[SubStep]:
    """One update of all parameters: L_ReID of all branches, L_CML, L_VSD and L_VCD.

    Identity and rank have half the weight in each of the shared branch's two readings.
    """
    cross_entropy = CommonLosses(settings.loss, processes).cross_entropy

    def identity(out: Observation, labels: Tensor) -> Tensor:
        """The sum of the cross entropies of v and z."""
        return cross_entropy(out.of_v, labels) + cross_entropy(out.of_z, labels)

    def rank(out: Observation, labels: Tensor) -> Tensor:
        return ranks(out.v, labels) + ranks(out.z, labels)

    def distilled(out: Observation) -> Tensor:
        """Distillation from v into z."""
        return distillation_loss(out.of_v.detach(), out.of_z)

    terms = (
        Term[Outputs]("visible_identity", 0.5, lambda x: identity(x.by.visible, x.labels)),
        Term[Outputs]("visible_rank", 0.5, lambda x: rank(x.by.visible, x.labels)),
        Term[Outputs]("infrared_identity", 0.5, lambda x: identity(x.by.infrared, x.labels)),
        Term[Outputs]("infrared_rank", 0.5, lambda x: rank(x.by.infrared, x.labels)),
        Term[Outputs](
            "shared_identity", 0.25, lambda x: identity(x.by.whole, x.labels) + identity(x.by.grey, x.labels)
        ),
        Term[Outputs]("shared_rank", 0.25, lambda x: rank(x.by.whole, x.labels) + rank(x.by.grey, x.labels)),
        Term[Outputs]("mutual", 8.0, lambda x: mutual(x.by.visible.of_v, x.by.infrared.of_v)),
        Term[Outputs]("self_distillation", 2.0, lambda x: distilled(x.by.visible) + distilled(x.by.infrared)),
        Term[Outputs]("cross_distillation", 2.0, lambda x: cross_distillation(x.by.whole, x.by.grey)),
    )
    figures = (
        Figure[Outputs]("visible_accuracy", lambda x: share_right(x.by.visible.of_v, x.labels)),
        Figure[Outputs]("infrared_accuracy", lambda x: share_right(x.by.infrared.of_v, x.labels)),
        Figure[Outputs]("shared_accuracy", lambda x: share_right(x.by.grey.of_v, x.labels)),
    )
    return [SubStep("main", every_part(model), partial(outputs, model, settings, due), terms, figures)]
